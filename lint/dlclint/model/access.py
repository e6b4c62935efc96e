"""Reading the bytes of weights: whether it is allowed, and fetching them where the file is remote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlclint.remote import images
from dlclint.remote.errors import RemoteError

_is_withheld = False
"""Applies to the whole process: weights are read in threads, and a process lints one file at a time."""


class Withheld(Exception):
    """The bytes must not be read, or cannot be; the argument states why in one sentence."""


@contextmanager
def weights(allowed: bool) -> Iterator[None]:
    """Set whether weights may be read in the block."""
    global _is_withheld
    before, _is_withheld = _is_withheld, not allowed
    try:
        yield
    finally:
        _is_withheld = before


def reach(path: Path, offset: int, size: int) -> None:
    """Make sure that bytes of a file are present before they are read.

    Raises:
        Withheld: see the class.
    """
    if _is_withheld:
        raise Withheld("weights are not read (--no-weights)")
    try:
        images.ensure(path, offset, size)
    except RemoteError as error:
        raise Withheld(error.message) from None
