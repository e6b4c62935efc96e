"""The origin of the values of an op that computes nothing."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from dlclint.analysis.matching.terms import sole_reader
from dlclint.model.op_facts import KEEPS_GRID, MOVES, PARTS, RESIZERS, SELECTS

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Node

_PARTS = SELECTS | {*PARTS}
"""Ops whose output holds only some of the input's values."""


def moved_inputs(node: Node) -> tuple[str, ...]:
    """The activations whose values a node's first output holds unchanged; () where it computes."""
    return tuple(name for name in moved_tensors(node) if node.graph.constant(name) is None)


def moved_tensors(node: Node) -> tuple[str, ...]:
    """The tensors, including constants, whose values a node's first output holds; () where it computes."""
    if node.domain:
        return ()
    op = node.op_type
    if op == "Resize" and node.attribute("mode", "nearest") != "nearest":
        return ()
    if op in ("Pad", *RESIZERS) or op in KEEPS_GRID:
        places: tuple[int, ...] = (0,)
    elif op in MOVES and node.attribute("reduction", "none") in ("none", b"none"):
        listed = MOVES[op]
        places = tuple(range(len(node.inputs))) if listed is None else listed
    else:
        return ()
    return tuple(filter(None, map(node.input, places)))


def hands_on_all(node: Node) -> bool:
    """Whether the output of a node holds all values of the tensor that it moves, and not only some."""
    return node.op_type not in _PARTS


def origin(graph: Graph, name: str, known: Container[str]) -> str:
    """The nearest tensor, this one included, that is in `known` and holds the same values; else `name`.

    The search goes back through ops that move one whole tensor.
    """
    current, passed = name, {name}
    while current not in known:
        node = graph.producer(current)
        moved = () if node is None or node.output(0) != current else moved_inputs(node)
        if node is None or len(moved) != 1 or not hands_on_all(node) or moved[0] in passed:
            return name
        current = moved[0]
        passed.add(current)
    return current


def destination(graph: Graph, name: str, wanted: Container[str]) -> str:
    """The nearest tensor, this one included, that is in `wanted` and that this one is moved to; else "".

    The search follows ops that are the only reader of a tensor and only move it.
    """
    passed: set[str] = set()
    while name not in wanted:
        reader = sole_reader(graph, name)
        if reader is None or name in passed or moved_inputs(reader) != (name,):
            return ""
        passed.add(name)
        name = reader.output(0)
    return name
