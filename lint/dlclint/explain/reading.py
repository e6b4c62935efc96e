"""From the text of a log to the meaning of its known messages; unknown lines are ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from dlclint.diagnostic import plain
from dlclint.explain.model import Explained
from dlclint_schemas.log_messages import LogMessage, code_meaning, log_messages

MAX_LINE = 4000
"""Characters of a line that are read: a log may hold a whole model in one line."""
NODE_WITHIN = 8
"""Lines between a validator's reason and the name of the op that it refuses."""
_RANK = {"error": 0, "warning": 1, "info": 2}
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CURLED = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\xa0": " "})
_SERIAL = re.compile(r"_token_\d+$")


@cache
def _patterns() -> tuple[tuple[LogMessage, re.Pattern[str]], ...]:
    return tuple((message, re.compile(message.pattern)) for message in log_messages())


def explain_lines(lines: Iterable[str]) -> list[Explained]:
    """The messages of a log, causes before consequences, the worst first.

    A message that occurs several times with the same words is one, at its first line.
    """
    first: dict[tuple[str, ...], Explained] = {}
    waiting: list[Explained] = []
    for message in _messages(lines):
        while waiting and (message.line - waiting[0].line > NODE_WITHIN):
            _count(first, waiting.pop(0))
        node = message.groups.get("node", "")
        if node and waiting and message.message.consequence:
            # The validator gives the reason first, and then the op that it refuses.
            for reason in waiting:
                _count(first, replace(reason, groups={**reason.groups, "node": node}))
            waiting.clear()
        if message.message.names_node_later:
            waiting.append(message)
        else:
            _count(first, message)
    for message in waiting:
        _count(first, message)
    present = {message.message.id for message in first.values()}
    return sorted(
        (message for message in first.values() if message.message.implied_by not in present),
        key=lambda message: (message.message.consequence, _RANK[message.message.severity], message.line),
    )


def _count(first: dict[tuple[str, ...], Explained], explained: Explained) -> None:
    """Add a message, or count it with an equal one."""
    key = (explained.message.id, *explained.groups.values())
    known = first.get(key)
    if known is None:
        first[key] = explained
    else:
        first[key] = replace(known, count=known.count + 1, line=min(known.line, explained.line))


def _messages(lines: Iterable[str]) -> Iterator[Explained]:
    for number, line in enumerate(lines, 1):
        text = _ESCAPES.sub("", line[:MAX_LINE])
        # Text copied from a page may have curly quotes and double blanks.
        matches = list(_recognized(text)) or list(_recognized(" ".join(text.translate(_CURLED).split())))
        for message, match in matches:
            groups = _groups(match)
            yield Explained(
                message,
                number,
                1,
                plain(" ".join(match[0].split()), 300),
                _said(message, groups),
                groups,
                code=code_meaning(message, groups.get("code", "")),
            )


def _recognized(line: str) -> Iterator[tuple[LogMessage, re.Match[str]]]:
    """Each message of a line; of several that match at one position, the first of the catalog."""
    taken: list[tuple[int, int]] = []
    for message, pattern in _patterns():
        if message.contains not in line:
            continue
        for match in pattern.finditer(line):
            start, end = match.span()
            if not any(start < other_end and other_start < end for other_start, other_end in taken):
                taken.append((start, end))
                yield message, match


def _groups(match: re.Match[str]) -> dict[str, str]:
    """The named parts; `node2` is another spelling of `node`. Names are without the layout pass's suffix."""
    groups: dict[str, str] = {}
    for name, value in match.groupdict().items():
        if value is not None:
            text = value.strip().strip("'\"`").rstrip(".,;:")
            groups.setdefault(name.rstrip("0123456789"), _SERIAL.sub("", text))
    return groups


def _said(message: LogMessage, groups: dict[str, str]) -> str:
    shown = {name: plain(value) for name, value in groups.items()}
    names = re.findall(r"\{(\w+)\}", message.says)
    text = message.says.format(**{name: shown.get(name, "") for name in names})
    return " ".join(text.split()).replace(" ()", "")
