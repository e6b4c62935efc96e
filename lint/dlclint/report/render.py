"""The formats of each command, and what renders them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, TextIO

FORMATS = {
    "check": ("rich", "concise", "json", "sarif", "github", "gitlab", "junit", "markdown", "html"),
    "confirm": ("rich", "json", "sarif"),
    "equalize": ("rich", "json"),
    "explain": ("rich", "json"),
    "fix": ("rich", "json"),
    "plan": ("rich", "json", "markdown", "html"),
    "simulate": ("rich", "concise", "json", "html"),
    "statistics": ("rich", "json"),
    "zoo": ("rich", "json", "parquet", "html"),
}
"""The formats of each command, the default first: `render` of `dlclint.report.FORMAT.COMMAND` renders it."""
DRAWN = ("html",)
"""Formats that draw models, which must be known before the models are read."""


def render(command: str, form: str, outcome: object, stream: TextIO | None) -> str:
    """The report of a command as text; see `pieces`."""
    return "".join(pieces(command, form, outcome, stream))


def pieces(command: str, form: str, outcome: object, stream: TextIO | None) -> Iterable[str]:
    """The report of a command as text in pieces, so that a report on many files need not be held at once.

    `stream` is where it will be shown, for width and color; None for a file.

    Raises:
        ValueError: the command has no such format.
    """
    if form not in FORMATS[command]:
        raise ValueError(f"{command} has no format {form}")
    rendered: str | Iterable[str] = load_renderer(command, form).render(outcome, stream)
    return (rendered,) if isinstance(rendered, str) else rendered


def load_renderer(command: str, form: str) -> Any:
    """The module that renders a format of `FORMATS`; each has imports that the others do not need."""
    return import_module(f"dlclint.report.{form}.{command}")
