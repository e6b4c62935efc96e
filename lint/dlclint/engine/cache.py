"""Results of earlier runs in the user's cache folder: an unchanged file is not read again.

An entry holds the outcome of one job, and the state of every file that was read for it: size, time of change,
and a hash of the content. Where size and time are unchanged, nothing is read; where only the time differs,
the hash decides. The entry's name identifies everything else that the result depends on
(`dlclint.engine.entries`).

An entry must be whole (it carries its own hash). A flawed entry counts as missing. Entries are written whole
under unique names, so that concurrent runs do not interfere.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dlclint.engine.entries import CacheEntry, name_of, packed, renewed, unpacked
from dlclint.engine.job import Job

FOLDER = "DLCLINT_CACHE_DIR"
"""Names the folder that replaces the user's; if it is empty, nothing is kept."""
_FORM = b"dlclint cache 1\n"
_DIGEST = 32
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"
"""How backup programs recognize a cache folder."""
_KEPT = 60 * 24 * 3600.0
"""Seconds after which an entry is removed."""
_MOST_READ = 1 << 28
"""Bytes of one entry: dlclint writes none that is larger."""


def default_folder() -> Path | None:
    """The folder that the environment names, or the user's; None where nothing is kept."""
    if FOLDER in os.environ:
        return Path(os.environ[FOLDER]) if os.environ[FOLDER] else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base, "dlclint", "Cache") if base else None
    try:
        home = Path.home()
    except RuntimeError:  # a user without a home has no cache
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "dlclint"
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else home / ".cache") / "dlclint"


class Cache:
    """A folder of entries. No method fails because of the state of the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._usable: bool | None = None

    def find(self, job: Job) -> CacheEntry | None:
        """The outcome of the job, if no file that it read has changed."""
        if job.url:
            return None  # a remote file may change unseen
        path = self._path(job)
        entry = _load(path) if self._is_ours() else None
        now = None if entry is None else renewed(entry, job)
        if now is not None and now is not entry:
            self._write(path, now)
        return now

    def keep(self, job: Job, entry: CacheEntry) -> None:
        """Keep the outcome of the job, unless it is valid for this run only."""
        if entry.read is not None and not job.url:
            self._write(self._path(job), entry)

    def clean(self) -> int:
        """Remove every entry; returns how many there were."""
        count = sum(1 for _ in self._entries())
        if self.folder.is_dir() and (self.folder / "CACHEDIR.TAG").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        return count

    def _entries(self) -> Iterator[Path]:
        return self.folder.glob("[0-9a-f][0-9a-f]/*.entry")

    def _path(self, job: Job) -> Path:
        digits = name_of(job).hex()
        return self.folder / digits[:2] / f"{digits[2:]}.entry"

    def _is_ours(self) -> bool:
        """Whether only the user can write to the folder: what others can write is not read."""
        if self._usable is None:
            try:
                status = self.folder.stat()
                mine = os.name != "posix" or (
                    status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
                )
                self._usable = mine and (self.folder / "CACHEDIR.TAG").exists()
            except OSError:
                return False
        return self._usable

    def _write(self, path: Path, entry: CacheEntry) -> None:
        try:
            body = packed(entry)
            self._make()
            if not self._is_ours():
                return
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_suffix(f".{os.getpid()}")
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(_FORM + hashlib.sha256(body).digest() + body)
            temporary.replace(path)
        except Exception:  # a cache that cannot be written keeps nothing
            return

    def _make(self) -> None:
        tag = self.folder / "CACHEDIR.TAG"
        if tag.exists():
            self._prune(tag)
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(self.folder.iterdir()):
            return  # the folder holds other files
        text = f"{_SIGNATURE}\n# Results of dlclint, which may be removed at any time.\n"
        tag.write_text(text, "utf-8")
        self._usable = None

    def _prune(self, tag: Path) -> None:
        """Once a day, remove old entries."""
        now = time.time()
        if now - tag.stat().st_mtime < _KEPT / 60:
            return
        os.utime(tag)
        for entry in self.folder.glob("[0-9a-f][0-9a-f]/*"):
            if now - entry.stat().st_mtime > _KEPT:
                entry.unlink(missing_ok=True)


def _load(path: Path) -> CacheEntry | None:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  (as above)
            text = stream.read(_MOST_READ)
        head = len(_FORM) + _DIGEST
        body = text[head:]
        if text[: len(_FORM)] != _FORM or hashlib.sha256(body).digest() != text[len(_FORM) : head]:
            return None
    except OSError:
        return None
    return unpacked(body)
