"""Results of a run over many files, on disk: kept as they arrive, and read one by one.

After a line that identifies the format, the file holds one record for each result: its length, the name of
its job, a hash, and the entry itself. A record is appended by one write. A run that was killed during the
write leaves the record incomplete; everything after the last complete record is dropped. Of two records of
one job, the later one is valid.
"""

from __future__ import annotations

import hashlib
import os
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, overload

from dlclint.engine.entries import name_of, unpacked
from dlclint.engine.job import Job
from dlclint.outcome import FileOutcome
from dlclint.writing import Temporary

if os.name == "posix":
    import fcntl

NAME = "results.dlclint"
_FORM = b"dlclint results 1\n"
_HEAD = struct.Struct("<I32s32s")
"""Bytes of the entry, the name of its job, and the hash of both."""
_LARGEST = 1 << 28
"""Bytes of one entry: dlclint writes none that is larger."""
_UNNAMED = bytes(32)


class NoResults(Exception):
    """A folder that cannot be used; the argument states why, and what to do."""


class Results:
    """The results of some jobs, by their numbers, while they arrive; `stored` reads them."""

    def __init__(self, folder: Path, jobs: Sequence[Job], names: bool = True, resume: bool = False) -> None:
        """Open a folder for the results of a run.

        Args:
            folder: created if it does not exist.
            jobs: the jobs of the run.
            names: whether another run must be able to find these results again.
            resume: whether the folder may hold results already.

        Raises:
            NoResults: it holds results and must not, or another run writes to it.
            OSError: from the file system.
        """
        self.path = folder / NAME
        self._jobs = jobs
        self._names = names
        self._places = array("q", [-1]) * len(jobs)
        self._old = array("q", [-1]) * len(jobs)
        self._stale = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            self._lock()
            self._end = self._begin(resume)
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Results:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None and self._stale:
                self._rewrite()
        finally:
            os.close(self._handle)

    def _lock(self) -> None:
        if os.name != "posix":
            return
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NoResults("another run is writing to it; wait for it, or name another folder") from None

    def _begin(self, resume: bool) -> int:
        """Find the records that exist; returns where the next record goes."""
        if not os.fstat(self._handle).st_size:
            os.write(self._handle, _FORM)
            return len(_FORM)
        if not resume:
            raise NoResults("it holds results; continue them with --resume, or name another folder")
        numbers = {name_of(job): number for number, job in enumerate(self._jobs)}
        end = len(_FORM)
        with os.fdopen(os.dup(self._handle), "rb") as stream:
            for position, name, body in _pieces(stream):
                number = numbers.get(name)
                self._stale += number is None or self._old[number] >= 0
                if number is not None:
                    self._old[number] = position
                end = position + _HEAD.size + len(body)
        os.ftruncate(self._handle, end)
        os.lseek(self._handle, end, os.SEEK_SET)
        return end

    def old(self, number: int) -> bytes | None:
        """The entry that an earlier run kept for a job."""
        return None if self._old[number] < 0 else _body_at(self._handle, self._old[number])

    def keep(self, number: int, body: bytes | None) -> bool:
        """Keep the entry of a job, None for that of an earlier run. False if there is one already."""
        if self._places[number] >= 0:
            return False
        if body is None:
            self._places[number] = self._old[number]
            return True
        name = name_of(self._jobs[number]) if self._names else _UNNAMED
        piece = _HEAD.pack(len(body), name, hashlib.sha256(name + body).digest()) + body
        written = os.write(self._handle, piece)
        while written < len(piece):
            written += os.write(self._handle, piece[written:])
        self._places[number], self._end = self._end, self._end + len(piece)
        self._stale += self._old[number] >= 0
        return True

    def is_kept(self, number: int) -> bool:
        """Whether this run has the entry of a job."""
        return self._places[number] >= 0

    def _rewrite(self) -> None:
        """Write the file again with only this run's results, in the order of its jobs."""
        temporary = Temporary(self.path)
        try:
            with os.fdopen(temporary.handle, "wb") as stream:
                stream.write(_FORM)
                for number, position in enumerate(self._places):
                    size, name, digest = _HEAD.unpack(_read_at(self._handle, _HEAD.size, position))
                    self._places[number] = stream.tell()
                    stream.write(_HEAD.pack(size, name, digest))
                    stream.write(_read_at(self._handle, size, position + _HEAD.size))
            temporary.path.chmod(0o644)
            temporary.put(self.path)
        except BaseException:
            temporary.drop()
            raise

    @property
    def stored(self) -> Stored:
        """The outcomes in the order of the jobs, once all are kept and the folder is closed."""
        return Stored(self.path, self._places)


class Stored(Sequence[FileOutcome]):
    """Outcomes on disk, each read when it is needed."""

    def __init__(
        self,
        path: Path,
        places: array[int],
        changes: tuple[Callable[[FileOutcome], FileOutcome], ...] = (),
    ) -> None:
        self._path, self._places, self._changes = path, places, changes

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, key: int) -> FileOutcome: ...
    @overload
    def __getitem__(self, key: slice) -> Stored: ...
    def __getitem__(self, key: int | slice) -> FileOutcome | Stored:
        if isinstance(key, slice):
            return Stored(self._path, self._places[key], self._changes)
        return next(self._read(self._places[key : key + 1 or None]))

    def __iter__(self) -> Iterator[FileOutcome]:
        return self._read(self._places)

    def _read(self, places: array[int]) -> Iterator[FileOutcome]:
        with self._path.open("rb") as stream:
            for position in places:
                entry = unpacked(_body_at(stream.fileno(), position) or b"")
                if entry is None:
                    raise OSError(0, "a stored result no longer exists", str(self._path))
                outcome = entry.outcome
                for change in self._changes:
                    outcome = change(outcome)
                yield outcome

    def changed(self, change: Callable[[FileOutcome], FileOutcome]) -> Stored:
        """The same outcomes, each changed when it is read."""
        return Stored(self._path, self._places, (*self._changes, change))


def results_in(folder: Path) -> Iterator[FileOutcome | None]:
    """The results that a run kept in a folder, the last of each job; None for one of another dlclint version.

    Raises:
        NoResults: the folder has none.
        OSError: from the file system.
    """
    path = folder / NAME
    if not path.is_file():
        raise NoResults("it holds no results; make some with dlclint check --results")
    with path.open("rb") as stream:
        last = {name: index for index, name, _ in _pieces(stream)}
        for position in last.values():
            entry = unpacked(_body_at(stream.fileno(), position) or b"")
            yield None if entry is None else entry.outcome


def _pieces(stream: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    """The complete records: where each begins, the name of its job, and its entry.

    Raises:
        NoResults: dlclint did not write the file.
    """
    stream.seek(0)
    if stream.read(len(_FORM)) != _FORM:
        raise NoResults(f"its file {NAME} holds something else; name another folder")
    position = len(_FORM)
    while len(head := stream.read(_HEAD.size)) == _HEAD.size:
        size, name, digest = _HEAD.unpack(head)
        body = stream.read(size) if size <= _LARGEST else b""
        if len(body) != size or hashlib.sha256(name + body).digest() != digest:
            return
        yield position, name, body
        position += _HEAD.size + size


def _body_at(handle: int, position: int) -> bytes | None:
    size = _HEAD.unpack(_read_at(handle, _HEAD.size, position))[0]
    return _read_at(handle, size, position + _HEAD.size) if size <= _LARGEST else None


def _read_at(handle: int, size: int, index: int) -> bytes:
    """Bytes of a file; its position may be anywhere before (Windows has no pread)."""
    if hasattr(os, "pread"):
        return os.pread(handle, size, index)
    position = os.lseek(handle, 0, os.SEEK_CUR)
    os.lseek(handle, index, os.SEEK_SET)
    try:
        return os.read(handle, size)
    finally:
        os.lseek(handle, position, os.SEEK_SET)
