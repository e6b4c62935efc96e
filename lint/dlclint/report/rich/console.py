"""The console with which reports for people are laid out."""

from __future__ import annotations

import os
import re
from io import StringIO
from typing import TextIO

from rich.console import Console

_COMMAND = re.compile(r"^(\s*)::")
_ESCAPED = r"\1\\x3a:"


def paper(stream: TextIO | None) -> Console:
    """A console that keeps what is printed, for `printed`; `stream` is where it will be shown.

    The text is colored if the stream is a terminal, or a pipe and FORCE_COLOR is set; NO_COLOR overrides
    both. A line has the terminal's columns, elsewhere 100.
    """
    terminal = _is_terminal(stream)
    colored = terminal or (stream is not None and bool(os.environ.get("FORCE_COLOR")))
    return Console(
        file=StringIO(),
        width=Console(file=stream).width if terminal else 100,
        force_terminal=colored,
        color_system="auto" if colored else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def printed(console: Console, stream: TextIO | None) -> str:
    """The text printed on a console that `paper` made for the stream."""
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    if _is_terminal(stream):
        return text
    # Rich fills lines up to the width, which only a terminal with colors needs. A name that is wrapped must
    # not become a workflow command, for which GitHub takes `::` at the start of a line, blanks aside.
    lines = (line.rstrip() for line in text.splitlines())
    return "".join(f"{_COMMAND.sub(_ESCAPED, line)}\n" for line in lines)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
