"""The language server, driven by a real client over standard input and output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import pytest_lsp
from lsprotocol import types
from onnx import numpy_helper, parser
from pytest_lsp import LanguageClient

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] image) => (float[1,4,8,8] result) {
  features = Conv<kernel_shape = [1,1]>(image, weight)
  result = Relu(features)
}"""
ENTRY = {
    "bitwidth": 8,
    "dtype": "int",
    "is_symmetric": "True",
    "min": -1.0,
    "max": 0.9921875,
    "scale": 0.0078125,
}
OVERRIDES = {
    "activation_encodings": {
        "image": [{**ENTRY, "is_symmetric": "False", "offset": -128}],
        "featurez": [{**ENTRY, "is_symmetric": "False", "offset": -128}],
    },
    "param_encodings": {"weight": [{**ENTRY, "offset": -127}]},
    "version": "0.6.1",
}


@pytest_lsp.fixture(
    config=pytest_lsp.ClientServerConfig(server_command=[sys.executable, "-m", "dlclint", "server"])
)
async def client(lsp_client: LanguageClient):  # type: ignore[no-untyped-def]
    await lsp_client.initialize_session(
        types.InitializeParams(capabilities=types.ClientCapabilities(), root_uri=None)
    )
    yield
    await lsp_client.shutdown_session()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    proto = parser.parse_model(MODEL)
    weight = np.linspace(-0.5, 0.75, 12, dtype=np.float32).reshape(4, 3, 1, 1)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "net.encodings").write_text(json.dumps(OVERRIDES, indent=1), "utf-8")
    return tmp_path


def open_file(client: LanguageClient, path: Path, text: str | None = None) -> str:
    uri = path.as_uri()
    text = path.read_text("utf-8") if text is None else text
    client.text_document_did_open(
        types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "json", 1, text))
    )
    return uri


async def diagnostics(client: LanguageClient, uri: str) -> list[types.Diagnostic]:
    await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    return list(client.diagnostics[uri])


def position(text: str, needle: str, inside: int = 1) -> types.Position:
    offset = text.index(needle) + inside
    line = text.count("\n", 0, offset)
    return types.Position(line, offset - (text.rfind("\n", 0, offset) + 1))


@pytest.mark.asyncio
async def test_findings_as_one_types(client: LanguageClient, files: Path) -> None:
    path = files / "net.encodings"
    uri = open_file(client, path)
    findings = {finding.code: finding for finding in await diagnostics(client, uri)}
    assert {"encodings/unknown-tensor", "encodings/symmetric-offset"} <= set(findings)
    text = path.read_text("utf-8")
    stray = findings["encodings/unknown-tensor"]
    assert stray.range.start == position(text, '"featurez"', 0)
    assert stray.range.end == position(text, '"featurez"', len('"featurez"'))
    assert stray.severity == types.DiagnosticSeverity.Error
    assert "help: " in stray.message and stray.source == "dlclint"
    changed = text.replace("featurez", "features")
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(2, uri),
            [types.TextDocumentContentChangeWholeDocument(changed)],
        )
    )
    assert "encodings/unknown-tensor" not in {finding.code for finding in await diagnostics(client, uri)}


@pytest.mark.asyncio
async def test_a_quick_fix_makes_the_finding_go(client: LanguageClient, files: Path) -> None:
    path = files / "net.encodings"
    uri = open_file(client, path)
    findings = {finding.code: finding for finding in await diagnostics(client, uri)}
    wrong = findings["encodings/symmetric-offset"]
    actions = await client.text_document_code_action_async(
        types.CodeActionParams(
            types.TextDocumentIdentifier(uri), wrong.range, types.CodeActionContext([wrong])
        )
    )
    quick = [action for action in actions or [] if action.kind == types.CodeActionKind.QuickFix]
    quick = [action for action in quick if action.diagnostics[0].code == "encodings/symmetric-offset"]
    assert len(quick) == 1 and quick[0].edit is not None and quick[0].edit.changes is not None
    text = path.read_text("utf-8")
    for edit in sorted(quick[0].edit.changes[uri], key=lambda edit: edit.range.start.line, reverse=True):
        lines = text.splitlines(keepends=True)
        start = sum(map(len, lines[: edit.range.start.line])) + edit.range.start.character
        end = sum(map(len, lines[: edit.range.end.line])) + edit.range.end.character
        text = text[:start] + edit.new_text + text[end:]
    assert json.loads(text)["param_encodings"]["weight"][0]["offset"] == -128
    whole = await client.text_document_code_action_async(
        types.CodeActionParams(
            types.TextDocumentIdentifier(uri),
            wrong.range,
            types.CodeActionContext([], only=[types.CodeActionKind.Source]),
        )
    )
    assert [action.kind for action in whole or []] == [types.CodeActionKind.SourceFixAll]


@pytest.mark.asyncio
async def test_a_model_that_ends_onnx_does_not_end_the_server(client: LanguageClient, files: Path) -> None:
    deadly = (files / "net.onnx").read_bytes()
    proto = onnx.ModelProto.FromString(deadly)
    proto.opset_import[0].version = 20
    proto.graph.node.add(op_type="RegexFullMatch", input=["words"], output=["matches"])  # without its pattern
    (files / "deadly.onnx").write_bytes(proto.SerializeToString())
    path = files / "deadly.encodings"
    path.write_text(json.dumps(OVERRIDES, indent=1), "utf-8")
    uri = open_file(client, path)
    assert {"encodings/unknown-tensor"} <= {finding.code for finding in await diagnostics(client, uri)}
    other = open_file(client, files / "net.encodings")
    assert {"encodings/unknown-tensor"} <= {finding.code for finding in await diagnostics(client, other)}
    text = path.read_text("utf-8")
    told = await client.text_document_hover_async(
        types.HoverParams(types.TextDocumentIdentifier(uri), position(text, '"weight"'))
    )
    assert told is not None and "float[4,3,1,1]" in told.contents.value  # type: ignore[union-attr]


@pytest.mark.asyncio
async def test_hover_tells_the_model(client: LanguageClient, files: Path) -> None:
    path = files / "net.encodings"
    uri = open_file(client, path)
    await diagnostics(client, uri)
    text = path.read_text("utf-8")

    async def hover(needle: str) -> str:
        answer = await client.text_document_hover_async(
            types.HoverParams(types.TextDocumentIdentifier(uri), position(text, needle))
        )
        return "" if answer is None else answer.contents.value

    weight = await hover('"weight"')
    assert "real range -0.5 to 0.75" in weight
    assert "read by Conv `features`" in weight
    assert "range -1 to 0.992188, scale 0.0078125, offset -127" in weight
    assert "float[1,3,8,8]" in await hover('"image"')
    assert "not a tensor of the model" in await hover('"featurez"')
    assert await hover('"version"') == ""


@pytest.mark.asyncio
async def test_completion_offers_tensors_without_an_entry(client: LanguageClient, files: Path) -> None:
    text = (files / "net.encodings").read_text("utf-8").replace('"featurez"', '"fea"')
    uri = open_file(client, files / "net.encodings", text)
    await diagnostics(client, uri)
    answer = await client.text_document_completion_async(
        types.CompletionParams(types.TextDocumentIdentifier(uri), position(text, '"fea"', 3))
    )
    items = {completion.label: completion for completion in answer.items}
    assert set(items) == {"features"}
    edit = items["features"].text_edit
    assert edit.range == types.Range(position(text, '"fea"', 1), position(text, '"fea"', 4))
    # Not where a value is written.
    none = await client.text_document_completion_async(
        types.CompletionParams(types.TextDocumentIdentifier(uri), position(text, '"int"', 2))
    )
    assert list(none.items) == []


@pytest.mark.asyncio
async def test_the_other_entries_of_an_op(client: LanguageClient, files: Path) -> None:
    path = files / "net.encodings"
    uri = open_file(client, path)
    await diagnostics(client, uri)
    text = path.read_text("utf-8")
    places = await client.text_document_definition_async(
        types.DefinitionParams(types.TextDocumentIdentifier(uri), position(text, '"weight"'))
    )
    assert [location.range.start for location in places] == [position(text, '"image"', 0)]


@pytest.mark.asyncio
async def test_the_configuration(client: LanguageClient, files: Path) -> None:
    path = files / "dlclint.toml"
    text = 'fail-on = "warning"\n\n[[models]]\npath = "*.onnx"\nsoc = "X Elit"\n\n'
    text += '[[ignores]]\nrule = "ops/unsuported"\nreason = "x"\n'
    uri = open_file(client, path, text)
    listed = await diagnostics(client, uri)
    assert [(finding.range.start.line, finding.message.partition(";")[2][:13]) for finding in listed] == [
        (7, " did you mean"),
        (4, " did you mean"),
    ]
    told = await client.text_document_hover_async(
        types.HoverParams(types.TextDocumentIdentifier(uri), types.Position(4, 1))
    )
    assert "The chip" in told.contents.value
    broken = text.replace("[[ignores]]", "[[ignores]")
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(2, uri),
            [types.TextDocumentContentChangeWholeDocument(broken)],
        )
    )
    listed = await diagnostics(client, uri)
    assert [diagnostic.range.start.line for diagnostic in listed] == [6]
    assert listed[0].message.startswith("not TOML")
    typed = text + "\n[[models]]\nru"
    client.text_document_did_change(
        types.DidChangeTextDocumentParams(
            types.VersionedTextDocumentIdentifier(3, uri),
            [types.TextDocumentContentChangeWholeDocument(typed)],
        )
    )
    answer = await client.text_document_completion_async(
        types.CompletionParams(types.TextDocumentIdentifier(uri), types.Position(typed.count("\n"), 2))
    )
    assert [completion.label for completion in answer.items] == ["runtime"]


@pytest.mark.asyncio
async def test_broken_text_and_other_files_are_no_trouble(client: LanguageClient, files: Path) -> None:
    uri = open_file(client, files / "net.encodings", '{"activation_encodings": {"im')
    assert "encodings/syntax" in {finding.code for finding in await diagnostics(client, uri)}
    for needle in (0, 10, 28):
        cursor = types.Position(0, needle)
        document = types.TextDocumentIdentifier(uri)
        await client.text_document_hover_async(types.HoverParams(document, cursor))
        await client.text_document_definition_async(types.DefinitionParams(document, cursor))
    answer = await client.text_document_completion_async(
        types.CompletionParams(types.TextDocumentIdentifier(uri), types.Position(0, 29))
    )
    assert {completion.label for completion in answer.items} == {"image"}
    other = open_file(client, files / "notes.txt", "hello")
    assert await diagnostics(client, other) == []
    (files / "dlclint.toml").write_text("[[[", "utf-8")
    (files / "b.encodings").write_text("{}", "utf-8")
    second = open_file(client, files / "b.encodings")
    listed = await diagnostics(client, second)
    assert len(listed) == 1 and "the configuration cannot be followed" in listed[0].message
