"""Reading the bytes of weights: whether it is allowed, and having them where they lie elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlclint.remote import images
from dlclint.remote.errors import RemoteError

_is_withheld = False
"""Of the whole process: weights are read in threads, and a process lints one file at a time."""


class Withheld(Exception):
    """The bytes may not be had, or cannot; the argument says why in one sentence."""


@contextmanager
def weights(allowed: bool) -> Iterator[None]:
    """Whether weights may be read while the block runs."""
    global _is_withheld
    before, _is_withheld = _is_withheld, not allowed
    try:
        yield
    finally:
        _is_withheld = before


def reach(path: Path, offset: int, size: int) -> None:
    """Have bytes of a file before they are read.

    Raises:
        Withheld: see the class.
    """
    if _is_withheld:
        raise Withheld("weights are not read (--no-weights)")
    try:
        images.ensure(path, offset, size)
    except RemoteError as error:
        raise Withheld(error.message) from None
