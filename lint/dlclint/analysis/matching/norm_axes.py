"""Normalizations that are spelled out over other axes than the last ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.matching.terms import squared
from dlclint.model.op_facts import FACTORS
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Node


@record
class SpelledNorm:
    """(x - mean) / sqrt(mean of squares + e), or x / sqrt(mean of squares + e), over axes of x."""

    last: Node
    tensor: str
    axes: tuple[int, ...]
    rank: int
    nodes: int
    """How many nodes spell it, without a factor and a summand behind."""
    centered: bool


def spelled_norms(graph: Graph) -> Iterator[SpelledNorm]:
    """Every normalization of a graph that is spelled out, whatever its axes, in the order of the nodes."""
    for node in graph.nodes:
        if node.domain or node.op_type not in FACTORS or len(node.inputs) != 2:
            continue
        for top, bottom in (node.inputs, node.inputs[::-1])[: 1 if node.op_type == "Div" else 2]:
            found = _matched(node, top, bottom)
            if found is not None:
                yield found
                break


def _matched(node: Node, top: str, bottom: str) -> SpelledNorm | None:
    graph = node.graph
    root = graph.producer(bottom)
    extra = 0
    if node.op_type == "Mul":
        if root is None or root.op_type != "Reciprocal":
            return None
        root, extra = graph.producer(root.input(0)), 1
    if root is None or root.op_type != "Sqrt":
        return None
    shifted = graph.producer(root.input(0))
    if shifted is None or shifted.op_type != "Add":
        return None
    mean = next((made for name in shifted.inputs if _is_mean(made := graph.producer(name))), None)
    square = None if mean is None else graph.producer(mean.input(0))
    if mean is None or square is None or squared(square) != top:
        return None
    axes, rank = mean_axes(mean), graph.rank(mean.input(0))
    if axes is None or rank is None:
        return None
    center = graph.producer(top)
    if center is not None and center.op_type == "Sub" and len(center.inputs) == 2:
        own = graph.producer(center.input(1))
        if own is not None and _is_mean(own) and own.input(0) == center.input(0) and mean_axes(own) == axes:
            return SpelledNorm(node, center.input(0), axes, rank, 7 + extra, True)
    return SpelledNorm(node, top, axes, rank, 5 + extra, False)


def trailing(rank: int, count: int) -> tuple[int, ...]:
    """The last axes of a tensor, counted from the front."""
    return tuple(range(rank - count, rank))


def _is_mean(node: Node | None) -> bool:
    if node is None or node.domain or node.op_type != "ReduceMean":
        return False
    return bool(node.attribute("keepdims", 1))


def mean_axes(node: Node) -> tuple[int, ...] | None:
    """The axes of a mean, counted from the front, in order; None where they are not known."""
    rank = node.graph.rank(node.input(0))
    written = node.attribute("axes")
    if not isinstance(written, list):
        stored = node.graph.model.values.whole(node.graph, node.input(1)) if node.input(1) else None
        written = None if stored is None else [int(axis) for axis in stored.reshape(-1)]
    if rank is None or not written or not all(-rank <= axis < rank for axis in written):
        return None
    return tuple(sorted(axis % rank for axis in written))
