"""Tables for notebooks. Names of a model can run nothing: every text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_LEFT = " style='text-align:left'"


def paragraph(text: str) -> str:
    """A line of text."""
    return f"<p>{escape(text)}</p>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], colors: Iterable[str] = ()) -> str:
    """A table; `colors` are those of the first cell of each row, "" for none. Empty without rows."""
    tints = iter(colors)
    lines = []
    for row in rows:
        tint = next(tints, "")
        first = f" style='text-align:left;color:{tint}'" if tint else _LEFT
        cells = (
            f"<td{first if position == 0 else _LEFT}>{_lines(text)}</td>" for position, text in enumerate(row)
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    if not lines:
        return ""
    titles = "".join(f"<th{_LEFT}>{escape(title)}</th>" for title in head)
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
