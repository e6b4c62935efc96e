"""Which finding follows from which: the causes that a rule declares are looked for near its findings.

A finding has one cause: the nearest of those that its rule names (`follows`). A finding at the same place is
preferred to one upstream, and one upstream to any other in the file. At a node that the converter stops at, a
finding about a runtime follows from the converter's, whatever the rules declare.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dlclint.diagnostic import Cause, Diagnostic, Reach, Severity

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Model, Node

Spot = tuple[str, str, int | str]
"""A graph's path with a node's index or a tensor's name, and which of the two it is."""


def with_causes(findings: Iterable[Diagnostic], model: Model | None) -> list[Diagnostic]:
    """The findings on one file, in the same order, each with its cause where that is among them."""
    diagnostics = list(findings)
    sought = _Sought(diagnostics, model)
    return [
        finding if (cause := sought.cause(finding)) is None else replace(finding, cause=cause)
        for finding in diagnostics
    ]


class _Sought:
    """The findings on a file by rule and place, as far as one of them may be the cause of another."""

    def __init__(self, diagnostics: Sequence[Diagnostic], model: Model | None) -> None:
        self._graphs: Mapping[str, Graph] = (
            {} if model is None else {graph.path: graph for graph in model.graphs()}
        )
        named = {rule for diagnostic in diagnostics for rule in diagnostic.follows}
        self._by_rule: dict[str, list[Diagnostic]] = {}
        self._here: dict[tuple[str, Spot], Diagnostic] = {}
        self._stops: dict[Spot, Diagnostic] = {}
        self._before: dict[str, Mapping[tuple[str, str], Diagnostic]] = {}
        for finding in sorted(diagnostics, key=Diagnostic.sort_key):
            location = finding.location
            if finding.rule in named:
                self._by_rule.setdefault(finding.rule, []).append(finding)
                for spot in self._spots(finding):
                    self._here.setdefault((finding.rule, spot), finding)
            stops = finding.severity is Severity.ERROR and finding.about.stops_conversion
            if stops and location.node_index is not None:
                self._stops.setdefault(("node", location.graph, location.node_index), finding)

    def cause(self, diagnostic: Diagnostic) -> Cause | None:
        """The finding that another follows from."""
        finding = self._nearest(diagnostic) if self._by_rule and diagnostic.follows else None
        location = diagnostic.location
        if finding is None and diagnostic.about.speaks_of_runtime and location.node_index is not None:
            finding = self._stops.get(("node", location.graph, location.node_index))
        return None if finding is None else Cause(finding.rule, finding.location)

    def _nearest(self, finding: Diagnostic) -> Diagnostic | None:
        rules = {rule: reach for rule, reach in finding.follows.items() if rule in self._by_rule}
        if not rules:
            return None
        for spot in self._spots(finding):
            for rule in rules:
                if (rule, spot) in self._here:
                    return self._here[rule, spot]
        for rule, reach in rules.items():
            if reach is Reach.BEFORE:
                origins = self._origins(rule)
                for key in self._read(finding):
                    if key in origins:
                        return origins[key]
        return next((self._by_rule[rule][0] for rule, reach in rules.items() if reach is Reach.FILE), None)

    def _spots(self, finding: Diagnostic) -> Iterator[Spot]:
        """Where a finding is: its node, or its tensor and the nodes around that."""
        for location in (finding.location, *(other.location for other in finding.related if other.holds)):
            if location.node_index is not None:
                yield "node", location.graph, location.node_index
            elif location.tensor:
                yield "tensor", location.graph, location.tensor
                for node in self._around(location.graph, location.tensor):
                    yield "node", node.graph.path, node.index

    def _around(self, path: str, tensor: str) -> Iterator[Node]:
        graph = self._graphs.get(path)
        if graph is not None:
            maker = graph.producer(tensor)
            yield from (() if maker is None else (maker,))
            yield from graph.consumers(tensor)

    def _read(self, diagnostic: Diagnostic) -> Iterator[tuple[str, str]]:
        """The tensors that a finding's node reads, or the one that the finding is about."""
        location = diagnostic.location
        graph = self._graphs.get(location.graph)
        if graph is None:
            return
        known = location.node_index is not None and location.node_index < len(graph.nodes)
        names = graph.nodes[location.node_index or 0].inputs if known else (location.tensor,)
        yield from ((graph.root.path, name) for name in names if name)

    def _origins(self, rule: str) -> Mapping[tuple[str, str], Diagnostic]:
        """The finding of a rule upstream of each tensor, by the root of its graph and its name."""
        if rule not in self._before:
            seeds = {
                spot: diagnostic for diagnostic in self._by_rule[rule] for spot in self._spots(diagnostic)
            }
            findings: dict[tuple[str, str], Diagnostic] = {}
            for (kind, path, name), finding in seeds.items():
                if kind == "tensor" and path in self._graphs:
                    findings[self._graphs[path].root.path, str(name)] = finding
            for path, graph in self._graphs.items():
                root = graph.root.path
                for node in graph.nodes:
                    read = (findings.get((root, name)) for name in node.inputs)
                    origin = seeds.get(("node", path, node.index)) or next(filter(None, read), None)
                    if origin is not None:
                        findings.update(((root, name), origin) for name in node.outputs if name)
            self._before[rule] = findings
        return self._before[rule]
