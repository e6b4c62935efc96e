"""The part of a page for one file, for every command: in words, and as data for the page's scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlclint.chains import stage_of
from dlclint.diagnostic import Cause, Diagnostic, Location
from dlclint.report.html.network import NetworkDrawing, Texts
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.drawing.model import Drawing

TONES = {"yes": "good", "whole": "good", "no": "bad", "at risk": "risk", "split": "risk"}
"""The color of a word of a verdict; others are plain."""


@record
class Shown:
    """One answer of a verdict: its question, one word, and the reasons, in lines."""

    label: str
    word: str
    lines: tuple[str, ...]
    tone: str = ""


@record
class Commands:
    """Commands to copy, in the order in which to run them."""

    title: str
    lines: tuple[str, ...]


@record
class Table:
    """Rows of texts under a title."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@record
class Sheet:
    """One file.

    `about` states what the file was checked for, `row` is its row in the table of files, and `data` is for
    the page's scripts.
    """

    title: str
    about: str
    answers: tuple[Shown, ...]
    commands: tuple[Commands, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    row: tuple[str, ...]
    data: Mapping[str, Any]


def drawing_of(drawing: Drawing | None) -> tuple[NetworkDrawing | None, list[str]]:
    """The network if it is drawn, and the explanation if it is too large."""
    if drawing is None:
        return None, []
    if drawing.left_out:
        return None, [f"the network is not drawn: it has {drawing.left_out} nodes, too many for a page"]
    return (NetworkDrawing(drawing) if drawing.nodes else None), []


FINDING = (
    *("rule", "severity", "stage", "message", "place", "help"),
    *("source", "node", "cause", "fix", "related"),
)
"""The fields of a finding in the data."""


def findings_sheet(
    findings: Sequence[Diagnostic], network: NetworkDrawing | None, texts: Texts
) -> list[list[Any]]:
    """A row of `FINDING` for each finding, with texts by their number."""
    numbers = {
        Cause(diagnostic.rule, diagnostic.location): number
        for number, diagnostic in reversed(list(enumerate(findings)))
    }
    return [
        [
            texts(finding.rule),
            texts(finding.severity.value),
            texts(stage_of(finding).value),
            texts(finding.message),
            texts(_place(finding.location)),
            texts(finding.help),
            texts("" if finding.source is None else str(finding.source)),
            _node(finding.location, network),
            None if finding.cause is None else numbers.get(finding.cause),
            texts(_fix(finding)),
            [
                [texts(f"{other.description}: {_place(other.location)}"), _node(other.location, network)]
                for other in finding.related
            ],
        ]
        for finding in findings
    ]


def _node(location: Location, network: NetworkDrawing | None) -> int | None:
    return None if network is None else network.place_of(location)


def _fix(finding: Diagnostic) -> str:
    return "" if finding.fix is None else f"{finding.fix.title} ({finding.fix.safety.value})"


def _place(location: Location) -> str:
    """The place of a finding in a few words, without the file."""
    parts: Iterable[str] = ()
    if location.line is not None:
        parts = (f"line {location.line}, column {location.column}", location.tensor)
    elif location.node_index is not None:
        name = location.node or location.tensor or f"#{location.node_index}"
        parts = (f"{location.op} {name}", f"in {location.graph}" if location.graph else "")
    else:
        parts = (location.tensor, f"in {location.graph}" if location.graph else "")
    return ", ".join(filter(None, parts))
