"""Wrapped and coloured text for the report of `check`: what it needs of the library rich, and no more.

Importing and running rich takes longer than linting a network of a few hundred nodes does.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "italic": "3", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_GAP = 2
"""Columns of a table stand this far apart."""
_NARROWEST = 12
"""A column that does not fit is wrapped, but not below this."""
_PAPER = 100
"""Width where no terminal tells one."""


class Text:
    """Text in pieces, each with a style such as `bold red` ("" for none)."""

    def __init__(self, text: str = "", style: str = "") -> None:
        self.pieces: list[tuple[str, str]] = [(text, style)]

    @classmethod
    def assemble(cls, *parts: str | tuple[str, str]) -> Text:
        """Text made of pieces, with their style where they have one."""
        made = cls()
        for part in parts:
            made.append(*((part,) if isinstance(part, str) else part))
        return made

    def append(self, text: str, style: str = "") -> None:
        """Add a piece at the end."""
        self.pieces.append((text, style))

    @property
    def plain(self) -> str:
        """The text without styles."""
        return "".join(text for text, _ in self.pieces)

    def between(self, start: int, end: int) -> Iterator[tuple[str, str]]:
        """The pieces of a part of the text."""
        position = 0
        for text, style in self.pieces:
            shown = text[max(0, start - position) : max(0, end - position)]
            if shown:
                yield shown, style
            position += len(text)


class Table:
    """Rows under a head, in columns as wide as what stands in them."""

    def __init__(self, *head: str) -> None:
        self.rows: list[list[Text]] = [[Text(title, "bold") for title in head]]

    def add_row(self, *cells: Text) -> None:
        """Add a row; missing cells at its end stay empty."""
        self.rows.append([*cells, *(Text() for _ in self.rows[0][len(cells) :])])


class Paper:
    """Lines in the making. Coloured if the stream is a terminal (NO_COLOR and FORCE_COLOR are heeded)."""

    def __init__(self, stream: TextIO | None) -> None:
        terminal = stream is not None and stream.isatty()
        dumb = os.environ.get("TERM", "") in ("dumb", "unknown") or sys.platform == "win32"
        forced = bool(os.environ.get("FORCE_COLOR"))
        self._colour = terminal and not os.environ.get("NO_COLOR") and (forced or not dumb)
        self._width = shutil.get_terminal_size().columns if terminal else _PAPER
        self._lines: list[str] = []

    def print(self, what: Text | Table, indent: int = 0, above: int = 0, below: int = 0) -> None:
        """Add a text or a table, with empty lines above and below it."""
        self._lines.extend([""] * above)
        width = max(_NARROWEST, self._width - indent)
        rows = self._wrapped(what, width) if isinstance(what, Text) else self._laid_out(what, width)
        self._lines.extend(f"{' ' * indent}{row}" if row else "" for row in rows)
        self._lines.extend([""] * below)

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self._lines)

    def _wrapped(self, text: Text, width: int) -> list[str]:
        return [self._drawn(text, start, end) for start, end in _breaks(text.plain, width)]

    def _drawn(self, text: Text, start: int, end: int) -> str:
        return "".join(self._styled(shown, style) for shown, style in text.between(start, end))

    def _styled(self, text: str, style: str) -> str:
        if not self._colour or not style:
            return text
        return f"\x1b[{';'.join(_CODES[word] for word in style.split())}m{text}\x1b[0m"

    def _laid_out(self, table: Table, width: int) -> Iterator[str]:
        widths = [max(cells(cell.plain) for cell in column) for column in zip(*table.rows, strict=True)]
        excess = sum(widths) + _GAP * (len(widths) - 1) - width
        while excess > 0 and max(widths) > _NARROWEST:
            widest = widths.index(max(widths))
            cut = min(excess, widths[widest] - _NARROWEST)
            widths[widest] -= cut
            excess -= cut
        for row in table.rows:
            wrapped = [_breaks(cell.plain, size) for cell, size in zip(row, widths, strict=True)]
            for number in range(max(map(len, wrapped))):
                line = ""
                for cell, breaks, size in zip(row, wrapped, widths, strict=True):
                    start, end = breaks[number] if number < len(breaks) else (0, 0)
                    shown = cells(cell.plain[start:end])
                    line += self._drawn(cell, start, end) + " " * (size - shown + _GAP)
                yield line.rstrip()


def cells(text: str) -> int:
    """Columns of a terminal that a text takes: two for a wide character, none for a mark on another."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _breaks(text: str, width: int) -> list[tuple[int, int]]:
    """Start and end of each line of a text, broken at spaces, and within words that are too long."""
    if cells(text) <= width:
        return [(0, len(text.rstrip()))]
    lines: list[tuple[int, int]] = []
    start = end = 0
    for word in re.finditer(r"\s*\S+", text):
        if cells(text[start : word.end()]) <= width:
            end = word.end()
            continue
        if end > start:
            lines.append((start, end))
            start = word.end() - len(word.group().lstrip())
        end = word.end()
        while cells(text[start:end]) > width:
            cut = start + 1
            while cut < end and cells(text[start : cut + 1]) <= width:
                cut += 1
            lines.append((start, cut))
            start = cut
    return [*lines, (start, end)]
