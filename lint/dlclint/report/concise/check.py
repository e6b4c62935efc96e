"""One line per finding, for grep and editors."""

from __future__ import annotations

from typing import TextIO

from dlclint.diagnostic import Location, Safety
from dlclint.outcome import Outcome
from dlclint.report.chips import HEAD, chip_rows
from dlclint.report.counts import count_line

_MARK = {Safety.SAFE: " [fix]", Safety.UNSAFE: " [unsafe fix]", Safety.DISPLAY: ""}


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """`file:place: severity rule message [fix]`, a line for each of several chips, and the counts."""
    lines = [
        f"{item.location.file}{_place(item.location)}: {item.severity.value} {item.rule} "
        f"{item.message}{_MARK[item.fix.safety] if item.fix else ''}"
        for file in outcome.files
        for item in file.shown
    ]
    lines += [f"{file.path}: {_chip(row)}" for file in outcome.files for row in chip_rows(file)]
    return "\n".join([*lines, count_line(outcome)]) + "\n"


def _chip(row: tuple[str, ...]) -> str:
    chip, _, *answers = row
    named = (f"{name} {text}" for name, text in zip(HEAD[2:], answers, strict=True) if text)
    return f"{chip}: {', '.join(named)}"


def _place(place: Location) -> str:
    if place.line is not None:
        return f":{place.line}:{place.column or 1}"
    if place.node_index is None:
        return f"#{place.graph}" if place.graph else ""
    name = f"({place.node})" if place.node else ""
    return f"#{place.graph + '/' if place.graph else ''}{place.node_index}{name}"
