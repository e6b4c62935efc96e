"""What the body of a Loop, Scan or SequenceMap receives, and what its node makes of the body's results.

Source: the operator specifications of Loop (1 to 25), Scan (9 to 25; 8 is another operator in all but
name) and SequenceMap (17).
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import LOOPS
from dlclint.model.types import Dim, TensorType, joined
from dlclint_schemas.record import record


@record
class CarriedState:
    """A loop-carried state: its type before the first iteration, and its names in the body."""

    initial: TensorType | None
    inside: str
    result: str


@record
class Entering:
    """The inputs of a body: types that hold in every iteration, and states carried between iterations."""

    fixed: dict[str, TensorType]
    carried: tuple[CarriedState, ...]


NOTHING = Entering({}, ())


def entering(node: Node) -> Entering:
    """What a node passes to its body; nothing where that is not known."""
    if len(node.subgraphs) != 1 or node.domain:
        return NOTHING
    body, graph = node.subgraphs[0], node.graph
    if node.op_type == "Loop":
        count = TensorType(onnx.TensorProto.INT64, ())
        condition = TensorType(onnx.TensorProto.BOOL, ())
        fixed = dict(zip(body.inputs[:2], (count, condition), strict=False))
        return Entering(fixed, _carried(graph, node.inputs[2:], body.inputs[2:], body.outputs[1:]))
    if node.op_type == "Scan" and (node.version or 0) >= 9:
        states = _states(node)
        slices = zip(node.inputs[states:], body.inputs[states:], _axes(node, "scan_input_axes"), strict=False)
        fixed = {
            inside: element_type
            for name, inside, axis in slices
            if (element_type := _without_axis(graph.type_of(name), axis)) is not None
        }
        return Entering(fixed, _carried(graph, node.inputs[:states], body.inputs, body.outputs))
    if node.op_type == "SequenceMap":
        pairs = zip(node.inputs, body.inputs, strict=False)
        kinds = {inside: graph.type_of(name) or graph.element_of(name) for name, inside in pairs}
        return Entering(
            {name: tensor_type for name, tensor_type in kinds.items() if tensor_type is not None}, ()
        )
    return NOTHING


def leaving(node: Node) -> dict[str, TensorType]:
    """The types of a node's outputs that follow from the types in its body."""
    carried = entering(node).carried
    if not carried and node.op_type not in LOOPS:
        return {}
    if len(node.subgraphs) != 1:
        return {}
    body = node.subgraphs[0]
    tensor_types: dict[str, TensorType] = {}
    for name, state in zip(node.outputs, carried, strict=False):
        # A loop without any iteration returns its states unchanged.
        both = joined(state.initial, body.type_of(state.result))
        if name and both is not None:
            tensor_types[name] = both
    states = len(carried)
    ends = body.outputs[states + 1 if node.op_type == "Loop" else states :]
    stacked = _stacked_axes(node)
    for position, (name, end) in enumerate(zip(node.outputs[states:], ends, strict=False)):
        element = body.type_of(end)
        if name and element is not None and element.shape is not None:
            axis = stacked[position] if position < len(stacked) else 0
            index = axis + len(element.shape) + 1 if axis < 0 else axis
            if 0 <= index <= len(element.shape):
                shape = (*element.shape[:index], _rounds(node), *element.shape[index:])
                tensor_types[name] = TensorType(element.data_type, shape)
    return tensor_types


def _carried(
    graph: Graph, inputs: Sequence[str], inside: Sequence[str], results: Sequence[str]
) -> tuple[CarriedState, ...]:
    named = zip(inputs, inside, results, strict=False)
    return tuple(CarriedState(graph.type_of(name), within, result) for name, within, result in named)


def _states(node: Node) -> int:
    scanned = node.attribute("num_scan_inputs")
    return max(0, len(node.inputs) - scanned) if isinstance(scanned, int) else len(node.inputs)


def _axes(node: Node, attribute: str) -> list[int]:
    """One axis for each input that is scanned; 0 where the node has none."""
    count = len(node.inputs) - _states(node)
    axes = node.attribute(attribute)
    return axes if isinstance(axes, list) and len(axes) == count else [0] * count


def _stacked_axes(node: Node) -> list[int]:
    axes = node.attribute("scan_output_axes") if node.op_type == "Scan" else None
    return axes if isinstance(axes, list) else []


def _without_axis(tensor_type: TensorType | None, axis: int) -> TensorType | None:
    if (
        tensor_type is None
        or tensor_type.shape is None
        or not -len(tensor_type.shape) <= axis < len(tensor_type.shape)
    ):
        return None
    position = axis % len(tensor_type.shape)
    return TensorType(
        tensor_type.data_type, (*tensor_type.shape[:position], *tensor_type.shape[position + 1 :])
    )


def _rounds(node: Node) -> Dim:
    """The number of iterations of a Scan: the length of what it scans. A Loop may end before its count."""
    if node.op_type != "Scan":
        return None
    states = _states(node)
    for name, axis in zip(node.inputs[states:], _axes(node, "scan_input_axes"), strict=False):
        tensor_type = node.graph.type_of(name)
        if (
            tensor_type is not None
            and tensor_type.shape is not None
            and -len(tensor_type.shape) <= axis < len(tensor_type.shape)
        ):
            return tensor_type.shape[axis]
    return None


def taken_branch(node: Node) -> Graph | None:
    """The branch that an If takes, where its condition is stored or follows from shapes."""
    if len(node.subgraphs) != 2:
        return None
    value = node.graph.model.values.whole(node.graph, node.input(0))
    if value is None or value.size != 1 or value.dtype.kind not in "biu":
        return None
    wanted = "then_branch" if value.reshape(-1)[0] else "else_branch"
    written = [attribute.name for attribute in node.proto.attribute if attribute.HasField("g")]
    return node.subgraphs[written.index(wanted)] if wanted in written else None
