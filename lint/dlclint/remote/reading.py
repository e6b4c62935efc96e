"""From an address to a reader of its bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Protocol

from dlclint.remote import urls
from dlclint.remote.errors import RemoteError

Sink = Callable[[int, bytes], None]
"""Takes bytes and where in the file they lie."""
REQUEST = 256 << 10
"""Bytes that cost about as much as a request."""
TIMEOUT = "DLCLINT_REMOTE_TIMEOUT"
"""The environment variable for the seconds that one read may take, retries included."""
_SECONDS = 30.0


class Traffic:
    """What reading cost so far."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.trips = 0
        """Reads that waited for the one before."""


class Reader(Protocol):
    """One open remote file, whose size is known and which stays the same file."""

    size: int
    first: list[tuple[int, bytes]]
    """What was read to open it."""
    traffic: Traffic
    note: str
    """What the reader of a report should know of how it was read; "" for nothing."""

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


def seconds() -> float:
    """What one read may take.

    Raises:
        RemoteError: the environment says something else than a number.
    """
    text = os.environ.get(TIMEOUT, "")
    try:
        limit = float(text) if text else _SECONDS
    except ValueError:
        limit = 0.0
    if not 0.0 < limit < 1e6:
        raise RemoteError(f"{TIMEOUT} is not a number of seconds", f"set {TIMEOUT} to a number such as 30")
    return limit


_ready: dict[str, tuple[int, Reader]] = {}
"""Files that were opened before they were asked for, with the process that did."""


def prepare(url: str, head: int) -> None:
    """Open a file for the next `opened` in this process; what stops it is told there."""
    try:
        _ready[url] = (os.getpid(), opened(url, head))
    except RemoteError:
        return


def opened(url: str, head: int, limit: float | None = None) -> Reader:
    """Open a remote file, with its first `head` bytes; `limit` is the seconds that a read may take.

    Raises:
        NotThere: there is no such file.
        RemoteError: it cannot be opened, or what reads its kind of address is not installed.
    """
    process, ready = _ready.pop(url, (0, None))
    if ready is not None and process == os.getpid():
        return ready
    scheme = urls.scheme_of(url)
    limit = seconds() if limit is None else limit
    try:
        if scheme in urls.HTTP:
            # Imported here because stores need another.
            from dlclint.remote.http import HttpReader

            return HttpReader(url, head, limit)
        # Imported here because HTTP needs another.
        from dlclint.remote.stores import StoreReader

        return StoreReader(url, head, limit)
    except ImportError as error:
        raise not_installed(scheme, error) from None


def not_installed(scheme: str, error: ImportError) -> RemoteError:
    """What to say where a package is missing."""
    package = (error.name or "").partition(".")[0]
    which = f" ({package})" if package.isidentifier() else ""
    return RemoteError(
        f"{scheme}:// needs packages that are not installed{which}",
        "install them: pip install 'dlclint[remote]'",
    )
