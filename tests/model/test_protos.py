"""Field numbers against onnx's own descriptors, and the walk over subgraphs."""

from __future__ import annotations

import onnx
import pytest
from onnx import parser

from dlclint.model import protos
from dlclint.model.reading import message_at

MESSAGES = {
    protos.ModelField: onnx.ModelProto,
    protos.GraphField: onnx.GraphProto,
    protos.FunctionField: onnx.FunctionProto,
    protos.NodeField: onnx.NodeProto,
    protos.AttributeField: onnx.AttributeProto,
    protos.SparseField: onnx.SparseTensorProto,
    protos.TensorField: onnx.TensorProto,
}
NESTED = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1] x, bool c) => (float[1] y) {
  y = If <then_branch = t () => (float[1] u) {
            u = If <then_branch = a () => (float[1] v) { v = Relu(x) },
                    else_branch = b () => (float[1] w) { w = Neg(x) }> (c) },
          else_branch = e () => (float[1] z) { z = Abs(x) }> (c)
}"""


@pytest.mark.parametrize("fields", MESSAGES, ids=lambda fields: fields.__name__)
def test_numbers_are_those_of_onnx(fields: type) -> None:
    known = MESSAGES[fields].DESCRIPTOR.fields_by_name
    numbers = {name: value for name, value in vars(fields).items() if name.isupper()}
    assert numbers
    assert numbers == {name: known[name.lower()].number for name in numbers}


def test_walk_goes_all_the_way_down() -> None:
    graph = parser.parse_model(NESTED).graph
    assert [inner.name for inner in protos.graphs_below(graph)] == ["g", "t", "a", "b", "e"]
    assert [node.op_type for node in protos.nodes_below(graph)] == ["If", "If", "Relu", "Neg", "Abs"]


def test_paths_lead_back_to_the_graphs() -> None:
    model = parser.parse_model(NESTED)
    start = (protos.ModelField.GRAPH, 0, protos.GraphField.NODE, 0)
    subgraphs = [(path, inner.name) for path, inner in protos.subgraphs(model.graph.node[0])]
    assert [name for _, name in subgraphs] == ["t", "e"]
    for path, name in subgraphs:
        assert message_at(model, (*start, *path)).name == name


def test_graphs_in_a_list_are_walked_too() -> None:
    node = onnx.NodeProto(op_type="Custom")
    node.attribute.add(name="bodies", type=onnx.AttributeProto.GRAPHS).graphs.extend(
        [onnx.GraphProto(name="one"), onnx.GraphProto(name="two")]
    )
    assert [(path, inner.name) for path, inner in protos.subgraphs(node)] == [
        ((5, 0, 11, 0), "one"),
        ((5, 0, 11, 1), "two"),
    ]
