"""The simplified model: which nodes the converter folds before it converts.

The converter runs a simplifier first, unless `--no-simplification`, custom ops or quantization overrides are
given ("Can't simplify the model when custom ops or quantization overrides are specified"). It evaluates what
depends only on constants: arithmetic on initializers, Shape of a tensor whose shape is known, and all that
follows from those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from dlclint.model.op_facts import QUANTIZERS, RANDOM, SHAPE_READERS, is_qdq

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Model, Node
    from dlclint.model.types import TensorType

NodeKey = tuple[str, int]


def folded_nodes(model: Model) -> frozenset[NodeKey]:
    """Keys of the nodes whose every output is known at conversion time.

    Constant nodes count as folded: they become static tensors. The values of folded nodes, where they are
    small, are in `model.values`; this set does not depend on their size. Work is linear in the nodes; a graph
    whose nodes form a cycle folds as far as its order allows.
    """
    folded: set[NodeKey] = set()
    known_in: dict[Graph, _Known] = {}
    for graph in _in_order(model):
        known = _Known(graph.initializers, None if graph.parent is None else known_in[graph.parent])
        known_in[graph] = known
        if graph.is_function:
            known.names |= _known_at_calls(graph, known_in)
        partly: set[str] = set()
        for node in graph.in_order:
            if _is_known(node, graph, known, partly):
                folded.add(node.key)
                known.names.update(output for output in node.outputs if output)
            elif node.op_type == "Shape" or not partly.isdisjoint(node.inputs):
                partly.update(node.outputs)
    return frozenset(folded)


class _Known:
    """The names that are known in a graph: its own, and those of enclosing graphs."""

    __slots__ = ("names", "outer")

    def __init__(self, names: Iterable[str], outer: _Known | None) -> None:
        self.names = set(names)
        self.outer = outer

    def __contains__(self, name: str) -> bool:
        known: _Known | None = self
        while known is not None:
            if name in known.names:
                return True
            known = known.outer
        return False


def _in_order(model: Model) -> Iterator[Graph]:
    """Every graph, functions after those that call them."""
    yield from model.graph.with_subgraphs()
    if model.functions:
        # Imported here because few models have functions.
        from dlclint.model.functions import caller_first

        for function in dict.fromkeys((*caller_first(model), *model.functions)):
            yield from function.with_subgraphs()


def _known_at_calls(function: Graph, known_in: Mapping[Graph, _Known]) -> set[str]:
    """The inputs of a function that are known at every call."""
    calls = function.model.calls[function.path]
    return {
        name
        for position, name in enumerate(function.inputs)
        if calls and all(call.input(position) in known_in.get(call.graph, ()) for call in calls)
    }


def _is_known(node: Node, graph: Graph, known: _Known, partly: set[str]) -> bool:
    if node.domain or node.subgraphs or graph.model.is_function(node):
        return False
    if node.op_type in QUANTIZERS:  # folding would lose the quantization that they represent
        return False
    if node.op_type == "Constant":
        return True
    inputs = [name for name in node.inputs if name]
    if node.op_type in SHAPE_READERS:
        return bool(inputs) and (inputs[0] in known or _shape_is_known(node, graph, inputs[0]))
    if inputs and all(name in known for name in inputs):
        schema = node.schema
        return schema is not None and not _is_random(node)
    if partly.isdisjoint(inputs):
        return False
    # Elements selected from a shape may be known where the whole shape is not.
    values = graph.model.values
    return bool(node.outputs) and all(values.whole(graph, name) is not None for name in node.outputs if name)


def _is_random(node: Node) -> bool:
    return node.op_type in RANDOM or node.op_type == "Dropout"


def _shape_is_known(node: Node, graph: Graph, tensor: str) -> bool:
    types = graph.types_of(tensor)
    return bool(types) and all(_is_known_shape(node, tensor_type) for tensor_type in types)


def _is_known_shape(node: Node, tensor_type: TensorType) -> bool:
    if tensor_type.shape is None:
        return False
    dims = tensor_type.shape
    if node.op_type == "Shape":
        dims = dims[slice(node.attribute("start", 0), node.attribute("end"))]
    return all(isinstance(dim, int) and dim >= 0 for dim in dims)


def shape_arithmetic(model: Model, folded: frozenset[NodeKey]) -> frozenset[NodeKey]:
    """Nodes that process the result of a Shape that does not fold, directly or indirectly.

    This ends where data enter: at a node that reads a tensor which is not a shape.
    """
    keys: set[NodeKey] = set()
    for graph in model.graphs():
        tainted: set[str] = set()
        for node in graph.in_order:
            if node.key in folded or node.domain:
                continue
            if node.op_type in SHAPE_READERS:
                tainted.update(node.outputs)
            elif any(name in tainted for name in node.inputs) and all(
                name in tainted or not name or is_static(graph, name, folded) for name in node.inputs
            ):
                keys.add(node.key)
                tainted.update(node.outputs)
    return frozenset(keys)


def is_static(graph: Graph, tensor: str, folded: frozenset[NodeKey]) -> bool:
    """Whether a tensor is stored in the model or known at conversion time, in a function at every call."""
    if _is_static_here(graph, tensor, folded):
        return True
    function = graph.root
    if not function.is_function or tensor not in function.inputs or graph.producer(tensor) is not None:
        return False
    position, calls = function.inputs.index(tensor), function.model.calls[function.path]
    return bool(calls) and all(_is_static_here(call.graph, call.input(position), folded) for call in calls)


def _is_static_here(graph: Graph, tensor: str, folded: frozenset[NodeKey]) -> bool:
    if graph.constant(tensor) is not None or tensor in graph.root.static_inputs:
        return True
    producer = graph.producer(tensor)
    if producer is not None and is_qdq(producer.op_type, producer.domain):
        return _is_stored_quantized(producer, folded)
    return producer is not None and producer.key in folded


def _is_stored_quantized(node: Node, folded: frozenset[NodeKey]) -> bool:
    """Whether a quantizing node's result is stored, which the converter sees when it strips the node."""
    source = node.graph.producer(node.input(0))
    if source is not None and is_qdq(source.op_type, source.domain):  # QuantizeLinear of a stored float
        node = source
        source = node.graph.producer(node.input(0))
    stored = node.graph.constant(node.input(0)) is not None
    return stored or (source is not None and source.key in folded)
