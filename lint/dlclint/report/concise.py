"""One line per finding, for grep and editors."""

from __future__ import annotations

from collections import Counter

from dlclint.diagnostic import Location, Severity
from dlclint.outcome import Outcome


def render_concise(outcome: Outcome) -> str:
    """`file:place: severity rule message`, then a line with the counts."""
    lines = [
        f"{item.location.file}{_place(item.location)}: {item.severity.value} {item.rule} {item.message}"
        for file in outcome.files
        for item in file.diagnostics
    ]
    return "\n".join([*lines, count_line(outcome)]) + "\n"


def _place(place: Location) -> str:
    if place.line is not None:
        return f":{place.line}:{place.column or 1}"
    if place.node_index is None:
        return f"#{place.graph}" if place.graph else ""
    name = f"({place.node})" if place.node else ""
    return f"#{place.graph + '/' if place.graph else ''}{place.node_index}{name}"


def count_line(outcome: Outcome) -> str:
    """Counts by severity over all files, in one sentence."""
    counts = Counter(item.severity for file in outcome.files for item in file.diagnostics)
    files = len(outcome.files)
    parts = [
        f"{counts[severity]} {noun}{'s' * (counts[severity] != 1)}"
        for severity, noun in (
            (Severity.ERROR, "error"),
            (Severity.WARNING, "warning"),
            (Severity.INFO, "note"),
        )
    ]
    return f"{', '.join(parts)} in {files} file{'s' * (files != 1)}"
