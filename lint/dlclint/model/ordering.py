"""Nodes in an order in which each tensor is produced before it is read.

ONNX requires this order of the nodes of a graph; ONNX Runtime sorts them itself, and onnx's inference and
checker use the order of the file. What propagates through a model from its inputs uses this order.
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
    """The nodes of a graph in topological order; unchanged where they have that order, or form a cycle."""
    if _lie_so((_read_by(node), node.outputs) for node in reversed(graph.nodes)):
        return graph.nodes
    places = _order([(_read_by(node), node.outputs) for node in graph.nodes])
    return graph.nodes if places is None else [graph.nodes[position] for position in places]


def protos_in_order(graph: onnx.GraphProto) -> list[onnx.NodeProto] | None:
    """The nodes of a graph as it is in a file, sorted; None where they are sorted, or form a cycle."""
    if _lie_so((_read(node), node.output) for node in reversed(graph.node)):
        return None
    nodes = list(graph.node)
    places = _order([(_read(node), tuple(node.output)) for node in nodes])
    return None if places is None else [nodes[position] for position in places]


def _lie_so(last_first: Iterable[tuple[Iterable[str], Iterable[str]]]) -> bool:
    """Whether no node reads what a later one produces; holds only names, as nearly all graphs are sorted."""
    later: set[str] = set()
    for read, written in last_first:
        if not later.isdisjoint(read):
            return False
        later.update(filter(None, written))
    return True


def _order(nodes: Sequence[tuple[Iterable[str], Sequence[str]]]) -> list[int] | None:
    """The indices of nodes in topological order, from the names that each reads and produces."""
    makers = {name: position_of for position_of, (_, written) in enumerate(nodes) for name in written if name}
    needs = [
        {makers[name] for name in read if name in makers} - {position_of}
        for position_of, (read, _) in enumerate(nodes)
    ]
    readers: dict[int, list[int]] = {}
    for position, needed in enumerate(needs):
        for need in needed:
            readers.setdefault(need, []).append(position)
    ready = [index for index, needed in enumerate(needs) if not needed]
    left = [len(needed) for needed in needs]
    for position in ready:  # which grows in the loop
        for reader in readers.get(position, ()):
            left[reader] -= 1
            if not left[reader]:
                ready.append(reader)
    return None if len(ready) < len(nodes) else ready


def _read_by(node: Node) -> Iterator[str]:
    """The names that a node reads, including in its bodies."""
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
