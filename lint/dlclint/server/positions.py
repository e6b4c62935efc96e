"""Conversion between offsets of a text and positions of the Language Server Protocol."""

from __future__ import annotations

import re
from bisect import bisect_right

from lsprotocol.types import Position, PositionEncodingKind, Range

_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"?|[-+.\w]+|\S')


class Positions:
    """Lines of a text. Columns count the units that client and server agreed on, UTF-16 by default."""

    def __init__(self, text: str, units: PositionEncodingKind | str = PositionEncodingKind.Utf16) -> None:
        self.text = text
        self._units = units
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\n|\r", text))]

    def position(self, offset: int) -> Position:
        """The line and column of an offset, both from 0."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._starts, offset) - 1
        return Position(line, self._width(self.text[self._starts[line] : offset]))

    def offset(self, position: Position) -> int:
        """The offset of a position; the nearest one where there is no such place."""
        line = max(0, min(position.line, len(self._starts) - 1))
        start = self._starts[line]
        end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self.text)
        width = 0
        for index, character in enumerate(self.text[start:end]):
            if width >= position.character:
                return start + index
            width += self._width(character)
        return end

    def at(self, line: int, column: int) -> int:
        """The offset of a line and a column in characters, both from 1."""
        return min(self._starts[min(line, len(self._starts)) - 1] + column - 1, len(self.text))

    def token(self, offset: int) -> Range:
        """The word, number or string that begins at an offset."""
        match = _TOKEN.match(self.text, offset)
        return self.range(offset, match.end() if match else min(offset + 1, len(self.text)))

    def range(self, start: int, end: int) -> Range:
        """The range between two offsets."""
        return Range(self.position(start), self.position(end))

    def _width(self, text: str) -> int:
        if text.isascii() or self._units == PositionEncodingKind.Utf32:
            return len(text)
        if self._units == PositionEncodingKind.Utf8:
            return len(text.encode("utf-8", "surrogatepass"))
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
