"""Names that are not UTF-8: ordinary text above, the same bytes again in what is written."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from dlclint.cli.main import main
from dlclint.diagnostic import plain
from dlclint.model.reading import read
from dlclint.model.text import escaped, restored

NAMES = ("input_name", "node_name", "output_name")


def serialized(*names: bytes) -> bytes:
    """A model whose three names of as many bytes are those given, which need not be text."""
    node = helper.make_node("Relu", [NAMES[0]], [NAMES[2]], name=NAMES[1])
    ends = [helper.make_tensor_value_info(name, 1, [1, 4]) for name in (NAMES[0], NAMES[2])]
    graph = helper.make_graph([node], "graph", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    body: bytes = model.SerializeToString()
    for placeholder, name in zip(NAMES, names, strict=True):
        assert len(name) == len(placeholder)
        body = body.replace(placeholder.encode(), name)
    return body


def of_length(size: int) -> st.SearchStrategy[bytes]:
    private = "\U0010ff80\U0010ffff\U0010fffe"
    mixed = st.one_of(st.binary(max_size=size), st.text(private + "aé").map(str.encode))
    return mixed.map(lambda body: (body + b"." * size)[:size])


@given(*(of_length(len(name)) for name in NAMES))
def test_names_are_text_and_come_back(first: bytes, second: bytes, third: bytes) -> None:
    body = serialized(first, second, third)
    text = escaped(body)
    graph = onnx.ModelProto.FromString(text).graph
    shown = (graph.node[0].input[0], graph.node[0].name, graph.node[0].output[0])
    assert all(isinstance(name, str) for name in shown)
    assert (shown[0] == shown[2]) == (first[:10] == third)
    assert restored(text) == body


@given(st.binary(max_size=200))
def test_damaged_bytes_are_left_to_their_reader(body: bytes) -> None:
    assert restored(escaped(body)) == body


def test_text_is_not_touched() -> None:
    body = serialized(b"caf\xc3\xa9_name", *(name.encode() for name in NAMES[1:]))
    assert escaped(body) is body


def test_bytes_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(serialized(b"gh\xff\xfe______", b"\x1b[31mname", b"output_name"))
    assert main(["check", "--isolated", "--format", "concise", str(file)]) in (0, 1)
    shown = capsys.readouterr().out
    assert "crashed-rule" not in shown
    assert "\x1b" not in shown
    (name,) = read(file).graph.inputs
    assert plain(name) == plain(f"input {name!r}")[7:-1] == r"gh\xff\xfe______"


def test_a_fix_writes_the_same_bytes(tmp_path: Path) -> None:
    source, output = tmp_path / "model.onnx", tmp_path / "fixed.onnx"
    source.write_bytes(serialized(b"gh\xff\xfe______", b"node\xf4\x8f\xbf\xbf\xc0", b"output_name"))
    main(["fix", "--isolated", "--no-verify", str(source), "-o", str(output)])
    assert output.read_bytes() == source.read_bytes()
