"""JSON as text: decoding, errors of almost-JSON, and places as pointer, line and column.

Values are parsed by the standard library's C scanner; places are computed only for what is reported, from the
offset of its entry. Offsets count characters of the decoded text.
"""

from __future__ import annotations

import codecs
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from json import decoder as json_decoder
from typing import Any

from dlclint_schemas.record import record

scan_string: Callable[[str, int, bool], tuple[str, int]] = json_decoder.scanstring  # type: ignore[attr-defined]
_SPACE = re.compile(r"[ \t\r\n]*")
_BLOCK = 1 << 16
MAX_BYTES = 512 << 20
"""A million encodings take about 150 MB; a larger file is not read."""
MAX_CONTAINERS = 16_000_000
"""Lists and objects in one file: together they would take more than a gigabyte of memory."""
MAX_DEPTH = 100
"""Lists and objects in one another. An override file nests four deep, or as deep as a tensor's rank. The
limit of the standard library's scanner depends on the release of Python: below 1,000 in 3.10, above 50,000
in 3.14.
"""

MAX_SECTIONS = 16
"""Sections in one file. Every format has one or two, and a file that was joined by hand repeats a few."""


class NotJson(Exception):
    """Parsing stopped: the offset, the reason, and what to do."""

    def __init__(self, offset: int, message: str, help: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message
        self.help = help


@record
class TextFlaw:
    """A span of text that is not JSON, and what must replace it so that the rest can be read.

    `start` equals `end` where the flaw is not in the decoded text, such as a byte-order mark.
    """

    start: int
    end: int
    replacement: str
    message: str
    help: str
    is_comment: bool = False


@dataclass(slots=True)
class JsonText:
    """A file's text as it is (`original`) and with its flaws blanked or replaced, of equal length."""

    original: str
    text: str = ""
    flaws: list[TextFlaw] = field(default_factory=list)
    _marks: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text = self.text or self.original

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Both start at 1; a tab is one column."""
        if not self._marks:
            self._mark_lines()
        block = min(offset // _BLOCK, len(self._marks) - 1)
        lines, last = self._marks[block]
        begin = block * _BLOCK
        lines += self.original.count("\n", begin, offset)
        newline = self.original.rfind("\n", begin, offset)
        return lines + 1, offset - (newline if newline >= 0 else last)

    def _mark_lines(self) -> None:
        text, lines, last = self.original, 0, -1
        for begin in range(0, max(1, len(text)), _BLOCK):
            self._marks.append((lines, last))
            lines += text.count("\n", begin, begin + _BLOCK)
            newline = text.rfind("\n", begin, begin + _BLOCK)
            last = newline if newline >= 0 else last


def decode(data: bytes) -> JsonText:
    """The text of a file's bytes; byte-order marks and UTF-16 are flaws that do not stop reading.

    Raises:
        NotJson: the bytes are not text, or the file is empty.
    """
    if not data:
        raise NotJson(0, "the file is empty", "export the encodings again")
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if data.startswith(mark):
            return _other_coding(data, name)
    if data.startswith(codecs.BOM_UTF8):
        json_text = decode(data[3:])
        message = "the file begins with a byte-order mark, which JSON parsers refuse"
        json_text.flaws.insert(
            0, TextFlaw(0, 0, "", message, "save it as UTF-8 without BOM, or run dlclint fix")
        )
        return json_text
    for name, zeros in (("utf-16-le", data[1:8:2]), ("utf-16-be", data[0:8:2])):
        if len(data) >= 8 and not any(zeros) and data[:8].strip(b"\0"):
            return _other_coding(data, name)
    try:
        return JsonText(str(data, "utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise NotJson(
            error.start,
            f"byte {error.start} (line {line}) is not UTF-8, so this is not JSON text",
            "export the encodings again; a binary file is not an override file",
        ) from None


def _other_coding(data: bytes, name: str) -> JsonText:
    try:
        text = data.decode(name)
    except UnicodeDecodeError as error:
        raise NotJson(0, f"the file is neither UTF-8 nor UTF-16 text ({error.reason})") from None
    flaw = TextFlaw(
        0, 0, "", "the file is UTF-16, JSON files are UTF-8", "save it as UTF-8, or run dlclint fix"
    )
    return JsonText(text, flaws=[flaw])


def skip_space(text: str, offset: int) -> int:
    """The next offset that is not white space."""
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def parse_value(decoder: json.JSONDecoder, text: str, offset: int) -> tuple[Any, int]:
    """A value and the offset after it.

    Raises:
        NotJson: at the place where the text stops being JSON.
    """
    try:
        value, end = decoder.raw_decode(text, offset)
    except json.JSONDecodeError as error:
        if nests_too_deep(text, offset, error.pos):
            raise too_deep(offset) from None
        raise _explained(text, error.pos, error.msg) from None
    except RecursionError:
        raise too_deep(offset) from None
    except ValueError as error:
        raise NotJson(offset, f"a number cannot be read: {error}", "write it with fewer digits") from None
    if nests_too_deep(text, offset, end):
        raise too_deep(offset)
    return value, end


def too_deep(offset: int) -> NotJson:
    """What stops the reader where lists and objects nest deeper than `MAX_DEPTH`."""
    return NotJson(
        offset,
        "lists or objects nest too deep to be read",
        "an override file nests four deep, or as deep as a tensor's rank; export it again",
    )


_BRACKET = re.compile(r'"(?:[^"\\]+|\\.)*"?|[\[\]{}]', re.S)
_COUNTED = 2048


def nests_too_deep(text: str, start: int, end: int) -> bool:
    """Whether lists and objects nest deeper than `MAX_DEPTH` between two offsets, where the text is JSON.

    Counts of brackets, which are fast, rule this out for nearly every text; other texts are read bracket by
    bracket. Brackets in strings are counted too, so that a text whose counts do not match is also read.
    """
    if end - start <= MAX_DEPTH:
        return False
    depth = 0
    for begin in range(start, end, _COUNTED):
        stop = min(begin + _COUNTED, end)
        opened = text.count("[", begin, stop) + text.count("{", begin, stop)
        if depth + opened > MAX_DEPTH:
            return _is_read_too_deep(text, start, end)
        depth += opened - text.count("]", begin, stop) - text.count("}", begin, stop)
    return depth != 0 and _is_read_too_deep(text, start, end)


def _is_read_too_deep(text: str, start: int, end: int) -> bool:
    depth = 0
    for match in _BRACKET.finditer(text, start, end):
        character = text[match.start()]
        if character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif character in "]}":
            depth -= 1
    return False


def parse_key(text: str, offset: int) -> tuple[str, int]:
    """A member's name and the offset of its value.

    Raises:
        NotJson: there is no name, or no colon after it.
    """
    if text[offset : offset + 1] != '"':
        raise _explained(text, offset, "Expecting property name enclosed in double quotes")
    try:
        key, end = scan_string(text, offset + 1, True)
    except json.JSONDecodeError as error:
        raise _explained(text, error.pos, error.msg) from None
    colon = skip_space(text, end)
    if text[colon : colon + 1] != ":":
        raise _explained(text, colon, "Expecting ':' delimiter")
    return key, skip_space(text, colon + 1)


def parse_separator(text: str, offset: int, closing: str) -> tuple[bool, int]:
    """Read what follows a value: whether there is another, and its offset or that after the closing bracket.

    Raises:
        NotJson: there is neither a comma nor the bracket.
    """
    position = skip_space(text, offset)
    character = text[position : position + 1]
    if character == ",":
        return True, skip_space(text, position + 1)
    if character == closing:
        return False, position + 1
    raise _explained(text, position, f"Expecting ',' or '{closing}'")


def _explained(text: str, offset: int, message: str) -> NotJson:
    again = "export it again, or fix the file by hand"
    position = skip_space(text, min(offset, len(text)))
    if position >= len(text):
        return NotJson(len(text), "the file ends in the middle of a value: it is cut off", again)
    character = text[position]
    if character in "'“”‘’„«»":
        return NotJson(
            position, f'{character} (U+{ord(character):04X}) is used where a straight " belongs', again
        )
    if character in "]}":
        return NotJson(
            position, f"'{character}' closes nothing here: brackets do not balance, or a comma trails", again
        )
    reason = message[:1].lower() + message[1:]
    return NotJson(position, f"not JSON: {reason}, found {text[position : position + 12]!r}", again)


_TOKEN = re.compile(r'"(?:[^"\\\n]+|\\.)*"?|//[^\n]*|/\*|#[^\n]*|[“”„]|,(?=\s*[}\]])', re.S)
"""Each token ends, at the latest with the line: if an unterminated string were no token, the search for its
end would start again at each quote in it.
"""
_MESSAGES = {
    "/": ("a comment, which JSON does not have", "remove it, or run dlclint fix"),
    "#": ("a comment, which JSON does not have", "remove it, or run dlclint fix"),
    ",": ("a comma before a closing bracket, which JSON does not allow", "remove it, or run dlclint fix"),
}


def almost_json(text: str) -> tuple[str, list[TextFlaw]]:
    """The text with comments and trailing commas blanked and curly quotes straightened, same length.

    Strings in straight quotes are not changed. The time grows only with the length.
    """
    flaws: list[TextFlaw] = []
    for start, end in _flaws(text):
        piece = text[start]
        if piece in "“”„":
            message = f"a curly quote (U+{ord(piece):04X}) instead of a straight one"
            help = 'replace it by ", or run dlclint fix'
            flaws.append(TextFlaw(start, end, '"', message, help))
        else:
            flaws.append(TextFlaw(start, end, "", *_MESSAGES[piece], is_comment=piece != ","))
    repaired = _repaired(text, flaws)
    if any(flaw.is_comment for flaw in flaws):
        # A comma may be a trailing one now that no comment follows it.
        commas = [(start, end) for start, end in _flaws(repaired) if repaired[start] == ","]
        more = [TextFlaw(start, end, "", *_MESSAGES[","]) for start, end in commas]
        repaired = _repaired(repaired, more)
        flaws = sorted([*flaws, *more], key=lambda flaw: flaw.start)
    return repaired, flaws


def _flaws(text: str) -> Iterator[tuple[int, int]]:
    """The start and end of each span that is not JSON."""
    position, may_end = 0, True
    while (match := _TOKEN.search(text, position)) is not None:
        start, position = match.span()
        if match.group() == "/*":
            end = text.find("*/", position) if may_end else -1
            if end < 0:
                may_end = False  # nor does any comment after this one end
                continue
            position = end + 2
        if text[start] != '"':
            yield start, position


def _repaired(text: str, flaws: list[TextFlaw]) -> str:
    pieces, position = [], 0
    for flaw in flaws:
        pieces.append(text[position : flaw.start])
        pieces.append(flaw.replacement or re.sub(r"[^\n]", " ", text[flaw.start : flaw.end]))
        position = flaw.end
    return "".join([*pieces, text[position:]])


@record
class Member:
    """A member of an object or an item of a list, with its offsets; `key_start` is -1 in lists."""

    key: str | int
    key_start: int
    start: int
    end: int


def members(text: str, start: int) -> Iterator[Member]:
    """The members of the object or items of the list at `start`, in order; none for other values.

    Raises:
        NotJson: the text is broken there.
    """
    opening = text[start : start + 1]
    if opening not in ("{", "["):
        return
    closing = "}" if opening == "{" else "]"
    position = skip_space(text, start + 1)
    if text[position : position + 1] != closing:
        yield from members_from(text, position, closing)


def members_from(text: str, position: int, closing: str) -> Iterator[Member]:
    """As `members`, from the one that begins at `position`; items are counted from there.

    Raises:
        NotJson: the text is broken there.
    """
    index, more = 0, True
    while more:
        key: str | int = index
        key_start = -1
        if closing == "}":
            key_start = position
            key, position = parse_key(text, position)
        _, end = parse_value(PLAIN, text, position)
        yield Member(key, key_start, position, end)
        index += 1
        more, position = parse_separator(text, end, closing)


PLAIN = json.JSONDecoder()


class _Children:
    """The members of an object or items of a list, in order, up to where the text is broken."""

    def __init__(self, text: str, start: int) -> None:
        self.ordered: list[Member] = []
        self.is_broken = False
        try:
            self.ordered.extend(members(text, start))
        except NotJson:
            self.is_broken = True
        self.by_key = {member.key: member for member in self.ordered}
        """Of members with one key the last one, as in parsing."""

    def around(self, offset: int) -> Member | None:
        """The member whose key or value encloses an offset."""
        at = bisect_right(self.ordered, offset, key=_begin) - 1
        return self.ordered[at] if at >= 0 and offset < self.ordered[at].end else None


def _begin(member: Member) -> int:
    return member.key_start if member.key_start >= 0 else member.start


class Finder:
    """Finds places in one text; caches the members of the lists and objects that were used last."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[int, _Children] = {}

    def _children(self, start: int) -> _Children:
        known = self._known.pop(start, None)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            known = _Children(self._text, start)
        # The last in the dict was used last: a list is kept while its items are visited one after the other.
        self._known[start] = known
        return known

    def find(self, start: int, path: tuple[str | int, ...]) -> tuple[Member, int]:
        """The member that a path leads to from the value at `start`, and the number of steps that exist.

        Where the path does not exist, the deepest member on the way. Of members with one key the last one
        counts, as in parsing.
        """
        deepest = Member("", -1, start, start)
        for step, key in enumerate(path):
            children = self._children(deepest.start)
            hit = None if children.is_broken else children.by_key.get(key)
            if hit is None:
                return deepest, step
            deepest = hit
        return deepest, len(path)

    def path_at(self, start: int, offset: int) -> tuple[str | int, ...]:
        """The path from the value at `start` to the deepest value known to enclose an offset."""
        path: list[str | int] = []
        while (member := self._children(start).around(offset)) is not None:
            path.append(member.key)
            start = member.start
        return tuple(path)


_REMEMBERED = 64


def pointer(path: tuple[str | int, ...]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
