"""Which nodes of a model the messages of a log are about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dlclint.diagnostic import plain
from dlclint.explain.model import Explained, LogPlace
from dlclint.model.graph import Model, Node

_OTHER = re.compile(r"[^A-Za-z0-9]+")


def located(explained: Iterable[Explained], model: Model) -> Iterator[Explained]:
    """The messages with the nodes that they are about, where the model has them."""
    index = _Index(model)
    for message in explained:
        node = index.find(message.groups)
        if node is None:
            yield replace(message, alike=index.alike(message.groups))
        else:
            yield replace(message, node=_place(node))


class _Index:
    """Nodes by name, by output and by the converters' spelling of either; ops by name in lower case."""

    def __init__(self, model: Model) -> None:
        self.exact: dict[str, Node] = {}
        self.spelled: dict[str, Node | None] = {}
        """None where two names become one: then the log does not determine which is meant."""
        self.ops: dict[str, list[Node]] = {}
        self._places: dict[str, tuple[LogPlace, ...]] = {}
        for graph in model.graphs():
            for node in graph.nodes:
                self.ops.setdefault(node.op_type.lower(), []).append(node)
                for name in filter(None, dict.fromkeys((node.name, *node.outputs))):
                    self.exact.setdefault(name, node)
                    spelled = _spelled(name)
                    if self.spelled.get(spelled, node) is not node:
                        self.spelled[spelled] = None
                    else:
                        self.spelled[spelled] = node

    def find(self, groups: dict[str, str]) -> Node | None:
        """The node of a message, by its name or tensor, or by an op that only one node has."""
        for part in ("node", "tensor"):
            name = groups.get(part, "")
            if name:
                node = self.exact.get(name) or self.spelled.get(_spelled(name))
                if node is not None:
                    return node
        nodes = self._with_op(groups)
        return nodes[0] if len(nodes) == 1 else None

    def alike(self, groups: dict[str, str]) -> tuple[LogPlace, ...]:
        """All nodes with the op of a message."""
        op = groups.get("op", "").lower()
        if op not in self._places:
            self._places[op] = tuple(map(_place, self._with_op(groups)))
        return self._places[op]

    def _with_op(self, groups: dict[str, str]) -> list[Node]:
        return self.ops.get(groups.get("op", "").lower(), [])


def _spelled(name: str) -> str:
    """A name as the converters write it: each run of other characters than letters and digits is one `_`."""
    return _OTHER.sub("_", name).strip("_").lower()


def _place(node: Node) -> LogPlace:
    return LogPlace(
        plain(node.graph.path), node.index, plain(node.name), plain(node.op_type), plain(node.output(0))
    )
