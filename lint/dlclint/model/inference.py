"""Shape inference: that of onnx on the structure, then again where values that follow from it tell more.

onnx's data propagation knows a handful of ops, so that a Reshape behind, say, a division of sizes has
no shape. Where that happens, and only there, nodes are inferred one by one with the values that
`dlclint.model.evaluation` computes, in the graph's order, so that one pass carries through.
"""

from __future__ import annotations

import numpy as np
import onnx

from dlclint.model.evaluation.values import Value, Values
from dlclint.model.graph import Dim, Graph, Model, Node, TensorType, schema_of, tensor_type

_VALUE_INPUTS: dict[str, tuple[int, ...]] = {
    "Reshape": (1,),
    "Expand": (1,),
    "Tile": (1,),
    "ConstantOfShape": (0,),
    "Range": (0, 1, 2),
    "Slice": (1, 2, 3, 4),
    "Pad": (1, 3),
    "Resize": (1, 2, 3),
    "Upsample": (1,),
    "Unsqueeze": (1,),
    "Squeeze": (1,),
    "Split": (1,),
    "TopK": (1,),
    "OneHot": (1,),
    "CenterCropPad": (1,),
    **dict.fromkeys(
        (
            *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
            *("ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"),
        ),
        (1,),
    ),
}
"""Inputs whose values decide the shape of the output."""
_STANDS_IN = {
    "GreaterOrEqual": "Greater",
    "LessOrEqual": "Less",
    "GroupNormalization": "Identity",
    "MeanVarianceNormalization": "Identity",
}
"""Ops without an inference of their own in some versions, and one whose inference gives the same."""
_MAX_RANK = 32
"""Ranks beyond are not worth knowing; numpy has as many."""


def infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The structure with onnx's own inference; as it was where that fails altogether."""
    try:
        return onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except Exception:  # an opset the registry does not know, a cycle: what is declared must do
        return proto


def refine(model: Model) -> None:
    """Add to a model's types what its values tell; what was known stays as it is."""
    for graph in (model.graph, *model.functions):
        _Refinement(model.values).graph(graph)


class _Refinement:
    """One pass over a graph and its subgraphs. `changed` holds tensors that are known better now."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.changed: set[str] = set()

    def graph(self, graph: Graph) -> None:
        for node in graph.nodes:
            for body in node.subgraphs:
                self.graph(body)
            for output in node.outputs:
                if output and not _is_complete(graph.type_of(output)):
                    for name, found in self._infer(node).items():
                        self._learn(graph, name, found)
                    break

    def _learn(self, graph: Graph, tensor: str, found: TensorType) -> None:
        known = graph.type_of(tensor)
        better = _merged(known, found)
        if better != known:
            graph.learn_type(tensor, better)
            self.changed.add(tensor)

    def _infer(self, node: Node) -> dict[str, TensorType]:
        if node.domain or node.graph.model.is_function(node):
            return {}
        if node.op_type == "If":
            return _of_branches(node)
        values = self._new_values(node)
        if not values and self.changed.isdisjoint(node.inputs):
            return {}
        found = _infer_node(node, values)
        ranked = _from_partial_value(node, values)
        if ranked is not None:
            name = node.output(0)
            found[name] = _merged(found.get(name), ranked)
        return found

    def _new_values(self, node: Node) -> dict[str, Value]:
        """Values of inputs that decide the shape and that onnx did not see, because they are computed."""
        found: dict[str, Value] = {}
        for position in _VALUE_INPUTS.get(node.op_type, ()):
            name = node.input(position)
            if name and node.graph.constant(name) is None:
                value = self.values.partly(node.graph, name) or _of_known_length(node.graph.type_of(name))
                if value is not None:
                    found[name] = value
        return found


def _of_known_length(found: TensorType | None) -> Value | None:
    """A list of which only the length is known: the rank of what it describes."""
    shape = None if found is None else found.static_shape
    if shape is None or len(shape) != 1 or not 0 <= shape[0] <= _MAX_RANK:
        return None
    return Value(np.ones(shape, np.int64), np.ones(shape, bool))


def _is_complete(found: TensorType | None) -> bool:
    if found is None or found.shape is None:
        return False
    # A loop costs a third of what all() does, and this is run for every node.
    for dim in found.shape:  # noqa: SIM110
        if not isinstance(dim, int):
            return False
    return True


def _merged(known: TensorType | None, found: TensorType) -> TensorType:
    """What two types say together; where they contradict each other, the first is kept."""
    if known is None:
        return found
    data_type = known.data_type or found.data_type
    if known.shape is None or found.shape is None or len(known.shape) != len(found.shape):
        return TensorType(data_type, found.shape if known.shape is None else known.shape)
    dims: list[Dim] = [
        new if old is None or (isinstance(old, str) and isinstance(new, int)) else old
        for old, new in zip(known.shape, found.shape, strict=True)
    ]
    return TensorType(data_type, tuple(dims))


def _of_branches(node: Node) -> dict[str, TensorType]:
    """What both branches of an If agree on."""
    found: dict[str, TensorType] = {}
    if len(node.subgraphs) != 2:
        return found
    for name, *ends in zip(node.outputs, *(body.outputs for body in node.subgraphs), strict=False):
        kinds = [body.type_of(end) for body, end in zip(node.subgraphs, ends, strict=True)]
        one, other = kinds
        if one is None or other is None or one.data_type != other.data_type:
            continue
        if one.shape is None or other.shape is None or len(one.shape) != len(other.shape):
            continue
        same = zip(one.shape, other.shape, strict=True)
        found[name] = TensorType(one.data_type, tuple(a if a == b else None for a, b in same))
    return found


def _infer_node(node: Node, values: dict[str, Value]) -> dict[str, TensorType]:
    schema, graph = node.schema, node.graph
    if schema is not None and not schema.has_type_and_shape_inference_function:
        schema = schema_of(_STANDS_IN.get(node.op_type, ""), "", graph.opset("") or 1)
    if schema is None or node.subgraphs:
        return {}
    types = {name: _type_proto(graph.type_of(name)) for name in node.inputs if name}
    data: dict[str, onnx.TensorProto] = {}
    for name in filter(None, map(node.input, _VALUE_INPUTS.get(node.op_type, ()))):
        value = values.get(name)
        elements = graph.small_value(name) if value is None else value.elements
        if elements is not None and (value is None or value.unknown is None):
            data[name] = onnx.numpy_helper.from_array(elements, name)
    opset = onnx.helper.make_opsetid("", graph.opset("") or 1)
    try:
        made = onnx.shape_inference.infer_node_outputs(
            schema, node.proto, types, data, opset_imports=[opset], ir_version=graph.model.proto.ir_version
        )
    except Exception:  # inference refuses a node that contradicts its operator; rules report those
        return {}
    kinds = {name: tensor_type(kind) for name, kind in made.items() if name}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _type_proto(found: TensorType | None) -> onnx.TypeProto:
    if found is None:
        return onnx.TypeProto()
    return onnx.helper.make_tensor_type_proto(found.data_type, found.shape)


def _from_partial_value(node: Node, values: dict[str, Value]) -> TensorType | None:
    """The shape that a partly known list of sizes gives, which onnx's inference cannot be told."""
    position = {"Reshape": 1, "ConstantOfShape": 0, "Expand": 1}.get(node.op_type)
    if position is None or not node.outputs:
        return None
    value = values.get(node.input(position))
    if value is None or value.unknown is None or value.elements.ndim != 1:
        return None
    sizes: list[Dim] = [
        None if unknown else int(size) for size, unknown in zip(value.elements, value.unknown, strict=True)
    ]
    data = node.graph.type_of(node.input(0))
    if node.op_type == "ConstantOfShape":
        return TensorType(onnx.TensorProto.UNDEFINED, tuple(sizes))
    if data is None:
        return None
    if node.op_type == "Reshape":
        return TensorType(data.data_type, tuple(None if size in (0, -1) else size for size in sizes))
    if data.shape is None:
        return None
    rank = max(len(sizes), len(data.shape))
    wide: list[Dim] = [*[1] * (rank - len(data.shape)), *data.shape]
    asked: list[Dim] = [*[1] * (rank - len(sizes)), *sizes]
    return TensorType(data.data_type, tuple(_broadcast(a, b) for a, b in zip(wide, asked, strict=True)))


def _broadcast(one: Dim, other: Dim) -> Dim:
    if isinstance(one, int) and one > 1:
        return one
    if isinstance(other, int) and other > 1:
        return other
    return one if other == 1 else other if one == 1 else None
