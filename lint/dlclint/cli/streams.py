"""The three standard streams, which the process that starts dlclint may have closed."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import NoReturn


class _Closed(io.TextIOBase):
    """Replaces a closed standard output."""

    def write(self, text: str) -> NoReturn:
        raise OSError(errno.EBADF, "it is closed", "standard output")


def prepare_streams() -> None:
    """Keep files from taking the descriptor of a closed stream, and let any model's names be printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest descriptor that is free: this one
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        # If it were None, messages to it would be printed to standard output.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  (stays open to the end)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a name of the model may not fit the terminal's encoding
            reconfigure(errors="backslashreplace")


def refuse_closed_output() -> None:
    """Stop before any work whose result could not be written.

    Raises:
        OSError: standard output is closed.
    """
    if isinstance(sys.stdout, _Closed):
        sys.stdout.write("")


def drop_output() -> None:
    """Discard the buffered output where it can be written without failing."""
    if not isinstance(sys.stdout, _Closed):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
