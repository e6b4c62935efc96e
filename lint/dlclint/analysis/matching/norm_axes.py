"""Normalizations that are written with basic ops, over any axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.matching.terms import is_near, maker_behind, scalar, squared
from dlclint.model.evaluation.bounds import whole_numbers
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
    """The number of nodes, without a factor and a summand after them."""
    centered: bool


def spelled_norms(graph: Graph) -> Iterator[SpelledNorm]:
    """Every normalization of a graph that is written with basic ops, whatever its axes, in graph order."""
    for node in graph.nodes:
        if node.domain or node.op_type not in FACTORS or len(node.inputs) != 2:
            continue
        for top, bottom in (node.inputs, node.inputs[::-1])[: 1 if node.op_type == "Div" else 2]:
            spelled_norm = _matched(node, top, bottom)
            if spelled_norm is not None:
                yield spelled_norm
                break


def _matched(node: Node, top: str, bottom: str) -> SpelledNorm | None:
    graph = node.graph
    mean, between = mean_under_root(node, bottom)
    square = None if mean is None else graph.producer(mean.input(0))
    if mean is None or not _is_mean(mean) or square is None or not _same(graph, squared(square), top):
        return None
    axes, rank = mean_axes(mean), graph.rank(mean.input(0))
    if axes is None or rank is None:
        return None
    center = graph.producer(top)
    if center is not None and center.op_type == "Sub" and len(center.inputs) == 2:
        own = graph.producer(center.input(1))
        if own is not None and _is_mean(own) and own.input(0) == center.input(0) and mean_axes(own) == axes:
            return SpelledNorm(node, center.input(0), axes, rank, between + 5, True)
    return SpelledNorm(node, top, axes, rank, between + 3, False)


def _same(graph: Graph, one: str, other: str) -> bool:
    """Whether two names are one tensor, or one difference: old exporters write it twice."""
    first, second = graph.producer(one), graph.producer(other)
    if one == other or first is None or second is None:
        return one == other
    return first.op_type == second.op_type == "Sub" and first.inputs == second.inputs


def mean_under_root(node: Node, bottom: str) -> tuple[Node | None, int]:
    """The mean, with epsilon added, whose root a Div or Mul divides by, and how many nodes are in between.

    A Mul divides where its operand is Reciprocal of the root, 1 / root, or Pow of -0.5.
    """
    graph, wanted, between = node.graph, 0.5, 2
    root = graph.producer(bottom)
    if node.op_type == "Mul" and root is not None:
        if root.op_type == "Reciprocal":
            root, between = graph.producer(root.input(0)), 3
        elif root.op_type == "Div" and scalar(graph, root.input(0)) == 1.0:
            root, between = graph.producer(root.input(1)), 3
        elif root.op_type == "Pow":
            wanted = -0.5
        else:
            return None, 0
    if root is None or root.domain:
        return None, 0
    is_power = root.op_type == "Pow" and is_near(scalar(graph, root.input(1)), wanted)
    if root.op_type != "Sqrt" and not is_power:
        return None, 0
    shifted = graph.producer(root.input(0))
    if shifted is None or shifted.op_type != "Add" or len(shifted.inputs) != 2:
        return None, 0
    producers = filter(None, map(graph.producer, shifted.inputs))
    return next((mean for mean in producers if mean.op_type == "ReduceMean"), None), between


def normalized_after_factor(node: Node) -> str:
    """What a Mul by a stored factor normalizes, where the factor is its first operand, else "".

    The normalization is x * Reciprocal(Sqrt(ReduceMean(Pow(x, 2)) + epsilon)) over the last axis, each op
    with its operands in this order.
    """
    graph = node.graph
    inner = maker_behind(graph, node.input(1), ("Cast",))
    if inner is None or inner.domain or inner.op_type != "Mul" or graph.producer(inner.input(1)) is None:
        return ""
    mean, _ = mean_under_root(inner, inner.input(1))
    root = graph.producer(inner.input(1))
    if mean is None or root is None or root.op_type == "Pow" or not _is_mean(mean):
        return ""
    square, rank = graph.producer(mean.input(0)), graph.rank(mean.input(0))
    shifted = next(iter(graph.consumers(mean.outputs[0])), None)
    if square is None or square.op_type != "Pow" or squared(square) != inner.input(0) or rank is None:
        return ""
    first = shifted is not None and shifted.input(0) == mean.outputs[0]
    return inner.input(0) if first and mean_axes(mean) == (rank - 1,) else ""


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
        name = node.input(1)
        written = whole_numbers(node.graph.model.values.whole(node.graph, name)) if name else None
    if rank is None or not written or not all(-rank <= axis < rank for axis in written):
        return None
    return tuple(sorted(axis % rank for axis in written))
