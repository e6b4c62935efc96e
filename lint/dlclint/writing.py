"""Writing files whole or not at all, and removing the leftovers of killed runs.

A file is first written under a temporary name next to the output, which identifies the writer:
`.NAME.dlclint-PID-` and eight characters. While its process lives, the file is locked, so that no other run
removes it, not even in a container with separate process numbers.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

if os.name == "posix":
    import fcntl

_LEFT = re.compile(
    r"\.(?P<name>.+)\.dlclint-(?P<pid>\d+)-(?:i(?P<inode>\d+)-)?[a-z0-9_]{8}(?:\.[a-z]+)?", re.DOTALL
)
_NAME_BYTES = 120
"""Bytes of a file's name that its temporary name repeats; file systems allow 255 in all."""
_OLD = 3600.0
"""Seconds after which an unlocked file is a leftover, whichever process has its number now."""


class Temporary:
    """A file under a temporary name in the folder of the final file.

    `handle` is open for writing and for the caller to close; the file stays locked until `put` or `drop`.
    `claims` is a file that is written for this one and removed with it, see `claim`.

    Raises:
        OSError: from the file system.
    """

    def __init__(self, path: Path, suffix: str = "", claims: Path | None = None) -> None:
        clear(path.parent)
        self._mark = temporary_prefix(claims or path)
        self._claims = claims if claims and self._mark.startswith(f".{claims.name}.dlclint-") else None
        prefix = self._mark if self._claims is None else f"{self._mark}i0-"
        self.handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
        self.path = Path(name)
        self._lock = -1
        if os.name == "posix":
            self._lock = os.dup(self.handle)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def claim(self) -> None:
        """Record in the name that the existing file at `claims` belongs to this one.

        If this process is killed, that file is removed with this one: `clear` identifies it by its name and
        inode, or before this is recorded (inode 0) by its name and because it is empty.
        """
        if self._claims is not None:
            tail = self.path.name[len(self._mark) + len("i0-") :]
            inode = self._claims.stat().st_ino
            self.path = self.path.rename(self.path.with_name(f"{self._mark}i{inode}-{tail}"))

    def put(self, path: Path) -> None:
        """Give the file its name."""
        self._unlock()
        self.path.replace(path)

    def drop(self) -> None:
        """Remove the file."""
        self._unlock()
        self.path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def temporary_prefix(path: Path) -> str:
    """Prefix of the temporary name of a file that becomes `path`."""
    short = os.fsencode(path.name)[:_NAME_BYTES].decode("utf-8", "ignore")
    return f".{short}.dlclint-{os.getpid()}-"


def clear(folder: Path) -> None:
    """Remove what killed runs have left in a folder."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return
    for name in names:
        match = _LEFT.fullmatch(name)
        if match is not None and _is_left(folder / name, int(match["pid"])):
            # First the file that belongs to it, because without it that could not be identified.
            if match["inode"]:
                _remove(folder / match["name"], int(match["inode"]))
            _remove(folder / name)


def _remove(path: Path, inode: int | None = None) -> None:
    try:
        if inode is None and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif inode is None or _is_claimed(path.lstat(), inode):
            path.unlink(missing_ok=True)
    except OSError:
        return  # owned by another user, or gone


def _is_claimed(status: os.stat_result, inode: int) -> bool:
    return status.st_ino == inode if inode else status.st_size == 0 and stat.S_ISREG(status.st_mode)


def _is_left(path: Path, pid: int) -> bool:
    try:
        old = time.time() - path.lstat().st_mtime > _OLD
    except OSError:
        return False
    if os.name != "posix":
        return old
    return (old or not _lives(pid)) and not _is_locked(path)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # owned by another user
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process is dead, but its exit status was not read yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:  # noqa: PTH123  (a Path would take twice as long)
            return stream.read().rpartition(b")")[2].split()[:1] == [b"Z"]
    except OSError:  # a system without /proc, or the process is gone
        return False


def _is_locked(path: Path) -> bool:
    if path.is_dir():
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def write_whole(path: Path, text: str | bytes | Iterable[str]) -> None:
    """Write a file, whose text may come in pieces, so that it appears whole or not at all.

    A device or pipe, such as /dev/null, is written to: replacing it by a file would take it from everyone. A
    symbolic link stays, and its target is written.

    Raises:
        OSError: from the file system; the old file, if any, is unchanged.
    """
    pieces = (text,) if isinstance(text, str | bytes) else text
    how: Any = (
        {"mode": "wb"} if isinstance(text, bytes) else {"mode": "w", "encoding": "utf-8", "newline": "\n"}
    )
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open(**how) as stream:
            stream.writelines(pieces)
        return
    path = Path(os.path.realpath(path))
    temporary = Temporary(path)
    try:
        with os.fdopen(temporary.handle, **how) as stream:
            stream.writelines(pieces)
        umask = os.umask(0)
        os.umask(umask)
        temporary.path.chmod(0o666 & ~umask)
        temporary.put(path)
    except BaseException:
        temporary.drop()
        raise
