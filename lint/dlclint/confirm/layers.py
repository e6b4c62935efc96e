"""Subgraphs that are one op in a quantized model, as the converter makes one layer of each.

The provider would make float ops of their nodes, and Hexagon v68 then compiles neither these nor quantized
ops of the same graph (measured).
"""

from __future__ import annotations

from onnx import TensorProto

from dlclint.analysis.matching.norm_axes import mean_axes, trailing
from dlclint.analysis.matching.patterns import Pattern
from dlclint.analysis.matching.terms import scalar
from dlclint.analysis.view import ModelView
from dlclint.model.graph import Graph
from dlclint_schemas.record import record


@record
class Gelu:
    """A GELU as one op."""


@record
class Normalization:
    """What a layer normalization needs as one op: its first axis, from the end, epsilon and last sizes."""

    axis: int
    epsilon: float
    sizes: tuple[int, ...]


def one_op_patterns(view: ModelView) -> dict[Pattern, Gelu | Normalization]:
    """The patterns of the main graph that one op can replace: nothing else reads a part of them."""
    graph = view.model.graph
    found: dict[Pattern, Gelu | Normalization] = {}
    for pattern in view.patterns:
        if pattern.path != graph.path or not pattern.is_closed(graph):
            continue
        op = Gelu() if pattern.layer == "Gelu" else _normalization(pattern, graph)
        if op is not None:
            found[pattern] = op
    return found


def _normalization(pattern: Pattern, graph: Graph) -> Normalization | None:
    if pattern.layer != "LayerNorm":
        return None
    members, known = pattern.members(graph), graph.type_of(pattern.source)
    means = {mean_axes(node) for node in members if node.op_type == "ReduceMean"}
    plus = next(node for node in members if node.op_type == "Add")
    epsilons = [value for name in plus.inputs if (value := scalar(graph, name)) is not None]
    shape = None if known is None or known.data_type != TensorProto.FLOAT else known.static_shape
    axes = next(iter(means)) if len(means) == 1 else None
    if not shape or not all(shape) or not axes or axes != trailing(len(shape), len(axes)) or not epsilons:
        return None
    return Normalization(-len(axes), epsilons[0], shape[-len(axes) :])
