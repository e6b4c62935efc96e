"""Additional places of findings: the producer and readers of a tensor, and further nodes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dlclint.rule import Place

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Node

MOST = 10
"""Places that a finding has in addition to its own."""


def source(graph: Graph, tensor: str, what: str) -> Place:
    """Where a tensor comes from: the node that produces it, or the tensor if it is stored or an input.

    `what` describes the tensor, such as "its input".
    """
    return Place(what, graph.producer(tensor), tensor, graph)


def destinations(graph: Graph, tensor: str, what: str = "reads it") -> tuple[Place, ...]:
    """The nodes that read a tensor."""
    return tuple(Place(what, node, tensor) for node in graph.consumers(tensor)[:MOST])


def nodes(listed: Iterable[Node], what: str) -> tuple[Place, ...]:
    """Further nodes, each once."""
    each = {node.key: node for node in listed}
    return tuple(Place(what, node) for node in [*each.values()][:MOST])
