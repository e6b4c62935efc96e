"""The results of a walk over a graph by tensor, computed as far as they are requested.

Most requests are about few tensors, and an estimate needs nothing from before a normalization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from dlclint.model.graph import Node

Found = TypeVar("Found")


class OnDemand(Mapping[str, Found]):
    """What `visit` puts into `results` for each of the nodes, in their order; by the tensor's name.

    `needs` names the tensors on which a node's own depends. Nodes that no request depends on are not visited,
    unless the graph is not sorted: then all are, in their order.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        visit: Callable[[Node], None],
        needs: Callable[[Node], Iterable[str]],
        results: MutableMapping[str, Found],
    ) -> None:
        self._nodes = nodes
        self._visit = visit
        self._needs = needs
        self._found = results
        self._makers: dict[str, int] = {}
        """The node that produces a tensor, until it has been visited."""
        if not self._order():
            self._makers.clear()
            for node in nodes:
                visit(node)

    def _order(self) -> bool:
        """Record the producer of each tensor; False if one is read before it is produced, or has two."""
        read: set[str] = set()
        for position, node in enumerate(self._nodes):
            read.update(node.inputs)
            for name in node.outputs:
                if name and (name in read or name in self._makers):
                    return False
                self._makers[name] = position
        self._makers.pop("", None)
        return True

    def _ask(self, name: str) -> None:
        """Visit the node that produces a tensor, after whatever it depends on."""
        wanted: dict[int, Node] = {}
        pending = [name]
        while pending:
            position = self._makers.get(pending.pop())
            if position is None or position in wanted:
                continue
            node = wanted[position] = self._nodes[position]
            pending += self._needs(node)
        for position in sorted(wanted):
            self._visit(wanted[position])
            for output in wanted[position].outputs:
                self._makers.pop(output, None)

    def __getitem__(self, name: str) -> Found:
        if name in self._makers:
            self._ask(name)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        for position in sorted(set(self._makers.values())):
            self._visit(self._nodes[position])
        self._makers.clear()
        return iter(self._found)

    def __len__(self) -> int:
        return sum(1 for _ in self)
