"""Nodes in an order in which each tensor is made before it is read.

ONNX demands that the nodes of a graph lie so; ONNX Runtime sorts them by itself, and onnx's inference and
checker go by the order of the file. What follows a model from its inputs on goes by the order given here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import onnx

from dlclint.model.op_facts import WITH_BODIES
from dlclint.model.protos import subgraphs

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Node


def topological_order(graph: Graph) -> Sequence[Node]:
    """The nodes of a graph in topological order; as they are where they lie so, or end in a cycle."""
    if _lie_so((_read_by(node), node.outputs) for node in reversed(graph.nodes)):
        return graph.nodes
    places = _order([(_read_by(node), node.outputs) for node in graph.nodes])
    return graph.nodes if places is None else [graph.nodes[position] for position in places]


def protos_in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto] | None:
    """The nodes of a graph as it lies in a file, sorted; None where they lie so, or end in a cycle."""
    if _lie_so((_read(node), node.output) for node in reversed(graph.node)):
        return None
    nodes = list(graph.node)
    places = _order([(_read(node), tuple(node.output)) for node in nodes])
    return None if places is None else [nodes[position] for position in places]


def _lie_so(last_first: Iterable[tuple[Iterable[str], Iterable[str]]]) -> bool:
    """Whether no node reads what a later one makes; holds names alone, for nearly all graphs lie so."""
    later: set[str] = set()
    for read, made in last_first:
        if not later.isdisjoint(read):
            return False
        later.update(filter(None, made))
    return True


def _order(nodes: Sequence[tuple[Iterable[str], Sequence[str]]]) -> list[int] | None:
    """The places of nodes, of which the names read and made are given, in topological order."""
    makers = {name: place for place, (_, made) in enumerate(nodes) for name in made if name}
    needs = [
        {makers[name] for name in read if name in makers} - {place} for place, (read, _) in enumerate(nodes)
    ]
    readers: dict[int, list[int]] = {}
    for position, found in enumerate(needs):
        for need in found:
            readers.setdefault(need, []).append(position)
    ready = [index for index, found in enumerate(needs) if not found]
    left = [len(found) for found in needs]
    for position in ready:  # which grows meanwhile
        for reader in readers.get(position, ()):
            left[reader] -= 1
            if not left[reader]:
                ready.append(reader)
    return None if len(ready) < len(nodes) else ready


def _read_by(node: Node) -> Iterator[str]:
    """The names that a node reads, its bodies included."""
    yield from node.inputs
    for body in node.subgraphs:
        for graph in body.with_subgraphs():
            for inner in graph.nodes:
                yield from inner.inputs


def _read(proto: onnx.NodeProto) -> Iterator[str]:
    yield from proto.input
    pending = [proto] if proto.op_type in WITH_BODIES else []
    while pending:
        for _, body in subgraphs(pending.pop()):
            for inner in body.node:
                yield from inner.input
                if inner.op_type in WITH_BODIES:
                    pending.append(inner)
