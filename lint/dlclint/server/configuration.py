"""Editor support for `dlclint.toml`: errors while typing, completion of keys, and their meaning."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
from lsprotocol.types import (
    CompletionItem,
    CompletionItemKind,
    Diagnostic,
    DiagnosticSeverity,
    MarkupContent,
    MarkupKind,
    Range,
    TextEdit,
)

from dlclint.diagnostic import plain
from dlclint.engine.registry import all_rules, suggest
from dlclint.own_rules import OWN_DOCS
from dlclint.server.positions import Positions
from dlclint.server.wording import SOURCE
from dlclint.socs import UnknownSoc, resolve_soc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HEADER = re.compile(r"^[ \t]*(\[\[?)[ \t]*([^\]#]+?)[ \t]*\]\]?", re.M)
_KEY = re.compile(r"^([ \t]*)([A-Za-z0-9_-]+|\"[^\"\n]*\")[ \t]*=", re.M)
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_STRING = re.compile(r"[\"']([^\"'\n]*)$")
_SELECTING = ("select", "ignore", "rule")
Path = tuple[str | int, ...]


@cache
def schema() -> dict[str, Any]:
    """The published schema of the configuration."""
    loaded: dict[str, Any] = json.loads(
        files("dlclint_schemas").joinpath("config.schema.json").read_text("utf-8")
    )
    return loaded


class ConfigurationFile:
    """A `dlclint.toml` as it is in the editor."""

    def __init__(self, text: str, units: str) -> None:
        self.text = text
        self.positions = Positions(text, units)

    def diagnostics(self) -> list[Diagnostic]:
        """Where the file is not TOML, violates the schema, or names an unknown rule or chip."""
        try:
            table = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            return [self._broken(str(error))]
        except RecursionError:
            return [_error(self.positions.token(0), "lists nest too deep to be read")]
        errors = sorted(
            jsonschema.Draft202012Validator(schema()).iter_errors(table),
            key=lambda error: list(map(str, error.path)),
        )
        shown = [_error(self._range(tuple(error.absolute_path)), error.message) for error in errors]
        return shown or [_error(self._range(path), message) for path, message in _misnamed(table)]

    def _broken(self, message: str) -> Diagnostic:
        match = _PLACE.search(message)
        offset = self.positions.at(int(match[1]), int(match[2])) if match else max(0, len(self.text) - 1)
        return _error(self.positions.token(offset), f"not TOML: {_PLACE.sub('', message).strip()}")

    def _range(self, path: Path) -> Range:
        """The key that a path leads to, or the nearest one in the text."""
        best: tuple[int, int, int] = (0, 0, 0)
        for start, end, known in self._keys():
            shared = 0
            for one, other in zip(path, known, strict=False):
                if one != other:
                    break
                shared += 1
            if shared == len(known) and shared > best[0]:
                best = (shared, start, end)
        return self.positions.range(best[1], best[2]) if best[0] else self.positions.token(0)

    def _keys(self) -> Iterator[tuple[int, int, Path]]:
        """Offsets and paths of the headers and keys, in the order of the text."""
        counts: dict[str, int] = {}
        prefix: Path = ()
        marks = sorted(
            [*_HEADER.finditer(self.text), *_KEY.finditer(self.text)], key=lambda match: match.start()
        )
        for match in marks:
            if match.re is _KEY:
                yield match.start(2), match.end(2), (*prefix, match[2].strip('"'))
                continue
            name = match[2].strip('"')
            parts: list[str | int] = [part.strip().strip('"') for part in name.split(".")]
            if match[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                prefix = (*parts, counts[name])
            else:
                first = str(parts[0])
                prefix = (first, counts[first], *parts[1:]) if first in counts else tuple(parts)
            yield match.start(2), match.end(2), prefix

    def _section_at(self, offset: int) -> Path:
        """The path of the table that contains an offset."""
        prefix: Path = ()
        for start, _, path in self._keys():
            if start > offset:
                break
            line = self.text[self.text.rfind("\n", 0, start) + 1 : start]
            if "[" in line:
                prefix = path
        return prefix

    def hover(self, offset: int) -> MarkupContent | None:
        """The meaning of a key, from the schema."""
        for start, end, path in self._keys():
            if start <= offset <= end:
                node = _node(path)
                text = node.get("description") if node is not None else None
                return MarkupContent(MarkupKind.Markdown, text) if text else None
        return None

    def completions(self, offset: int) -> list[CompletionItem]:
        """Keys of the current table; rule ids, chips, runtimes and other words where one is written."""
        line_start = self.text.rfind("\n", 0, offset) + 1
        before = self.text[line_start:offset]
        string = _STRING.search(before)
        key = _KEY.match(before)
        if key is not None and string is not None:
            span = self.positions.range(offset - len(string[1]), offset)
            return [
                CompletionItem(
                    word, kind=CompletionItemKind.Value, detail=detail, text_edit=TextEdit(span, word)
                )
                for word, detail in self._words((*self._section_at(line_start), key[2]))
                if word.startswith(string[1])
            ]
        if "=" in before or "[" in before:
            return []
        node = _node(self._section_at(offset))
        span = self.positions.range(offset - len(before.lstrip()), offset)
        return [
            CompletionItem(
                name,
                kind=CompletionItemKind.Property,
                documentation=told.get("description"),
                text_edit=TextEdit(span, name),
            )
            for name, told in (node or {}).get("properties", {}).items()
            if name.startswith(before.strip())
        ]

    def _words(self, path: Path) -> Iterator[tuple[str, str]]:
        if path[-1] in _SELECTING:
            for family in dict.fromkeys(rule.family for rule in all_rules()):
                yield family, "every rule of the family"
            yield from ((rule.id, rule.title) for rule in all_rules())
            return
        node = _node(path) or {}
        for told in (node, node.get("items", {})):
            yield from ((str(word), "") for word in told.get("enum", ()))


def _node(path: Path) -> dict[str, Any] | None:
    """The part of the schema that a path leads to."""
    node = schema()
    for part in path:
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            other = node.get("additionalProperties")
            node = node.get("properties", {}).get(part) or (other if isinstance(other, dict) else {})
        if not node:
            return None
    return node


def _misnamed(table: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    known = {rule.id for rule in all_rules()} | {rule.family for rule in all_rules()}
    known |= OWN_DOCS.keys() | {id.partition("/")[0] for id in OWN_DOCS}
    named: list[tuple[Path, str]] = [
        ((key,), name) for key in ("select", "ignore") for name in table.get(key, ())
    ]
    named += [
        (("ignores", index, "rule"), ignore["rule"]) for index, ignore in enumerate(table.get("ignores", ()))
    ]
    for path, name in named:
        if name not in known:
            yield path, f"unknown rule {plain(name)}{suggest(name, known)}"
    for index, section in enumerate(table.get("models", ())):
        chips = section.get("soc", ())
        for name in filter(None, (chips,) if isinstance(chips, str) else chips):
            try:
                resolve_soc(name)
            except UnknownSoc as problem:
                near = f"; did you mean {' or '.join(problem.candidates)}?" if problem.candidates else ""
                yield ("models", index, "soc"), f"{plain(name)}: {problem}{near}"


def _error(span: Range, message: str) -> Diagnostic:
    return Diagnostic(span, plain(message, 400), DiagnosticSeverity.Error, code="config", source=SOURCE)
