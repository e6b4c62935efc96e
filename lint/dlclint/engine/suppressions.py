"""Ignores that a model itself carries, in the metadata of the model or of a node.

The key is `dlclint:ignore`; a line of its value is `RULE: REASON`. RULE is an id or a family, and in the
model's metadata may be followed by `node=GLOB` and `tensor=GLOB`; an ignore in a node applies to that node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dlclint.diagnostic import Diagnostic, Location, Severity, plain
from dlclint.engine.ignores import Ignore
from dlclint.model.graph import Model
from dlclint.own_rules import IGNORE_WITHOUT_REASON
from dlclint_schemas.record import record

KEY = "dlclint:ignore"
_LINE = re.compile(
    r"\s*(?P<rule>[a-z][a-z0-9-]*(?:/[a-z0-9-]+)?)"
    r"(?:\s+node=(?P<node>\S+))?(?:\s+tensor=(?P<tensor>\S+))?\s*:\s(?P<reason>.*\S)\s*"
)
_MOST = 1000
"""Lines that are read of one value."""


@record
class ModelIgnores:
    """The ignores of a model, and a finding for each invalid line."""

    ignores: tuple[Ignore, ...]
    flaws: tuple[Diagnostic, ...]


def carried_ignores(model: Model, file: str) -> ModelIgnores:
    """The ignores in the model, for findings on the model itself."""
    ignores: list[Ignore] = []
    flaws: list[Diagnostic] = []
    for text, location, node in _values(model):
        for line in filter(str.strip, text.splitlines()[:_MOST]):
            match = _LINE.fullmatch(line)
            if match is None:
                flaws.append(_flaw(file, line, location, node))
                continue
            ignores.append(
                Ignore(
                    match["rule"],
                    plain(match["reason"]),
                    node=match["node"] or "*",
                    tensor=match["tensor"] or "*",
                    carrier=location,
                    where=f"the metadata of {'the node' if location else 'the model'} ({KEY})",
                )
            )
    return ModelIgnores(tuple(dict.fromkeys(ignores)), tuple(flaws))


def _values(model: Model) -> Iterator[tuple[str, tuple[str, int] | None, str]]:
    """Each value of the key, the node that carries it, and that node's name."""
    yield from ((text, None, "") for text in _of(model.proto.metadata_props))
    for graph in model.graphs():
        for node in graph.nodes:
            if node.proto.metadata_props:
                node_place = (plain(graph.path), node.index)
                yield from ((text, node_place, node.name) for text in _of(node.proto.metadata_props))


def _of(entries: Iterable[object]) -> Iterator[str]:
    for entry in entries:
        if getattr(entry, "key", "") == KEY:
            yield getattr(entry, "value", "")


def _flaw(file: str, line: str, node_place: tuple[str, int] | None, node: str) -> Diagnostic:
    graph, index = node_place if node_place is not None else ("", None)
    return Diagnostic(
        IGNORE_WITHOUT_REASON,
        Severity.WARNING,
        plain(f"{KEY} has no reason or no rule: {line.strip()!r}"),
        Location(file, graph, plain(node), index),
        help="write a rule or family, a colon, a space and why it does not matter here",
    )
