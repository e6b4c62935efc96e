"""The three standard streams, which whoever starts the process may have closed."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import NoReturn


class _Closed(io.TextIOBase):
    """Stands for a standard output that is closed."""

    def write(self, text: str) -> NoReturn:
        raise OSError(errno.EBADF, "it is closed", "standard output")


def prepare_streams() -> None:
    """Let no file or pipe take the place of a closed stream, and names of any model be printed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest descriptor that is free: this one
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        # Where it is None, what is meant for it would be printed to standard output.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  (stays open to the end)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a name of the model may not fit the terminal's encoding
            reconfigure(errors="backslashreplace")


def refuse_closed_output() -> None:
    """Stop before any work whose result could not be shown.

    Raises:
        OSError: standard output is closed.
    """
    if isinstance(sys.stdout, _Closed):
        sys.stdout.write("")


def drop_output() -> None:
    """Let what still waits for standard output go nowhere, where it can be written without failing."""
    if not isinstance(sys.stdout, _Closed):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
