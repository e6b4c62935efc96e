"""Attributes of another type than their operator's are as good as not written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from onnx import AttributeProto, GraphProto, TensorProto, TypeProto, helper

from dlclint.cli.main import main
from dlclint.model.reading import read

OTHERS: tuple[Any, ...] = (
    7,
    1.5,
    "text",
    [1, 2],
    [1.5],
    ["a"],
    TensorProto(data_type=1, dims=[1], float_data=[1.0]),
    GraphProto(name="g"),
    TypeProto(),
)


def node_with(attribute: AttributeProto, op: str, opset: int, folder: Path) -> Path:
    node = helper.make_node(op, ["x"], ["y"])
    node.attribute.append(attribute)
    ends = [helper.make_tensor_value_info(name, 1, [1, 4, 8, 8]) for name in "xy"]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("op", "name", "kind", "opset"),
    [
        ("Softmax", "axis", AttributeProto.INT, 13),
        ("Resize", "mode", AttributeProto.STRING, 13),
        ("Transpose", "perm", AttributeProto.INTS, 13),
        ("Elu", "alpha", AttributeProto.FLOAT, 13),
        ("Shape", "start", AttributeProto.INT, 15),
        ("Shape", "start", AttributeProto.INT, 13),  # which has it only from 15 on
        ("Resize", "mode", AttributeProto.STRING, 5),  # which there is only from 10 on
    ],
)
@pytest.mark.parametrize("value", OTHERS, ids=lambda value: type(value).__name__)
def test_another_type_is_nothing(
    op: str, name: str, kind: int, opset: int, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attribute = helper.make_attribute(name, value)
    path = node_with(attribute, op, opset, tmp_path)
    node = read(path).graph.nodes[0]
    right = attribute.type == kind
    assert node.has(name) == right
    assert [mistyped[0] for mistyped in node.mistyped()] == [name] * (not right)
    if not right:
        assert node.attribute(name, "default") == "default"
    main(["check", "--isolated", "--format", "concise", str(path)])
    shown = capsys.readouterr().out
    assert "crashed-rule" not in shown
    assert shown.count(" ops/attribute-type ") == (not right)
    assert "Mismatched attribute type" not in shown


def test_a_type_that_is_not_stated_is_nothing(tmp_path: Path) -> None:
    node = read(node_with(AttributeProto(name="axis", i=1), "Softmax", 13, tmp_path)).graph.nodes[0]
    assert not node.has("axis")
    assert [mistyped[1:] for mistyped in node.mistyped()] == [("UNDEFINED", "INT")]


@pytest.mark.parametrize("op", ["Softmax", "HardSigmoid", "LeakyRelu", "LRN", "BatchNormalization"])
@pytest.mark.parametrize("in_function", [True, False])
def test_what_a_caller_decides(
    op: str, in_function: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not known in a function, and absent where there is no call."""
    name = {"Softmax": "axis", "LRN": "bias", "BatchNormalization": "epsilon"}.get(op, "alpha")
    inputs = ["x", *"sbmv"] if op == "BatchNormalization" else ["x"]
    node = helper.make_node(op, inputs, ["y"])
    kind = AttributeProto.INT if name == "axis" else AttributeProto.FLOAT
    node.attribute.append(AttributeProto(name=name, type=kind, ref_attr_name=name))
    ends = [helper.make_tensor_value_info(value, 1, [1, 4, 8, 8]) for value in "xy"]
    stored = [helper.make_tensor(value, 1, [4], [1.0] * 4) for value in "sbmv"]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "f", inputs, ["y"], [node], imports[:1], [name])
    call = helper.make_node("f", inputs, ["y"], domain="local") if in_function else node
    graph = helper.make_graph([call], "g", ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=imports, functions=[function] * in_function, ir_version=8)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    seen = read(path)
    body = seen.functions[0] if in_function else seen.graph
    assert body.nodes[0].attribute(name, 7) == (None if in_function else 7)
    for command in (["check", "--quantize"], ["plan", "--runtime", "htp"]):
        assert main([*command, "--isolated", "--format", "json", str(path)]) in (0, 1)
        assert "crashed-rule" not in capsys.readouterr().out
