"""What a page says of one file, whichever command it comes from: in words, and as data for its scripts."""

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
"""What a word of a verdict is colored by; others are plain."""


@record
class Shown:
    """One answer of a verdict: its question, one word, and why, in lines."""

    label: str
    word: str
    lines: tuple[str, ...]
    tone: str = ""


@record
class Commands:
    """Commands to be copied, in the order in which they are to be run."""

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

    `about` says what it was judged for, `row` is what stands of it in the table of files, and `data` is for
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
    """The network where one is drawn, and where it is too large what is to be said of that."""
    if drawing is None:
        return None, []
    if drawing.left_out:
        return None, [f"the network is not drawn: it has {drawing.left_out} nodes, too many for a page"]
    return (NetworkDrawing(drawing) if drawing.nodes else None), []


FINDING = (
    *("rule", "severity", "stage", "message", "place", "help"),
    *("source", "node", "cause", "fix", "related"),
)
"""What the fields of a finding in the data are."""


def findings_sheet(
    found: Sequence[Diagnostic], network: NetworkDrawing | None, texts: Texts
) -> list[list[Any]]:
    """A row of `FINDING` for each finding, with texts by their number."""
    numbers = {Cause(item.rule, item.location): number for number, item in reversed(list(enumerate(found)))}
    return [
        [
            texts(item.rule),
            texts(item.severity.value),
            texts(stage_of(item).value),
            texts(item.message),
            texts(_place(item.location)),
            texts(item.help),
            texts("" if item.source is None else str(item.source)),
            _node(item.location, network),
            None if item.cause is None else numbers.get(item.cause),
            texts(_fix(item)),
            [
                [texts(f"{other.what}: {_place(other.location)}"), _node(other.location, network)]
                for other in item.related
            ],
        ]
        for item in found
    ]


def _node(place: Location, network: NetworkDrawing | None) -> int | None:
    return None if network is None else network.place_of(place)


def _fix(item: Diagnostic) -> str:
    return "" if item.fix is None else f"{item.fix.title} ({item.fix.safety.value})"


def _place(place: Location) -> str:
    """Where a finding is, in a few words; the file goes without saying."""
    parts: Iterable[str] = ()
    if place.line is not None:
        parts = (f"line {place.line}, column {place.column}", place.tensor)
    elif place.node_index is not None:
        name = place.node or place.tensor or f"#{place.node_index}"
        parts = (f"{place.op} {name}", f"in {place.graph}" if place.graph else "")
    else:
        parts = (place.tensor, f"in {place.graph}" if place.graph else "")
    return ", ".join(filter(None, parts))
