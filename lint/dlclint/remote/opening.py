"""From an address to a reader of its bytes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import PurePosixPath

from dlclint.remote import urls
from dlclint.remote.at_once import begun
from dlclint.remote.errors import NotThere, RemoteError
from dlclint.remote.reader import Reader

TIMEOUT = "DLCLINT_REMOTE_TIMEOUT"
"""The environment variable for the seconds that one read may take, retries included."""
_SECONDS = 30.0


def seconds() -> float:
    """The seconds that one read may take.

    Raises:
        RemoteError: the environment variable is not a number.
    """
    text = os.environ.get(TIMEOUT, "")
    try:
        limit = float(text) if text else _SECONDS
    except ValueError:
        limit = 0.0
    if not 0.0 < limit < 1e6:
        raise RemoteError(f"{TIMEOUT} is not a number of seconds", f"set {TIMEOUT} to a number such as 30")
    return limit


_ahead: dict[tuple[int, str, int], Callable[[], Reader]] = {}
"""Files that are being opened in advance, by process, address and size of the head."""


def open_ahead(url: str, head: int, limit: float | None = None) -> None:
    """Start to open a file for the next `opened` in this process, which reports what stopped it."""
    key = (os.getpid(), url, head)
    if key not in _ahead:
        _ahead[key] = begun(lambda: _opened(url, head, limit))


def opened(url: str, head: int, limit: float | None = None) -> Reader:
    """Open a remote file, with its first `head` bytes; `limit` is the seconds that a read may take.

    Raises:
        NotThere: the file does not exist.
        RemoteError: it cannot be opened, or the package for its kind of address is not installed.
    """
    ahead = _ahead.pop((os.getpid(), url, head), None)
    return _opened(url, head, limit) if ahead is None else ahead()


def _opened(url: str, head: int, limit: float | None) -> Reader:
    scheme = urls.scheme_of(url)
    limit = seconds() if limit is None else limit
    try:
        if scheme in urls.HTTP:
            # Imported here because stores need a different reader.
            from dlclint.remote.http import HttpReader

            return HttpReader(url, head, limit)
        # Imported here because HTTP needs a different reader.
        from dlclint.remote.stores import StoreReader

        return StoreReader(url, head, limit)
    except ImportError as error:
        raise not_installed(scheme, error) from None


def is_pinned(url: str, relative: str, mark: str) -> bool:
    """Whether a file next to another is unchanged: its reader's `mark`, or absent where that is ""."""
    try:
        reader = opened(urls.address_beside(url, PurePosixPath(relative)), 1)
    except NotThere:
        return not mark
    except RemoteError:
        return False
    reader.close()
    return bool(mark) and reader.mark == mark


def not_installed(scheme: str, error: ImportError) -> RemoteError:
    """The error for a missing package."""
    package = (error.name or "").partition(".")[0]
    which = f" ({package})" if package.isidentifier() else ""
    return RemoteError(
        f"{scheme}:// needs packages that are not installed{which}",
        "install them: pip install 'dlclint[remote]'",
    )
