"""The console on which reports for people are laid out."""

from __future__ import annotations

from io import StringIO
from typing import TextIO

from rich.console import Console


def paper(stream: TextIO | None) -> Console:
    """A console that keeps what is printed, for `printed`; `stream` is where it will be shown.

    Colored only if the stream is a terminal (NO_COLOR and FORCE_COLOR apply); elsewhere a line
    has 100 columns.
    """
    terminal = _is_terminal(stream)
    return Console(
        file=StringIO(),
        width=Console(file=stream).width if terminal else 100,
        force_terminal=True if terminal else None,
        color_system="auto" if terminal else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def printed(console: Console, stream: TextIO | None) -> str:
    """What was printed on a console that `paper` made for the stream."""
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    # Rich fills lines up to the width, which only a terminal with colors needs.
    return text if _is_terminal(stream) else "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
