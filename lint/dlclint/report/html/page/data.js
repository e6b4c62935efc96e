// The data of the page as objects: rows of numbers become what their fields are called.

function decoded(row, fields) {
  const made = {};
  fields.forEach((name, place) => { made[name] = row[place]; });
  return made;
}

function textOf(number) {
  return DATA.texts[number];
}

function decodeFinding(row, id) {
  const made = decoded(row, DATA.finding);
  for (const name of ["rule", "severity", "stage", "message", "place", "help", "source", "fix"]) {
    made[name] = textOf(made[name]);
  }
  made.related = made.related.map(([what, node]) => ({ what: textOf(what), node }));
  made.id = id;
  return made;
}

function decodeNode(row, id) {
  const made = decoded(row, DATA.node);
  for (const name of ["op", "name", "graph", "type", "attributes", "precision", "placed"]) {
    made[name] = textOf(made[name]);
  }
  made.outputs = made.outputs.map(textOf);
  made.id = id;
  made.readers = [];
  made.findings = [];
  made.title = made.name || made.outputs[0] || `#${made.index}`;
  return made;
}

// One file: its findings, and its nodes and blocks, which are empty where the network is not drawn.
function decodeFile(file) {
  const network = file.network || { nodes: [], blocks: [], runtimes: [] };
  const nodes = network.nodes.map(decodeNode);
  const blocks = network.blocks.map(([parent, name], id) => (
    { id, parent, name: textOf(name), blocks: [], nodes: [], count: 0, open: false }
  ));
  const findings = file.findings.map(decodeFinding);
  for (const block of blocks) if (block.parent >= 0) blocks[block.parent].blocks.push(block);
  for (const node of nodes) {
    blocks[node.block].nodes.push(node);
    for (const source of node.sources) nodes[source].readers.push(node.id);
  }
  for (const node of nodes) for (let at = node.block; at >= 0; at = blocks[at].parent) blocks[at].count += 1;
  for (const finding of findings) if (finding.node !== null) nodes[finding.node].findings.push(finding);
  const words = file.words || {
    title: "Findings", item: "finding", rule: "rule", levels: { error: "error", warning: "warning", info: "note" }, counts: true,
  };
  return { color: file.color, words, title: file.title, findings, nodes, blocks, runtimes: network.runtimes, charts: file.charts || {} };
}
