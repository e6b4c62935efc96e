"""Sums of squares inside a graph: how many values they sum, and how large they become.

A norm of moderate values has a large square, and in float16 that square overflows: 512 values of 12 have a
norm of 272 and squares that sum up to 73,728, beyond 65,504.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dlclint.analysis.matching.norm_axes import mean_under_root
from dlclint.analysis.matching.terms import squared, stored_integers
from dlclint.analysis.moving import origin
from dlclint.model.op_facts import FACTORS, SQUARE_SUMS
from dlclint.model.types import LARGEST
from dlclint.target import Runtime
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView
    from dlclint.model.graph import Node

_SUMS = (*SQUARE_SUMS, "LpNormalization")
"""Ops that square and sum their input themselves. HTP's normalizations (of layers, instances, groups, by root
mean square, LpNormalization) do so too, and kept 70 dB at every size when measured in float16.
"""


@record
class SumOfSquares:
    """A node that sums squares: the tensor, how many of its values, and what is known about the sum.

    `expected` is the sum by estimated moments of the values; `least` and `most` are guaranteed: the sum of
    the smallest and of the largest squares that the values can have; None where nothing is known.
    """

    node: Node
    tensor: str
    count: int
    expected: float | None
    least: float
    most: float | None


@record
class MeanOfSquares:
    """A node that takes the mean of squares: the tensor, and its largest value (None: unknown).

    The mean stays small where a square does not: from 256 on a square exceeds float16.
    """

    node: Node
    tensor: str
    largest: float | None
    estimated: bool


def means_of_squares(view: ModelView) -> Iterator[MeanOfSquares]:
    """Every mean of squares, in graph order, except those inside a pattern that becomes one op."""
    view = view.as_float
    for node in view.nodes():
        square = node.graph.producer(node.input(0)) if node.op_type == "ReduceMean" else None
        tensor = squared(square) if square is not None else ""
        if not tensor or node.domain or (node.key in view.in_pattern and _is_trailing(node)):
            continue
        if node.graph is not view.model.graph:
            yield MeanOfSquares(node, tensor, None, False)
            continue
        sure, estimates = view.certain(node.graph), view.activations
        known = sure.get(origin(node.graph, tensor, sure))
        estimate = estimates.get(origin(node.graph, tensor, estimates))
        if known is not None and known.finite and known.tight:
            yield MeanOfSquares(node, tensor, max(abs(known.minimum), abs(known.maximum)), False)
        elif estimate is not None:
            yield MeanOfSquares(node, tensor, max(abs(estimate.minimum), abs(estimate.maximum)), True)
        else:
            yield MeanOfSquares(node, tensor, None, False)


def _is_trailing(node: Node) -> bool:
    """Whether the last axes are reduced, as a layer normalization does."""
    axes, rank = summed_axes(node), node.graph.rank(node.input(0))
    return axes is None or rank is None or sorted(axes) == list(range(rank - len(axes), rank))


def sums_of_squares(view: ModelView) -> Iterator[SumOfSquares]:
    """Every sum of several squares, in graph order, except those inside a pattern that becomes one op."""
    fused = view.in_pattern
    safe = ("LpNormalization",) if Runtime.HTP in view.target.considered else ()
    for node in view.as_float.nodes():
        if node.domain or node.key in fused or node.key in view.folded or node.op_type in safe:
            continue
        tensor = _summed(node)
        count = _count(node) if tensor else None
        if count is not None and count > 1:
            yield _judged(view, node, tensor, count)


def _summed(node: Node) -> str:
    """The tensor whose squares a node sums; "" where it sums none."""
    if node.op_type == "LpNormalization":
        return node.input(0) if int(node.attribute("p", 2)) == 2 else ""
    if node.op_type in _SUMS:
        return node.input(0)
    if node.op_type != "ReduceSum":
        return ""
    square = node.graph.producer(node.input(0))
    return squared(square) if square is not None else ""


def divides_by_own_rms(node: Node) -> bool:
    """Whether a node is x / sqrt(mean(x^2) + e), however it is written: a root mean square normalization."""
    if node.op_type not in FACTORS or len(node.inputs) != 2:
        return False
    for x, root in (node.inputs, node.inputs[::-1])[: 1 if node.op_type == "Div" else 2]:
        mean, _ = mean_under_root(node, root)
        square = None if mean is None else node.graph.producer(mean.input(0))
        if square is not None and squared(square) == x:
            return True
    return False


def summed_axes(node: Node) -> list[int] | None:
    """The axes that a node sums over, counted from the front; None where they are not known."""
    rank = node.graph.rank(node.input(0))
    if rank is None:
        return None
    if node.op_type == "LpNormalization":
        axes = [int(node.attribute("axis", -1))]
    elif node.has("axes"):
        axes = [int(axis) for axis in node.attribute("axes")]
    elif node.input(1):
        stored = stored_integers(node.graph, node.input(1))
        if stored is None:
            return None
        axes = stored
    else:
        axes = []
    if not axes and node.op_type != "LpNormalization":
        axes = [] if node.attribute("noop_with_empty_axes", 0) else list(range(rank))
    return [axis % rank for axis in axes] if all(-rank <= axis < rank for axis in axes) else None


def _count(node: Node) -> int | None:
    axes, tensor_type = summed_axes(node), node.graph.type_of(node.input(0))
    if axes is None or tensor_type is None or tensor_type.shape is None:
        return None
    sizes = [tensor_type.shape[axis] for axis in axes]
    known = [size for size in sizes if isinstance(size, int)]
    count = math.prod(known) if len(known) == len(sizes) else None
    return None if count is None or count > LARGEST else count


def _judged(view: ModelView, node: Node, tensor: str, count: int) -> SumOfSquares:
    if node.graph is not view.as_float.model.graph:
        return SumOfSquares(node, tensor, count, None, 0.0, None)
    expected, least, most = None, 0.0, None
    estimates, ranges = view.as_float.activations, view.as_float.certain(node.graph)
    estimate = estimates.get(origin(node.graph, tensor, estimates))
    if estimate is not None and estimate.known:
        squares = estimate.mean**2 + estimate.deviation**2
        over_channels = estimate.channels == 1 or 1 in (summed_axes(node) or ())
        mean = float(squares.mean() if over_channels else squares.max())
        expected = min(count * mean, sys.float_info.max)
    sure = ranges.get(origin(node.graph, tensor, ranges))
    if sure is not None:
        nearest = np.maximum(np.maximum(sure.low, -sure.high), 0.0)
        lowest, largest = float(nearest.min()), max(abs(sure.minimum), abs(sure.maximum))
        least = count * lowest * lowest  # which becomes infinite where a power would raise an error
        bound = count * largest * largest
        most = bound if np.isfinite(bound) else None
    return SumOfSquares(node, tensor, count, expected, least, most)
