"""Making a failing input small: fields, lines and bytes go as long as the same flaw remains."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from .case import Case
from .raw import Field, all_lists, fields_of
from .server import serve

Shows = Callable[[Case], bool]


def flaws_of(case: Case, seconds: float) -> list[str]:
    """The keys of the flaws that a case shows in a child of its own."""
    lines: list[str] = []

    def say(event: dict[str, Any]) -> None:
        lines.extend(f"{kind}: {cause}" for kind, cause, _ in event["flaws"])

    serve([(0, case)], say, seconds)
    return lines


def minimized(case: Case, shows: Shows, seconds: float) -> Case:
    """A smaller case that still shows the flaw; stops after so many seconds."""
    end = time.monotonic() + seconds
    for name in sorted(case.files, key=lambda name: len(case.files[name])):
        smaller = case.without_file(name)
        if time.monotonic() < end and name not in case.arguments and shows(smaller):
            case = smaller
    case = _shorter_words(case, shows, end)
    for name in case.files:
        for reductions in (_fields, _json, _chunks):
            progress = True
            while progress and time.monotonic() < end:
                progress = False
                for data in reductions(case.files[name]):
                    if time.monotonic() > end:
                        break
                    smaller = case.with_file(name, data)
                    if len(data) < len(case.files[name]) and shows(smaller):
                        case, progress = smaller, True
                        break
    return case


def _shorter_words(case: Case, shows: Shows, end: float) -> Case:
    index = len(case.arguments) - 1
    while index > 0:
        for count in (2, 1):
            words = case.arguments[:index] + case.arguments[index + count :]
            smaller = Case(case.files, words, case.origin)
            if time.monotonic() < end and len(words) < len(case.arguments) and shows(smaller):
                case = smaller
                break
        index -= 1
    return case


def _encoded(tree: list[Field]) -> bytes:
    return b"".join(field.encoded() for field in tree)


def _fields(data: bytes) -> Iterator[bytes]:
    """Without one field of a message, or half of a repeated one, the largest first."""
    try:
        tree = fields_of(data)
    except ValueError:
        return
    places = [(nested, at) for nested in all_lists(tree) for at in range(len(nested))]
    places.sort(key=lambda spot: -len(spot[0][spot[1]].encoded()))
    for fields, at in places[:400]:
        kept = fields[at]
        del fields[at]
        yield _encoded(tree)
        fields.insert(at, kept)
    for fields, at in places[:400]:
        field = fields[at]
        if field.kind == 2 and isinstance(field.value, bytes) and len(field.encoded()) > 8:
            value, inner = field.value, field.inner
            field.value, field.inner = value[: len(value) // 2], None
            yield _encoded(tree)
            field.value, field.inner = value, inner


def _json(data: bytes) -> Iterator[bytes]:
    """Without one member or item."""
    try:
        value = json.loads(data)
    except ValueError:
        return
    pending = [value]
    while pending:
        inner = pending.pop(0)
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))[::-1]
        for key in keys:
            kept = inner[key]
            if isinstance(inner, dict):
                whole = dict(inner)
                del inner[key]
                yield json.dumps(value).encode()
                inner.clear()
                inner.update(whole)
            else:
                del inner[key]
                yield json.dumps(value).encode()
                inner.insert(key, kept)
            if isinstance(kept, dict | list):
                pending.append(kept)


def _chunks(data: bytes) -> Iterator[bytes]:
    """Without a chunk of bytes, from halves down to a sixty-fourth, and single bytes of short files."""
    size = len(data) // 2
    while size >= 1:
        for start in range(0, len(data), size):
            yield data[:start] + data[start + size :]
        if size == 1 or (size < len(data) // 64 and len(data) > 300):
            break
        size = max(1, size // 2)
