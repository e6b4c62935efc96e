"""Which finding follows from which: what a rule declares to follow from, looked for near its findings.

A finding has one cause: the nearest of those that its rule names (`follows`), at the same place before those
upstream of it, and these before those anywhere in the file. At a node that the converter stops at, what a
runtime would make of it follows from that, whatever the rules declare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dlclint.diagnostic import Cause, Diagnostic, Reach, Severity

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Model, Node

Spot = tuple[str, str, int | str]
"""A graph's path with a node's index or a tensor's name, and which of both it is."""


def with_causes(findings: Iterable[Diagnostic], model: Model | None) -> list[Diagnostic]:
    """The findings on one file, each with its cause where that is among them; the order stays."""
    found = list(findings)
    sought = _Sought(found, model)
    return [item if (cause := sought.cause(item)) is None else replace(item, cause=cause) for item in found]


class _Sought:
    """The findings on a file by rule and place, as far as one of them may be the cause of another."""

    def __init__(self, found: Sequence[Diagnostic], model: Model | None) -> None:
        self._graphs: Mapping[str, Graph] = (
            {} if model is None else {graph.path: graph for graph in model.graphs()}
        )
        named = {rule for item in found for rule in item.follows}
        self._by_rule: dict[str, list[Diagnostic]] = {}
        self._here: dict[tuple[str, Spot], Diagnostic] = {}
        self._stops: dict[Spot, Diagnostic] = {}
        self._before: dict[str, Mapping[tuple[str, str], Diagnostic]] = {}
        for item in sorted(found, key=Diagnostic.sort_key):
            place = item.location
            if item.rule in named:
                self._by_rule.setdefault(item.rule, []).append(item)
                for spot in self._spots(item):
                    self._here.setdefault((item.rule, spot), item)
            stops = item.severity is Severity.ERROR and item.about.stops_conversion
            if stops and place.node_index is not None:
                self._stops.setdefault(("node", place.graph, place.node_index), item)

    def cause(self, item: Diagnostic) -> Cause | None:
        """The finding that another follows from."""
        found = self._nearest(item) if self._by_rule and item.follows else None
        place = item.location
        if found is None and item.about.speaks_of_runtime and place.node_index is not None:
            found = self._stops.get(("node", place.graph, place.node_index))
        return None if found is None else Cause(found.rule, found.location)

    def _nearest(self, item: Diagnostic) -> Diagnostic | None:
        rules = {rule: reach for rule, reach in item.follows.items() if rule in self._by_rule}
        if not rules:
            return None
        for spot in self._spots(item):
            for rule in rules:
                if (rule, spot) in self._here:
                    return self._here[rule, spot]
        for rule, reach in rules.items():
            if reach is Reach.BEFORE:
                origins = self._origins(rule)
                for key in self._read(item):
                    if key in origins:
                        return origins[key]
        return next((self._by_rule[rule][0] for rule, reach in rules.items() if reach is Reach.FILE), None)

    def _spots(self, item: Diagnostic) -> Iterator[Spot]:
        """Where a finding is: its node, or its tensor and the nodes around that."""
        for place in (item.location, *(other.location for other in item.related if other.holds)):
            if place.node_index is not None:
                yield "node", place.graph, place.node_index
            elif place.tensor:
                yield "tensor", place.graph, place.tensor
                for node in self._around(place.graph, place.tensor):
                    yield "node", node.graph.path, node.index

    def _around(self, path: str, tensor: str) -> Iterator[Node]:
        graph = self._graphs.get(path)
        if graph is not None:
            maker = graph.producer(tensor)
            yield from (() if maker is None else (maker,))
            yield from graph.consumers(tensor)

    def _read(self, item: Diagnostic) -> Iterator[tuple[str, str]]:
        """The tensors that a finding's node reads, or the one that it is about."""
        place = item.location
        graph = self._graphs.get(place.graph)
        if graph is None:
            return
        known = place.node_index is not None and place.node_index < len(graph.nodes)
        names = graph.nodes[place.node_index or 0].inputs if known else (place.tensor,)
        yield from ((graph.root.path, name) for name in names if name)

    def _origins(self, rule: str) -> Mapping[tuple[str, str], Diagnostic]:
        """The finding of a rule upstream of each tensor, by the root of its graph and its name."""
        if rule not in self._before:
            seeds = {spot: item for item in self._by_rule[rule] for spot in self._spots(item)}
            found: dict[tuple[str, str], Diagnostic] = {}
            for (kind, path, name), item in seeds.items():
                if kind == "tensor" and path in self._graphs:
                    found[self._graphs[path].root.path, str(name)] = item
            for path, graph in self._graphs.items():
                root = graph.root.path
                for node in graph.nodes:
                    read = (found.get((root, name)) for name in node.inputs)
                    origin = seeds.get(("node", path, node.index)) or next(filter(None, read), None)
                    if origin is not None:
                        found.update(((root, name), origin) for name in node.outputs if name)
            self._before[rule] = found
        return self._before[rule]
