"""A unified diff of two texts in time that grows with their lines.

`difflib` alone compares each run of changed lines with all others: a file in which every tenth line changes
takes it minutes. Here lines that occur once in both texts divide them first (patience diff), and `difflib`
compares what is between two of these.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_COMPARED = 40_000
"""Pairs of lines that `difflib` compares in one piece; a larger piece that nothing divides is all changed.
"""


class _Piece(NamedTuple):
    """Lines of the old text and lines of the new one, each from a start to an end."""

    old: int
    old_end: int
    new: int
    new_end: int


class _Divided(difflib.SequenceMatcher[str]):
    def __init__(self, before: Sequence[str], after: Sequence[str]) -> None:
        super().__init__(autojunk=False)
        self.a, self.b = self.texts = before, after

    def get_matching_blocks(self) -> list[difflib.Match]:
        """As the base class finds them, in pieces."""
        merged: list[difflib.Match] = []
        for match in sorted(_matches(*self.texts)):
            last = merged[-1] if merged else difflib.Match(0, 0, 0)
            if (last.a + last.size, last.b + last.size) == (match.a, match.b) and merged:
                merged[-1] = last._replace(size=last.size + match.size)
            else:
                merged.append(match)
        return [*merged, difflib.Match(len(self.texts[0]), len(self.texts[1]), 0)]


def unified(before: Sequence[str], after: Sequence[str], old_name: str, new_name: str) -> Iterator[str]:
    """The lines of a unified diff with three lines of context, without line ends; none for equal texts."""
    header = [f"--- {old_name}", f"+++ {new_name}"]
    for group in _Divided(before, after).get_grouped_opcodes(3):
        yield from header
        header = []
        (_, old, _, new, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        yield f"@@ -{_span(old, old_end)} +{_span(new, new_end)} @@"
        for tag, old, old_end, new, new_end in group:
            if tag == "equal":
                yield from (f" {line}" for line in before[old:old_end])
                continue
            yield from (f"-{line}" for line in before[old:old_end])
            yield from (f"+{line}" for line in after[new:new_end])


def _span(start: int, end: int) -> str:
    """Lines as in the header of a hunk: counted from 1; an empty range is named by the line before it."""
    count = end - start
    if count == 1:
        return str(start + 1)
    return f"{start + 1 if count else start},{count}"


def _matches(before: Sequence[str], after: Sequence[str]) -> Iterator[difflib.Match]:
    """Runs of equal lines, none of which overlap or cross; not in order."""
    pending = [_Piece(0, len(before), 0, len(after))]
    while pending:
        old, old_end, new, new_end = pending.pop()
        shorter = min(old_end - old, new_end - new)
        head = 0
        while head < shorter and before[old + head] == after[new + head]:
            head += 1
        tail = 0
        while tail < shorter - head and before[old_end - 1 - tail] == after[new_end - 1 - tail]:
            tail += 1
        if head:
            yield difflib.Match(old, new, head)
        if tail:
            yield difflib.Match(old_end - tail, new_end - tail, tail)
        piece = _Piece(old + head, old_end - tail, new + head, new_end - tail)
        if (piece.old_end - piece.old) * (piece.new_end - piece.new) <= _COMPARED:
            yield from _compared(before, after, piece)
        elif dividing := _dividing(before, after, piece):
            pending += _between(piece, dividing)
            yield from (difflib.Match(*pair, 1) for pair in dividing)


def _compared(before: Sequence[str], after: Sequence[str], piece: _Piece) -> Iterator[difflib.Match]:
    old, new = before[piece.old : piece.old_end], after[piece.new : piece.new_end]
    for match in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
        if match.size:
            yield difflib.Match(piece.old + match.a, piece.new + match.b, match.size)


def _between(piece: _Piece, dividing: Sequence[tuple[int, int]]) -> Iterator[_Piece]:
    old, new = piece.old, piece.new
    for old_place, new_place in (*dividing, (piece.old_end, piece.new_end)):
        yield _Piece(old, old_place, new, new_place)
        old, new = old_place + 1, new_place + 1


def _dividing(before: Sequence[str], after: Sequence[str], piece: _Piece) -> list[tuple[int, int]]:
    """Indices of lines that occur once on each side: the longest series with the same order in both."""
    old_counts = Counter(before[piece.old : piece.old_end])
    new_counts = Counter(after[piece.new : piece.new_end])
    new_places = {after[line]: line for line in range(piece.new, piece.new_end)}
    once = [
        (line, new_places[before[line]])
        for line in range(piece.old, piece.old_end)
        if old_counts[before[line]] == new_counts[before[line]] == 1
    ]
    # For each length of a series, the smallest index at which one ends, and the pair that ends it.
    ends: list[int] = []
    last_pairs: list[int] = []
    previous: list[int] = []
    for number, (_, line) in enumerate(once):
        length = bisect_left(ends, line)
        previous.append(last_pairs[length - 1] if length else -1)
        ends[length : length + 1] = [line]
        last_pairs[length : length + 1] = [number]
    series = []
    number = last_pairs[-1] if last_pairs else -1
    while number >= 0:
        series.append(once[number])
        number = previous[number]
    return series[::-1]
