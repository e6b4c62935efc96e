"""Readers of remote files by ranges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Sink = Callable[[int, bytes], None]
"""Takes bytes and their offset in the file."""
LARGEST_WHOLE = 256 << 20
"""Bytes of a file that is read whole: its server supports no ranges, or its format allows no skipping."""
LARGEST = 128 << 30
"""Bytes of a file; a larger declared size is rejected."""
PIECE = 8 << 20
"""Bytes of a large range that are requested at once."""
AT_ONCE = 8
"""Requests in progress at once."""
SLOWEST = 256 << 10
"""The minimum bytes per second, beyond the time that every read has."""
REQUEST = 256 << 10
"""Bytes that cost about as much as a request."""


class Traffic:
    """The cost of reading so far."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0


class Reader(Protocol):
    """One open remote file, whose size is known and which must not change."""

    size: int
    first: list[tuple[int, bytes]]
    """What was read to open it."""
    traffic: Traffic
    note: str
    """What users of the report should know about how it was read; "" for nothing."""

    @property
    def mark(self) -> str:
        """What identifies this version of the file; "" where its server provides nothing for that."""

    @property
    def near(self) -> int:
        """Bytes between two ranges that are read with them, because another request costs more."""

    def read(self, ranges: Sequence[tuple[int, int]], sink: Sink) -> None:
        """Read ranges, all at once; each is from its first byte to before its last.

        Raises:
            RemoteError: they cannot be read, or the file has changed.
        """

    def verify(self) -> None:
        """Check that the file is still the one that was opened, where the reads did not.

        Raises:
            Changed: it is not.
        """

    def close(self) -> None:
        """Close the file."""


def byte_ranges(start: int, end: int) -> list[tuple[int, int]]:
    """A range in parts of at most `PIECE` bytes."""
    return [(at, min(at + PIECE, end)) for at in range(start, end, PIECE)]
