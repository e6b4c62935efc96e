"""Where a command's text goes: to standard output, or whole into a file."""

from __future__ import annotations

import sys
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.writing import write_whole


def deliver(text: str, output: str | None) -> None:
    """Write a report to the file that `-o` names, or to standard output where it names none.

    Raises:
        UsageError: the file cannot be written.
    """
    if output is None:
        sys.stdout.write(text)
        return
    try:
        write_whole(Path(output), text)
    except OSError as error:
        raise UsageError(f"cannot write {plain(output)}: {error.strerror}") from None
