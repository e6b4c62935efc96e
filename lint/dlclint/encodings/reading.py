"""From a path to an `EncodingsDocument`. Every problem becomes a flaw of the document."""

from __future__ import annotations

import json
import os
import re
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

from dlclint.encodings import json_text
from dlclint.encodings.columns import ColumnBuilder
from dlclint.encodings.document import (
    ACTIVATIONS,
    ENCODINGS,
    PARAMS,
    SECTIONS,
    EncodingsDocument,
    Flaw,
    Layout,
    Path_,
    Section,
)
from dlclint.encodings.json_text import JsonText, NotJson
from dlclint.encodings.places import Places
from dlclint.encodings.values import quoted_value

_BATCH, _BATCH_TEXT = 4096, 1 << 20
"""Entries, or characters of text, that are turned into columns at once."""
_SPAN = 1 << 16
"""Characters of a section that are parsed at once."""
_BETWEEN = {"}": re.compile(r'\]\s*,\s*(?=")'), "]": re.compile(r"\}\s*,\s*(?=\{)")}
"""What separates entries, by the bracket that ends their section."""
_KEY = re.compile(r'"[ \t\r\n]*:')
_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')
_LFS = "version https://git-lfs"


def read_encodings(path: Path) -> EncodingsDocument:
    """Read an override file of any layout.

    Nothing is raised: an unreadable file gives a document with only flaws. At most `json_text.MAX_BYTES` are
    read.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > json_text.MAX_BYTES:
                message = f"the file has {size:,} bytes; none over {json_text.MAX_BYTES:,} is read"
                return _failed(path, NotJson(0, message, "a million encodings take some 150 MB"))
            data = stream.read(json_text.MAX_BYTES)
    except OSError as error:
        return _failed(path, NotJson(0, f"cannot be read: {error.strerror or error}", "check the path"))
    return read_bytes(data, path)


def read_bytes(data: bytes, path: Path) -> EncodingsDocument:
    """As `read_encodings`, from a file's bytes; `path` is the file."""
    try:
        source = json_text.decode(data)
    except NotJson as problem:
        return _failed(path, problem)
    del data
    return read_text(source, path)


def read_text(source: JsonText, path: Path) -> EncodingsDocument:
    """As `read_encodings`, from decoded text."""
    text = source.text
    if text.startswith(_LFS):
        message = "the file is a Git LFS pointer, not the override file"
        return _failed(path, NotJson(0, message, "run `git lfs pull`"), source)
    if text.count("[") + text.count("{") > json_text.MAX_CONTAINERS:
        message = f"the file holds more than {json_text.MAX_CONTAINERS:,} lists and objects"
        return _failed(path, NotJson(0, message, "no override file does; export it again"), source)
    reader = _Reader(source, path)
    problem = reader.read()
    if problem is not None:
        repaired, flaws = json_text.almost_json(source.original)
        if flaws:
            source = JsonText(source.original, repaired, [*source.flaws, *flaws])
            reader = _Reader(source, path)
            problem = reader.read()
    return reader.document(problem)


def _failed(path: Path, problem: NotJson, source: JsonText | None = None) -> EncodingsDocument:
    return _Reader(source or JsonText(""), path).document(problem)


class _Reader:
    """Walks the top level and the sections; the values in them are parsed by the C scanner."""

    def __init__(self, source: JsonText, path: Path) -> None:
        self._source = source
        self._path = path
        self._top: dict[str, Any] = {}
        self._offsets: dict[str, tuple[int, int]] = {}
        self._sections: list[Section] = []
        self._flaws: list[Flaw] = []
        text = source.text
        self._places = Places(text)
        self._builder = ColumnBuilder(self._flaws, "null" in text)
        self._repeated = False
        self._constants = 0
        self._seen: dict[str, str] = {}
        self._decoder = json.JSONDecoder(object_pairs_hook=self._pairs, parse_constant=self._constant)
        self._quick = json.JSONDecoder(parse_constant=self._constant)

    def document(self, problem: NotJson | None) -> EncodingsDocument:
        """What was read until the text ended or `problem` stopped the reader."""
        flaws = self._flaws
        if problem is not None:
            flaws.insert(0, Flaw("syntax", problem.message, problem.help, offset=problem.offset))
        flaws[0:0] = [
            Flaw("syntax", flaw.message, flaw.help, offset=flaw.start) for flaw in self._source.flaws
        ]
        tensors, elements, signatures = self._builder.finish()
        return EncodingsDocument(
            self._path,
            self._source,
            self._top,
            self._offsets,
            self._sections,
            self._places,
            tensors,
            elements,
            signatures,
            flaws,
            problem is None,
            self._builder.odd_symmetry,
            self._builder.quantized_scales,
        )

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        by_key = dict(pairs)
        if len(by_key) != len(pairs):
            self._repeated = True
        return by_key

    def _constant(self, name: str) -> float:
        self._constants += 1
        return float(name)

    def _value(self, offset: int) -> tuple[Any, int]:
        value, end = json_text.parse_value(self._decoder, self._source.text, offset)
        if self._repeated:
            self._repeated = False
            self._report_repeated(offset)
        if self._constants:
            self._constants = 0
            self._report_constants(offset, end)
        return value, end

    def _report_repeated(self, start: int) -> None:
        """Find the repeated keys of the objects in one value."""
        text = self._source.text
        pending = [start]
        while pending:
            seen: dict[str | int, int] = {}
            for member in json_text.members(text, pending.pop()):
                if member.key in seen:
                    message = (
                        f"the key {quoted_value(member.key)} appears twice in one object; the last one counts"
                    )
                    first = seen[member.key]
                    self._flaws.append(
                        Flaw("duplicate-key", message, "remove one", offset=member.key_start, first=first)
                    )
                elif member.key_start >= 0:
                    seen[member.key] = member.key_start
                if text[member.start] in "[{":
                    pending.append(member.start)

    def _report_constants(self, start: int, end: int) -> None:
        for match in _CONSTANT.finditer(self._source.text, start, end):
            if match.group()[0] != '"':
                message = f"{match.group()} is not a JSON number"
                help = "the range was never computed: run the calibration again"
                self._flaws.append(Flaw("syntax", message, help, offset=match.start()))

    def read(self) -> NotJson | None:
        """Read the file; returns what stopped the reader, or None."""
        text = self._source.text
        try:
            start = json_text.skip_space(text, 0)
            if text[start : start + 1] != "{":
                return self._no_object(start)
            end = self._object(start)
            rest = json_text.skip_space(text, end)
            if rest < len(text):
                return NotJson(rest, f"text follows the end of the object: {text[rest : rest + 12]!r}")
        except NotJson as problem:
            return problem
        return None

    def _no_object(self, start: int) -> NotJson | None:
        text = self._source.text
        if start >= len(text):
            return NotJson(0, "the file holds only white space", "export the encodings again")
        if text[start] == "[" and not text.startswith("[" * json_text.MAX_DEPTH, start):
            message = "the top level is a list, not an object with sections"
            self._flaws.append(
                Flaw("layout", message, "see docs: an override file is one object", offset=start)
            )
            return None
        value, _ = json_text.parse_value(json_text.PLAIN, text, start)
        message = f"the top level is {quoted_value(value)}, not an object with sections"
        self._flaws.append(Flaw("layout", message, offset=start))
        return None

    def _object(self, start: int) -> int:
        text = self._source.text
        position = json_text.skip_space(text, start + 1)
        if text[position : position + 1] == "}":
            return position + 1
        more = True
        while more:
            key_start = position
            key, position = json_text.parse_key(text, position)
            if key in self._offsets:
                message = f"the key {quoted_value(key)} appears twice at the top level; the last one counts"
                first = self._offsets[key][0]
                self._flaws.append(Flaw("duplicate-key", message, "join them", offset=key_start, first=first))
            self._offsets[key] = (key_start, position)
            if key in SECTIONS and text[position : position + 1] in ("{", "["):
                end = self._section(key, position, (key,))
            else:
                value, end = self._value(position)
                self._top[key] = value
                if key in SECTIONS:
                    self._flaws.append(
                        Flaw("layout", f"{key} is {quoted_value(value)}, not a section", offset=position)
                    )
            more, position = json_text.parse_separator(text, end, "}")
        return position

    def _section(self, name: str, start: int, pointer: Path_) -> int:
        text = self._source.text
        listed = text[start] == "["
        layout = Layout.FLAT if name == ENCODINGS else Layout.LIST if listed else Layout.LEGACY
        if name == ENCODINGS and not listed:
            message = "encodings is an object; in 2.x it is a list of entries with names"
            self._flaws.append(Flaw("layout", message, offset=start))
            return self._value(start)[1]
        row = len(self._sections)
        if row >= json_text.MAX_SECTIONS:
            message = f"the file holds more than {json_text.MAX_SECTIONS} sections"
            raise NotJson(start, message, "a format has at most two; join those of one name")
        self._sections.append(Section(name, layout, start, pointer))
        position = json_text.skip_space(text, start + 1)
        closing = "]" if listed else "}"
        if text[position : position + 1] == closing:
            return position + 1
        batch = _Batch(self._builder, self._places, layout, row, closing)
        more, index = True, 0
        one_by_one_until = 0
        try:
            while more:
                if position >= one_by_one_until:
                    match = _BETWEEN[closing].search(text, position + _SPAN)
                    stop, following = (match.start() + 1, match.end()) if match else (len(text), len(text))
                    taken = self._span(name, closing, position, stop)
                    if taken is not None:
                        names, values, end = taken
                        batch.extend(names, position, index, values)
                        index += len(names)
                        more, position = (True, following) if end is None else (False, end)
                        continue
                    one_by_one_until = following
                key: str | None = None
                key_start = position
                if not listed:
                    key, position = json_text.parse_key(text, position)
                    if key in (ACTIVATIONS, PARAMS) and text[position : position + 1] == "{":
                        batch.flush()
                        message = f"{key} stands inside {name}: a closing brace is missing before it"
                        self._flaws.append(
                            Flaw("layout", message, f"close {name} before {key}", offset=key_start)
                        )
                        end = self._section(key, position, (*pointer, key))
                        more, position = json_text.parse_separator(text, end, closing)
                        continue
                value, end = self._value(position)
                if listed:
                    key = self._name(value, index, position)
                if key is not None:
                    self._note_name(name, key, key_start)
                    batch.extend([key], key_start, index, [value])
                index += 1
                more, position = json_text.parse_separator(text, end, closing)
        finally:
            batch.flush()
        return position

    def _span(
        self, section: str, closing: str, start: int, stop: int
    ) -> tuple[list[str], list[Any], int | None] | None:
        """Names and values of the entries from `start` to `stop`, parsed at once.

        If the section ends before `stop`, also the offset after its bracket. None if anything is unusual, so
        that entries must be read one by one: broken text, a repeated name or key, NaN, deep nesting, an
        entry that is neither a list of objects nor an object with a name.
        """
        text = self._source.text
        opening = "{" if closing == "}" else "["
        try:
            held, length = self._quick.raw_decode(f"{opening}{text[start:stop]}{closing}")
        except (ValueError, RecursionError):
            return None
        ended = length < stop - start + 2
        if self._constants or not held or (stop == len(text) and not ended):
            self._constants = 0
            return None
        end = start + length - 1
        if json_text.nests_too_deep(text, start, end - 1):
            return None
        if isinstance(held, dict):
            names, values = list(held), list(held.values())
            if set(map(type, values)) != {list}:
                return None
            objects = list(chain.from_iterable(values))
            keys = len(names)
        else:
            objects = values = held
            keys = 0
        if not set(map(type, objects)) <= {dict}:
            return None
        if isinstance(held, list):
            try:
                names = list(map(itemgetter("name"), values))
            except KeyError:
                return None
        keys += sum(map(len, objects))
        # Every key is followed by a colon: where fewer keys than colons were parsed, either a string contains
        # a colon, or a key is repeated.
        stop = end if ended else stop
        if keys != text.count(":", start, stop) and keys != len(_KEY.findall(text, start, stop)):
            return None
        fresh = dict.fromkeys(names, section) if set(map(type, names)) == {str} else {}
        if len(fresh) != len(names) or not self._seen.keys().isdisjoint(fresh):
            return None
        self._seen.update(fresh)
        return names, values, end if ended else None

    def _name(self, value: Any, index: int, offset: int) -> str | None:
        """The name of a listed entry; None if the value cannot be an entry."""
        if not isinstance(value, dict):
            message = f"entry {index} is {quoted_value(value)}, not an object"
            self._flaws.append(Flaw("layout", message, offset=offset))
            return None
        name = value.get("name")
        if name is None:
            message = f"entry {index} has no name, so it belongs to no tensor"
            self._flaws.append(Flaw("missing-field", message, offset=offset))
            return None
        if not isinstance(name, str):
            message = f"the name of entry {index} is {quoted_value(name)}, not text"
            self._flaws.append(Flaw("field-type", message, offset=offset))
            return None
        return name

    def _note_name(self, section: str, name: str, offset: int) -> None:
        other = self._seen.get(name)
        if other is None:
            self._seen[name] = section
            return
        where = "twice in" if other == section else f"in {other} and in"
        message = f"{quoted_value(name)} has an encoding {where} {section}; only one is applied"
        self._flaws.append(Flaw("duplicate-key", message, "remove one", offset=offset, first=name))


class _Batch:
    """Entries of one section, collected until there are enough to be converted together."""

    def __init__(
        self, builder: ColumnBuilder, places: Places, layout: Layout, section: int, closing: str
    ) -> None:
        self._builder = builder
        self._places = places
        self._layout = layout
        self._section = section
        self._closing = closing
        self._clear()

    def _clear(self, start: int = 0) -> None:
        self._start = start
        self._names: list[str] = []
        self._indices: list[int] = []
        self._values: list[Any] = []

    def extend(self, names: list[str], start: int, index: int, values: list[Any]) -> None:
        """Add adjacent entries, from an offset and an index in their section on."""
        if len(self._names) >= _BATCH or start - self._start > _BATCH_TEXT:
            self.flush()
            self._clear(start)
        self._places.add(len(names), start, self._closing)
        self._names += names
        self._indices += range(index, index + len(names))
        self._values += values

    def flush(self) -> None:
        """Pass on the collected entries."""
        if self._names:
            self._builder.add(self._layout, self._section, self._names, self._indices, self._values)
            self._clear()
