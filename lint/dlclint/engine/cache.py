"""Results of earlier runs in the user's cache folder: an unchanged file is not read again.

An entry holds what one job came to, and the state of every file that was read for it: size, time of change,
and a hash of the content. Where size and time are as they were nothing is read; where only the time differs
the hash decides. The name of an entry is a hash of the job, of dlclint's and the rules' own code, and of the
packages that the result rests on, so that nothing else can be taken for it.

An entry is trusted no further than that: it must be whole (it carries its own hash) and may hold dlclint's
own records and nothing else. Whatever is wrong with one, it is as if it was not there. Entries are written
whole under names of their own, so that runs side by side do not meet.
"""

from __future__ import annotations

import enum
import hashlib
import io
import os
import pickle
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, GROUP
from dlclint.outcome import FileOutcome
from dlclint.own_rules import CRASHED
from dlclint.version import __version__
from dlclint_schemas.record import record

FOLDER = "DLCLINT_CACHE_DIR"
"""Names the folder in place of the user's; empty: nothing is kept."""
_FORM = b"dlclint cache 1\n"
_DIGEST = 32
_SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"
"""What backup programs know a cache folder by."""
_RACY_NS = 2_000_000_000
"""A file changed so shortly before it was read may change again within its time stamp's resolution."""
_KEPT = 60 * 24 * 3600.0
"""Seconds after which an entry goes."""
_MOST_READ = 1 << 28
"""Bytes of one entry: more is none of ours."""


@record
class State:
    """A file as it was when it was read. `size` -1: it was not there."""

    path: str
    size: int = -1
    changed: int = 0
    """Time of change in nanoseconds."""
    digest: bytes = b""


@record
class Entry:
    """What a job came to, and the files that it read."""

    outcome: FileOutcome
    read: tuple[State, ...]
    written: int
    """When, in nanoseconds: what changed right before may change again unseen."""


def default_folder() -> Path | None:
    """The folder that the environment names, or the user's; None where nothing is to be kept."""
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
    """A folder of entries. No method fails for what the folder is like."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._usable: bool | None = None

    def find(self, job: Job) -> FileOutcome | None:
        """What the job came to, if no file that it read has changed."""
        if job.url or job.beside:
            return None  # what lies elsewhere may change unseen
        path = self._path(job)
        entry = _load(path) if self._is_ours() else None
        if entry is None:
            return None
        states = [_unchanged(state, entry.written) for state in entry.read]
        if None in states:
            return None
        now = tuple(state for state in states if state is not None)
        if now != entry.read:
            self._write(path, Entry(entry.outcome, now, time.time_ns()))
        return entry.outcome

    def keep(self, job: Job, outcome: FileOutcome, started: int) -> None:
        """Keep what the job came to, unless it rests on more than files, or these changed since `started`."""
        if (
            job.url
            or job.beside
            or outcome.read is None
            or any(item.rule == CRASHED for item in outcome.diagnostics)
        ):
            return
        paths = dict.fromkeys(str(path) for path in (job.path, job.model, job.overrides) if path is not None)
        read = []
        for path in (*paths, *outcome.read):
            state = _state(path)
            if state is None or state.changed > started:
                return
            read.append(state)
        self._write(self._path(job), Entry(outcome, tuple(read), started))

    def clean(self) -> int:
        """Remove every entry; returns how many there were."""
        count = sum(1 for _ in self._entries())
        if self.folder.is_dir() and (self.folder / "CACHEDIR.TAG").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        return count

    def _entries(self) -> Iterator[Path]:
        return self.folder.glob("[0-9a-f][0-9a-f]/*.entry")

    def _path(self, job: Job) -> Path:
        # Paths are said as they are given, so that the working folder takes part.
        name = hashlib.sha256(
            "\0".join((repr(job), str(Path.cwd()), fingerprint())).encode("utf-8", "replace")
        )
        digits = name.hexdigest()
        return self.folder / digits[:2] / f"{digits[2:]}.entry"

    def _is_ours(self) -> bool:
        """Whether the folder belongs to the user alone: what others can write is not read."""
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

    def _write(self, path: Path, entry: Entry) -> None:
        try:
            body = pickle.dumps(entry, pickle.HIGHEST_PROTOCOL)
            self._make()
            if not self._is_ours():
                return
            path.parent.mkdir(exist_ok=True)
            made = path.with_suffix(f".{os.getpid()}")
            handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(_FORM + hashlib.sha256(body).digest() + body)
            made.replace(path)
        except Exception:  # a cache that cannot be written is none
            return

    def _make(self) -> None:
        tag = self.folder / "CACHEDIR.TAG"
        if tag.exists():
            self._prune(tag)
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(self.folder.iterdir()):
            return  # a folder of somebody else's files
        text = f"{_SIGNATURE}\n# Results of dlclint, which may be removed at any time.\n"
        tag.write_text(text, "utf-8")
        self._usable = None

    def _prune(self, tag: Path) -> None:
        """Once a day, remove what is old."""
        now = time.time()
        if now - tag.stat().st_mtime < _KEPT / 60:
            return
        os.utime(tag)
        for entry in self.folder.glob("[0-9a-f][0-9a-f]/*"):
            if now - entry.stat().st_mtime > _KEPT:
                entry.unlink(missing_ok=True)


def _state(path: str) -> State | None:
    """A file as it is, with its content's hash; None where it cannot be read, or changes meanwhile."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  (a thousand of them: a Path for each costs as much again)
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                return None
            digest = _hashed(stream)
            after = os.fstat(stream.fileno())
    except FileNotFoundError:
        return State(path)
    except OSError:
        return None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        return None
    return State(path, after.st_size, after.st_mtime_ns, digest)


def _hashed(stream: BinaryIO) -> bytes:
    made = hashlib.sha256()
    while block := stream.read(1 << 20):
        made.update(block)
    return made.digest()


def _unchanged(state: State, written: int) -> State | None:
    """The state that a file is in, where its content is as it was; None where it is not."""
    try:
        status = os.stat(state.path)  # noqa: PTH116  (as above)
    except FileNotFoundError:
        return state if state.size < 0 else None
    except OSError:
        return None
    if status.st_size != state.size:
        return None
    if status.st_mtime_ns == state.changed and state.changed + _RACY_NS < written:
        return state
    now = _state(state.path)
    return now if now is not None and now.digest == state.digest else None


class _Records(pickle.Unpickler):
    """Takes dlclint's records and enums, and refuses everything else: no entry can have anything called."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in ("dlclint", "dlclint_schemas"):
            found = super().find_class(module, name)
            if isinstance(found, type) and (
                issubclass(found, enum.Enum) or hasattr(found, "__dataclass_fields__")
            ):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not a record")


def _load(path: Path) -> Entry | None:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123  (as above)
            text = stream.read(_MOST_READ)
        head = len(_FORM) + _DIGEST
        body = text[head:]
        if text[: len(_FORM)] != _FORM or hashlib.sha256(body).digest() != text[len(_FORM) : head]:
            return None
        entry = _Records(io.BytesIO(body)).load()
    except Exception:  # whatever an entry holds, it costs a reading and nothing else
        return None
    return entry if isinstance(entry, Entry) and isinstance(entry.outcome, FileOutcome) else None


@cache
def fingerprint() -> str:
    """dlclint's version, all its code and that of rules, and the packages that results rest on."""
    marks = [__version__, sys.version]
    packages = {"dlclint", "dlclint_schemas"}
    for group in (GROUP, ENCODINGS_GROUP):
        for point in entry_points(group=group):
            marks.append(f"{point.group} {point.name} {point.value}")
            packages.add(point.module.partition(".")[0])
    for package in sorted(packages):
        marks += _code(package)
    for package in ("onnx", "numpy", "ml_dtypes"):
        spec = find_spec(package)
        marks.append(f"{package} {_stamp(spec.origin) if spec is not None and spec.origin else ''}")
    return hashlib.sha256("\0".join(marks).encode()).hexdigest()


def _code(package: str) -> list[str]:
    """Every file of a package with its size and time of change."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return [package]
    folders = list(spec.submodule_search_locations or ())
    marks = [] if folders else [_stamp(spec.origin)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders += [entry.path] if entry.name != "__pycache__" else []
                else:
                    status = entry.stat()
                    marks.append(f"{entry.path} {status.st_size} {status.st_mtime_ns}")
    return sorted(marks)


def _stamp(path: str) -> str:
    status = os.stat(path)  # noqa: PTH116  (as above)
    return f"{path} {status.st_size} {status.st_mtime_ns}"
