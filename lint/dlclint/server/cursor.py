"""The position of the cursor in JSON that is being written."""

from __future__ import annotations

import re

from dlclint.encodings.document import ENCODINGS, SECTIONS
from dlclint_schemas.record import record

MAX_TEXT = 4_000_000
"""Characters before the cursor that are read; larger files get no completion."""
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*(?P<closed>")?|[\[\]{}:,]')
_REST = re.compile(r'(?:[^"\\\n]|\\.)*')


@record
class Cursor:
    """A string that contains the cursor.

    `before` is its text up to the cursor, `written` all of it, `inside` the offsets of its content.
    `is_name`: a tensor's name belongs there.
    """

    before: str
    written: str
    inside: tuple[int, int]
    is_name: bool


def cursor_at(text: str, offset: int) -> Cursor | None:
    """The string that contains an offset; None outside strings. The text need not be complete JSON."""
    if offset > MAX_TEXT:
        return None
    path: list[str] = []
    openings: list[str] = []
    key, expects_key = "", False
    for token in _TOKEN.finditer(text, 0, offset):
        mark = token.group()
        if mark[0] == '"':
            if token["closed"] is None and token.end() == offset:
                rest = _REST.match(text, offset)
                end = rest.end() if rest else offset
                is_name = _is_name(path, openings, key, expects_key)
                start = token.start() + 1
                return Cursor(text[start:offset], text[start:end], (start, end), is_name)
            if expects_key:
                key = mark[1:-1]
        elif mark in "{[":
            path.append(key)
            openings.append(mark)
            key, expects_key = "", mark == "{"
        elif mark in "]}":
            if openings:
                openings.pop()
                path.pop()
            key, expects_key = "", False
        elif mark == ":":
            expects_key = False
        else:
            key, expects_key = "", bool(openings) and openings[-1] == "{"
    return None


def _is_name(path: list[str], openings: list[str], key: str, expects_key: bool) -> bool:
    """Whether it is the value of `name` in an entry of a list, or a key of a section of the legacy layout."""
    if expects_key:
        return len(path) == 2 and path[1] in SECTIONS and path[1] != ENCODINGS
    return key == "name" and len(path) == 3 and path[1] in SECTIONS and openings[1:] == ["[", "{"]
