"""The worker's side: override files and the models next to them, cached between requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lsprotocol import types

from dlclint.engine.job import Job
from dlclint.server.overrides import OpenOverrides, Views


class Opened(NamedTuple):
    """An override file as it is in the editor, and the settings with which it is linted."""

    uri: str
    version: int | None
    text: str
    units: str
    job: Job


QUESTIONS: dict[str, Callable[..., Any]] = {
    "diagnostics": lambda file: file.diagnostics(),
    "actions": lambda file, wanted: list(file.actions(wanted)),
    "hover": lambda file, position: file.hover(_offset(file, position)),
    "completions": lambda file, position: file.completions(_offset(file, position)),
    "related": lambda file, position: file.related(_offset(file, position)),
}
"""By name, because a function is sent to a worker by its name."""
_views = Views()
_files: dict[str, tuple[Opened, OpenOverrides]] = {}
_KEPT = 20
"""Files whose analysis is cached; an editor seldom has more open."""


def _offset(file: OpenOverrides, position: types.Position) -> int:
    return file.positions.offset(position)


def answer(question: str, opened: Opened, *arguments: Any) -> Any:
    """The result of one of `QUESTIONS`; a file is analyzed again only if it or its options changed."""
    if len(_files) > _KEPT:
        _files.clear()
    known = _files.get(opened.uri)
    if known is None or known[0] != opened:
        file = OpenOverrides(opened.job, opened.text, opened.uri, _views, opened.units)
        known = _files[opened.uri] = (opened, file)
    return QUESTIONS[question](known[1], *arguments)
