"""Shape inference: onnx's on the structure, then again where values that follow from it give more.

onnx's data propagation knows a handful of ops, so that a Reshape after, say, a division of sizes has no
shape. Where that happens, and only there, nodes are inferred one by one with the values that
`dlclint.model.evaluation` computes, in the graph's order, so that one pass suffices. Bodies of loops and
functions are inferred with what they receive (`dlclint.model.bodies`, `dlclint.model.functions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from dlclint.contained.guard import Ended, spot
from dlclint.model.attributes import schema_of
from dlclint.model.evaluation.bounds import MAX_RANK
from dlclint.model.evaluation.values import Value
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.native import INFERENCE, Crashes
from dlclint.model.op_facts import SHAPE_INPUT, VALUE_INPUTS, WITH_BODIES, is_qdq
from dlclint.model.ordering import protos_in_order
from dlclint.model.propagation import stays_small
from dlclint.model.protos import subgraphs
from dlclint.model.types import Dim, TensorType, is_complete, joined, merged, tensor_type

if TYPE_CHECKING:
    from dlclint.model.bodies import CarriedState
    from dlclint.model.functions import FunctionTypes

_STANDS_IN = {
    "GreaterOrEqual": "Greater",
    "LessOrEqual": "Less",
    "GroupNormalization": "Identity",
    "MeanVarianceNormalization": "Identity",
}
"""Ops without an inference function in some versions, and an op whose inference gives the same."""
_ROUNDS = 3
"""How often the assumption about a loop's states is weakened before it is dropped."""
_COPIED = 4_000_000
"""Tensors that onnx's inference may pass to bodies: a few seconds of work."""
_COPIED_BYTES = 1
"""The cost of passing on a tensor in the limit of time, as bytes of structure."""
_ASSUMED = 4
"""How often, on average, a node may be inferred on an assumption."""


def infer_strictly(proto: onnx.ModelProto, crashes: Crashes) -> onnx.ModelProto | None:
    """As `infer` by onnx's strict inference, which finds the same types; None where it reports an error."""
    if (proto.functions and _expands_too_far(proto)) or _has_too_many_bodies(proto.graph):
        return None
    with suppress(Exception):  # inference raises RuntimeError, InferenceError and others
        return _infer_shapes(proto, crashes, check_type=True, strict_mode=True)
    return None


def infer(proto: onnx.ModelProto, crashes: Crashes) -> onnx.ModelProto:
    """The structure with onnx's own inference; unchanged where that fails as a whole, or crashes."""
    if proto.functions and _expands_too_far(proto):
        return _inferred_without_calls(proto, crashes)
    if _has_too_many_bodies(proto.graph):
        return proto
    nodes = protos_in_order(proto.graph)
    try:
        return _infer_shapes(proto, crashes) if nodes is None else _inferred_sorted(proto, nodes, crashes)
    except Exception:  # an opset the registry does not know, a cycle: declared types have to suffice
        return proto


def shape_contradiction(proto: onnx.ModelProto, crashes: Crashes | None = None) -> str | None:
    """What strict inference reports about the structure, in one line, or "". None: it could not run."""
    try:
        if (proto.functions and _expands_too_far(proto)) or _has_too_many_bodies(proto.graph):
            return None
        _infer_shapes(proto, crashes or Crashes(), check_type=True, strict_mode=True)
    except Ended:  # the inference that is not strict ends as well, and `infer` reports it
        return None
    except Exception as error:  # inference raises RuntimeError, InferenceError and others
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _infer_shapes(proto: onnx.ModelProto, crashes: Crashes, **options: Any) -> onnx.ModelProto:
    proto = _without_outdated(proto)
    return crashes.attempt(
        INFERENCE,
        onnx.shape_inference.infer_shapes,
        proto,
        data_prop=stays_small(proto.graph),
        size=proto.ByteSize() + _copied(proto.graph) * _COPIED_BYTES,
        **options,
    )


def _without_outdated(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The structure without the value_info of stored tensors, where it differs from what is stored.

    onnx's inference uses it and fails; runtimes use what is stored.
    """
    stored = {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in proto.graph.initializer}
    outdated = []
    for index, value in enumerate(proto.graph.value_info):
        if value.name in stored:
            kind = tensor_type(value.type)
            if kind is None or (kind.data_type, kind.shape) != stored[value.name]:
                outdated.append(index)
    if not outdated:
        return proto
    slim = onnx.ModelProto()
    slim.CopyFrom(proto)
    for index in reversed(outdated):
        del slim.graph.value_info[index]
    return slim


def _has_too_many_bodies(graph: onnx.GraphProto) -> bool:
    """Whether onnx's inference would take too long."""
    return _copied(graph) > _COPIED


def _copied(graph: onnx.GraphProto) -> int:
    """How often onnx's inference passes a tensor to a body: all known tensors are passed to each body."""
    copied = 0
    pending = [graph]
    while pending:
        inner = pending.pop()
        bodies = [body for node in inner.node if node.op_type in WITH_BODIES for _, body in subgraphs(node)]
        copied += len(bodies) * len(inner.node)
        pending += bodies
    return copied


def _expands_too_far(proto: onnx.ModelProto) -> bool:
    # Imported here because few models have functions.
    from dlclint.model.functions import expands_too_far

    return expands_too_far(proto)


def _inferred_without_calls(proto: onnx.ModelProto, crashes: Crashes) -> onnx.ModelProto:
    """Inference for functions that call each other so often that following every call would not end."""
    slim = onnx.ModelProto()
    slim.CopyFrom(proto)
    del slim.functions[:]
    model = infer(slim, crashes)
    model.functions.extend(proto.functions)
    return model


def _inferred_sorted(
    proto: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], crashes: Crashes
) -> onnx.ModelProto:
    """The structure in its own order, with what is inferred about its nodes in topological order.

    Bodies are left unchanged; `refine` infers them.
    """
    ordered = onnx.ModelProto()
    ordered.CopyFrom(proto)
    del ordered.graph.node[:]
    ordered.graph.node.extend(nodes)
    inferred_graph = _infer_shapes(ordered, crashes).graph
    for kept, inferred in (
        (proto.graph.value_info, inferred_graph.value_info),
        (proto.graph.output, inferred_graph.output),
    ):
        del kept[:]
        kept.extend(inferred)
    return proto


def refine(model: Model) -> None:
    """Add to a model's types what its values, bodies and calls imply; what was known stays as it is."""
    again = _has_too_many_bodies(model.proto.graph)
    if not model.functions:
        _Refinement(model, again).graph(model.graph)
        return
    # Imported here because few models have functions.
    from dlclint.model.functions import FunctionTypes

    functions = FunctionTypes(model)
    _Refinement(model, again, functions).graph(model.graph)
    for body in functions.settle():
        _Refinement(model, again, functions).graph(body)


class _Refinement:
    """One pass over a graph and its subgraphs. `changed` holds tensors that are now known better."""

    def __init__(self, model: Model, again: bool, functions: FunctionTypes | None = None) -> None:
        self.model = model
        self.values = model.values
        self.functions = functions
        self.changed: set[str] = set()
        self._left: int | None = None
        self._anew = again
        """Whether onnx's inference was left out, so that every node is inferred here."""

    def graph(self, graph: Graph) -> None:
        for node in graph.in_order:
            if node.subgraphs:
                self._bodies(node)
            for output in node.outputs:
                if output and not is_complete(graph.type_of(output)):
                    for name, value_type in self._infer(node).items():
                        self._learn(graph, name, value_type)
                    break

    def _bodies(self, node: Node) -> None:
        """Infer the bodies, with what they receive.

        A loop's states may change their shape between iterations. That they do not is assumed, and holds if
        the body then returns what it received; a shape that changes is no longer assumed.
        """
        # Imported here because few models have bodies.
        from dlclint.model.bodies import entering

        received = entering(node)
        body = node.subgraphs[0]
        for name, value_type in received.fixed.items():
            self._learn(body, name, value_type)
        assumed = {
            state.inside: state.initial
            for state in received.carried
            if state.initial is not None and not is_complete(body.type_of(state.inside))
        }
        nodes = sum(len(inner.nodes) for inner in body.with_subgraphs()) if assumed else 0
        for _ in range(_ROUNDS if assumed else 0):
            if not self._may_assume(nodes):
                break
            before = [(inner, inner.types()) for inner in body.with_subgraphs()]
            for name, value_type in assumed.items():
                self._learn(body, name, value_type)
            self.graph(body)
            left = {
                state.inside: _kept(body, state, assumed[state.inside])
                for state in received.carried
                if state.inside in assumed
            }
            weaker = {name: kept for name, kept in left.items() if kept is not None}
            if weaker == assumed:
                return
            for inner, types in before:
                inner.put_types(types)
                self.values.forget(inner)
            assumed = weaker
        for graph in node.subgraphs:
            self.graph(graph)

    def _may_assume(self, nodes: int) -> bool:
        """Whether a body of so many nodes may be inferred on an assumption; nested loops spend the budget."""
        if self._left is None:
            self._left = _ASSUMED * sum(len(graph.nodes) for graph in self.model.graphs())
        self._left -= nodes
        return self._left >= 0

    def _learn(self, graph: Graph, tensor: str, value_type: TensorType) -> None:
        known = graph.type_of(tensor)
        better = merged(known, value_type)
        if better != known:
            graph.learn_type(tensor, better)
            self.changed.add(tensor)
            self.model.refined.add(tensor)

    def _infer(self, node: Node) -> dict[str, TensorType]:
        if self.functions is not None and self.model.is_function(node):
            told = self.functions.followed and self.changed.isdisjoint(node.inputs)
            return {} if told else self.functions.outputs(node)
        if node.domain:
            return _of_quantizing(node) if is_qdq(node.op_type, node.domain) else {}
        if node.op_type == "If":
            return _of_branches(node)
        if node.subgraphs:
            # Imported here because few models have bodies.
            from dlclint.model.bodies import leaving

            return leaving(node)
        if node.op_type == "NonZero":
            known = self.values.whole(node.graph, node.output(0))
            if known is not None:
                return {node.output(0): TensorType(onnx.TensorProto.INT64, known.shape)}
        values = computed_values(node)
        stands_in = node.op_type in _STANDS_IN and not node.domain
        again = self._anew or stands_in or self.model.crashes.ended(INFERENCE, node.graph.path)
        if not values and not again and self.changed.isdisjoint(node.inputs):
            return {}
        tensor_types = _infer_node(node, values)
        ranked = _from_partial_value(node, values)
        if ranked is not None:
            name = node.output(0)
            tensor_types[name] = merged(tensor_types.get(name), ranked)
        return tensor_types


def _of_quantizing(node: Node) -> dict[str, TensorType]:
    """The output types of com.microsoft ops, which onnx does not know: the shape of their input."""
    read, ends = node.graph.type_of(node.input(0)), node.graph.type_of(node.input(1))
    if node.op_type == "QuantizeLinear":
        ends = node.graph.type_of(node.input(2)) if node.input(2) else TensorType(onnx.TensorProto.UINT8, ())
    if read is None or ends is None or not node.outputs:
        return {}
    return {node.output(0): TensorType(ends.data_type, read.shape)}


def _of_known_length(value_type: TensorType | None) -> Value | None:
    """A list of which only the length is known: the rank of the shape that it describes."""
    shape = None if value_type is None else value_type.static_shape
    if shape is None or len(shape) != 1 or not 0 <= shape[0] <= MAX_RANK:
        return None
    return Value(np.ones(shape, np.int64), np.ones(shape, bool))


def _of_branches(node: Node) -> dict[str, TensorType]:
    """The types of the branch that is taken, or those that both branches of an If agree on."""
    # Imported here because few models have bodies.
    from dlclint.model.bodies import taken_branch

    tensor_types: dict[str, TensorType] = {}
    if len(node.subgraphs) != 2:
        return tensor_types
    taken = taken_branch(node)
    if taken is not None:
        kinds = zip(node.outputs, map(taken.type_of, taken.outputs), strict=False)
        return {name: kind for name, kind in kinds if kind is not None}
    for name, *ends in zip(node.outputs, *(body.outputs for body in node.subgraphs), strict=False):
        both = joined(*(body.type_of(end) for body, end in zip(node.subgraphs, ends, strict=True)))
        if both is not None:
            tensor_types[name] = both
    return tensor_types


def _kept(body: Graph, state: CarriedState, assumed: TensorType) -> TensorType | None:
    """What remains of an assumption about a state after the body has run: what is unchanged."""
    before, after = body.type_of(state.inside), body.type_of(state.result)
    if before is None or after is None or before.shape is None or after.shape is None:
        return None
    if assumed.shape is None or not len(assumed.shape) == len(before.shape) == len(after.shape):
        return None
    sizes = zip(assumed.shape, before.shape, after.shape, strict=True)
    return TensorType(assumed.data_type, tuple(size if old == new else None for size, old, new in sizes))


def _infer_node(node: Node, values: dict[str, Value]) -> dict[str, TensorType]:
    try:
        return ask_node(node, values)
    except Exception:  # a node that contradicts its operator, see `dlclint.model.contradictions`
        return {}


def ask_node(node: Node, values: Mapping[str, Value]) -> dict[str, TensorType]:
    """What onnx's inference returns for one node, with the known types and the values of its inputs.

    Raises:
        Exception: inference reports an error in the node; InferenceError, ValidationError and others.
        Ended: it ended the process.
    """
    schema, graph, proto = node.schema, node.graph, node.proto
    if schema is not None and not schema.has_type_and_shape_inference_function:
        schema = schema_of(_STANDS_IN.get(node.op_type, ""), "", graph.opset("") or 1)
        proto = proto if schema is None else _as_stand_in(proto, schema)
    if schema is None or node.subgraphs:
        return {}
    types = {name: _type_proto(graph.type_of(name)) for name in node.inputs if name}
    data: dict[str, onnx.TensorProto] = {}
    for name in filter(None, map(node.input, VALUE_INPUTS.get(node.op_type, ()))):
        value = values.get(name)
        elements = graph.small_value(name) if value is None else value.elements
        if elements is not None and (value is None or value.unknown is None):
            data[name] = onnx.numpy_helper.from_array(elements, name)
    opset = onnx.helper.make_opsetid("", graph.opset("") or 1)
    inferred = graph.model.crashes.attempt(
        INFERENCE,
        onnx.shape_inference.infer_node_outputs,
        schema,
        proto,
        types,
        data,
        graph=graph.path,
        index=node.index,
        op=node.op_type,
        where=spot(graph.path, next(filter(None, node.outputs), node.index)),
        opset_imports=[opset],
        ir_version=graph.model.proto.ir_version,
    )
    kinds = {name: tensor_type(kind) for name, kind in inferred.items() if name}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _as_stand_in(proto: onnx.NodeProto, schema: onnx.defs.OpSchema) -> onnx.NodeProto:
    """A node rewritten as the op whose inference replaces its own, which may take fewer inputs."""
    inputs = list(proto.input)[: schema.max_input]
    return onnx.helper.make_node(schema.name, inputs, list(proto.output)[: schema.max_output])


def computed_values(node: Node) -> dict[str, Value]:
    """Values of inputs that determine the shape and that onnx does not see, because they are computed."""
    values: dict[str, Value] = {}
    for position in VALUE_INPUTS.get(node.op_type, ()):
        name = node.input(position)
        if name and node.graph.constant(name) is None:
            value = node.graph.model.values.partly(node.graph, name) or _of_known_length(
                node.graph.type_of(name)
            )
            if value is not None:
                values[name] = value
    return values


def _type_proto(value_type: TensorType | None) -> onnx.TypeProto:
    if value_type is None:
        return onnx.TypeProto()
    return onnx.helper.make_tensor_type_proto(value_type.data_type, value_type.shape)


def _from_partial_value(node: Node, values: dict[str, Value]) -> TensorType | None:
    """The shape that a partly known list of sizes gives, which onnx's inference cannot use."""
    position = SHAPE_INPUT.get(node.op_type)
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
    # A size of -1 is invalid, which `dlclint.model.operands` reports; later nodes must not report it again.
    sizes = [1 if size == -1 else size for size in sizes]
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
