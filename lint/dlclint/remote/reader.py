"""What reads a remote file by ranges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Sink = Callable[[int, bytes], None]
"""Takes bytes and where in the file they lie."""
LARGEST_WHOLE = 256 << 20
"""Bytes of a file that is read whole: its server knows no ranges, or its form knows no skipping."""
LARGEST = 128 << 30
"""Bytes of a file; what declares more is not believed."""
PIECE = 8 << 20
"""Bytes of a large range that are asked for at once."""
AT_ONCE = 8
"""Requests that are under way at once."""
SLOWEST = 256 << 10
"""Bytes a second that much may come at, beyond the time that every read has."""
REQUEST = 256 << 10
"""Bytes that cost about as much as a request."""


class Traffic:
    """What reading cost so far."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0


class Reader(Protocol):
    """One open remote file, whose size is known and which stays the same file."""

    size: int
    first: list[tuple[int, bytes]]
    """What was read to open it."""
    traffic: Traffic
    note: str
    """What the reader of a report should know of how it was read; "" for nothing."""

    @property
    def mark(self) -> str:
        """What tells this version of the file from the next; "" where its server says nothing that does."""

    @property
    def near(self) -> int:
        """Bytes between two ranges that are read with them, because another request costs more."""

    def read(self, ranges: Sequence[tuple[int, int]], sink: Sink) -> None:
        """Read ranges, all at once; each is from its first byte to before its last.

        Raises:
            RemoteError: they cannot be had, or the file has changed.
        """

    def verify(self) -> None:
        """Make sure that the file is still the one that was opened, where the reads did not.

        Raises:
            Changed: it is not.
        """

    def close(self) -> None:
        """Let go of the file."""


def byte_ranges(start: int, end: int) -> list[tuple[int, int]]:
    """A range in parts of at most `PIECE` bytes."""
    return [(at, min(at + PIECE, end)) for at in range(start, end, PIECE)]
