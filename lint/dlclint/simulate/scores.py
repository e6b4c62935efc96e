"""Which outputs hold scores, and where in them the classes are."""

from __future__ import annotations

from dlclint.analysis.matching.terms import maker_behind
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import JOIN_AXES, MATRICES, RESHAPES, SHARES, UNCHANGED
from dlclint.simulate.measuring import Scores
from dlclint.simulate.network import Network

_SQUASHING = (*SHARES, "Sigmoid", "HardSigmoid")
_PASSING = ("Cast", *UNCHANGED, *RESHAPES)
_LOGITS = (*MATRICES, "Add")
"""Ops that compute the scores of a classifier without a final Softmax."""
_CLASSES = 3
"""With fewer columns, the end of a classifier may also be coordinates."""


def score_tensor(network: Network, name: str, rank: int, sizes: tuple[int, ...]) -> Scores | None:
    """The position of the scores in an output; None where it holds none.

    Scores are the output of Softmax (also in basic ops) or Sigmoid, alone or as a part of a Concat, and the
    rows of at least three numbers with which a classifier of rank 2 ends. `sizes` is the output's shape.
    """
    graph = network.graph
    maker = graph.producer(name)
    if maker is None or maker.domain or not rank:
        return None
    if maker.op_type == "Concat":
        return _in_concat(graph, name, sizes)
    squashed = _squashed(graph, name)
    if squashed is not None:
        axis, independent = squashed[0] % rank, squashed[1]
        return Scores(axis, 0, sizes[axis], independent) if sizes[axis] > 1 else None
    if rank == 2 and maker.op_type in _LOGITS and sizes[1] >= _CLASSES:
        return Scores(1, 0, sizes[1])
    return None


def _squashed(graph: Graph, name: str) -> tuple[int, bool] | None:
    """The axis of the classes of a Softmax or Sigmoid output, and whether each has a separate score."""
    moved = False
    for _ in range(8):
        node = graph.producer(name)
        if node is None or node.domain:
            return None
        if node.op_type in _SQUASHING:
            if "Softmax" in node.op_type and not moved:
                return int(node.attribute("axis", -1)), False
            kind = graph.type_of(name)
            rank = len(kind.shape) if kind is not None and kind.shape is not None else 0
            independent = "Softmax" not in node.op_type
            return (1 if rank >= 3 and independent and not moved else -1), independent
        if node.op_type == "Div":
            axis = _written_out(graph, node)
            return None if axis is None or moved else (axis, False)
        if node.op_type == "Transpose":
            moved, name = True, node.input(0)
        elif node.op_type in _PASSING:
            moved, name = moved or node.op_type in JOIN_AXES, node.input(0)
        else:
            return None
    return None


def _written_out(graph: Graph, node: Node) -> int | None:
    """The axis of a Softmax that is written as Exp(x) over its sum; None for any other division."""
    above = graph.producer(node.input(0))
    below = maker_behind(graph, node.input(1), (*_PASSING, "Expand"))
    if above is None or below is None or (above.op_type, below.op_type) != ("Exp", "ReduceSum"):
        return None
    if below.input(0) != node.input(0):
        return None
    stored = graph.constant(below.input(1)) if below.input(1) else None
    axes = below.attribute("axes") if stored is None else stored.array().reshape(-1).tolist()
    return int(axes[0]) if axes is not None and len(axes) == 1 else None


def _in_concat(graph: Graph, name: str, sizes: tuple[int, ...]) -> Scores | None:
    """The adjacent parts of a Concat that are scores."""
    concat = graph.producer(name)
    assert concat is not None
    axis = int(concat.attribute("axis", 0)) % len(sizes)
    position = 0
    first = last = None
    independent = False
    for part in concat.inputs:
        kind = graph.type_of(part)
        size = kind.shape[axis] if kind is not None and kind.shape is not None else None
        if not isinstance(size, int):
            return None
        squashed = _squashed(graph, part)
        if squashed is not None:
            independent |= squashed[1]
            first = position if first is None else first
            last = position + size
        position += size
    if first is None or last is None or last - first < 2 or position != sizes[axis]:
        return None
    return Scores(axis, first, last, independent)
