"""Where each entry of a file is, computed when it is needed.

Entries are parsed in spans of text, many at a time, and few of them are ever reported; so for most entries
only the span is known, and a span is searched when the place of an entry in it is needed.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice

from dlclint.encodings.json_text import Member, members_from
from dlclint_schemas.record import record

_REMEMBERED = 512
"""Spans whose entries are cached after a search."""


@record
class EntrySpan:
    """Adjacent members of an object or list, from the offset of the first one's key or value.

    A list may hold items without a name, which are not entries: those are separate spans.
    """

    first: int
    """The row of its first entry."""
    count: int
    offset: int
    closing: str
    """The bracket that ends the object or list."""


class Places:
    """The members that hold a file's entries, by row."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._spans: list[EntrySpan] = []
        self._rows: list[int] = []
        self._offsets: list[int] = []
        self._known: dict[int, list[Member]] = {}

    def add(self, count: int, offset: int, closing: str) -> None:
        """Add the next `count` entries, which are adjacent."""
        first = self._spans[-1].first + self._spans[-1].count if self._spans else 0
        self._spans.append(EntrySpan(first, count, offset, closing))
        self._rows.append(first)
        self._offsets.append(offset)

    def __getitem__(self, row: int) -> Member:
        number = bisect_right(self._rows, row) - 1
        return self._members(number)[row - self._rows[number]]

    def row_at(self, offset: int) -> int | None:
        """The row of the last entry that begins at or before an offset."""
        number = bisect_right(self._offsets, offset) - 1
        if number < 0:
            return None
        members = self._members(number)
        begins = [member.start if member.key_start < 0 else member.key_start for member in members]
        return self._rows[number] + max(0, bisect_right(begins, offset) - 1)

    def _members(self, number: int) -> list[Member]:
        members = self._known.get(number)
        if members is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            span = self._spans[number]
            walk = members_from(self._text, span.offset, span.closing)
            members = self._known[number] = list(islice(walk, span.count))
        return members
