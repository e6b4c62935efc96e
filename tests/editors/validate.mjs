// What VS Code's own JSON service says of files, as JSON: node validate.mjs SCHEMA FILE ...
import { readFileSync } from "node:fs";
import pkg from "vscode-json-languageservice";

const { getLanguageService, TextDocument } = pkg;

const [schema, ...paths] = process.argv.slice(2);
const service = getLanguageService({});
service.configure({
  validate: true,
  allowComments: false,
  schemas: [{ uri: "overrides.json", fileMatch: ["*"], schema: JSON.parse(readFileSync(schema, "utf8")) }],
});
const found = {};
for (const path of paths) {
  const document = TextDocument.create(`file:///${path}`, "json", 1, readFileSync(path, "utf8"));
  const problems = await service.doValidation(document, service.parseJSONDocument(document));
  found[path] = problems.map((problem) => problem.message);
}
console.log(JSON.stringify(found));
