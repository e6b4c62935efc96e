"""Estimates through products of two activations: attention scores, and weighted averages by attention."""

from __future__ import annotations

from collections.abc import Mapping

from dlclint.analysis.activations.estimate import Basis, Estimate, normal
from dlclint.analysis.matching.terms import maker_behind
from dlclint.model.graph import Node
from dlclint.model.op_facts import UNCHANGED

_PASSED = frozenset({"Cast", *UNCHANGED})
"""Ops that may be between a Softmax and the product that uses it as weights."""


def through_product(node: Node, estimates: Mapping[str, Estimate]) -> Estimate | None:
    """The estimate of a MatMul whose inputs are both activations.

    The rows of a Softmax are shares that add up to 1, so a weighted average by them stays within the range of
    the values, and varies no more than they do. Elsewhere values are assumed independent, and a sum of many
    products normal.
    """
    right = estimates.get(node.input(1))
    if right is None:
        return None
    if _is_shares(node):
        whole = right.whole()
        basis = whole.basis if not whole.known else max(whole.basis, Basis.PROPAGATED)
        return Estimate(whole.mean, whole.deviation, whole.low, whole.high, basis, whole.known)
    left = estimates.get(node.input(0))
    count = _summed(node)
    if left is None or not left.known or not right.known or count is None:
        return None
    one, other = left.whole(), right.whole()
    mean = one.mean * other.mean
    square = (one.mean**2 + one.deviation**2) * (other.mean**2 + other.deviation**2)
    basis = max(one.basis, other.basis, Basis.PROPAGATED)
    return normal(count * mean, (count * (square - mean**2).clip(0.0)) ** 0.5, basis)


def _is_shares(node: Node) -> bool:
    """Whether the left factor is a Softmax along the summed axis."""
    graph = node.graph
    producer = maker_behind(graph, node.input(0), _PASSED)
    if producer is None or producer.op_type != "Softmax" or producer.domain:
        return False
    rank = graph.rank(producer.input(0))
    axis = producer.attribute("axis", None)
    if axis is None:
        # Before opset 13 it was axis 1, which is the last axis only of a matrix.
        return (graph.model.opsets.get("", 0) >= 13) or rank == 2
    return axis == -1 or (rank is not None and axis == rank - 1)


def _summed(node: Node) -> int | None:
    """The number of products that are summed into each output."""
    for name, axis in ((node.input(0), -1), (node.input(1), -2)):
        kind = node.graph.type_of(name)
        size = kind.shape[axis] if kind is not None and kind.shape and len(kind.shape) >= -axis else None
        if isinstance(size, int) and size > 0:
            return size
    return None
