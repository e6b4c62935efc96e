"""The outcome of a job, with the state of every file that it depends on: what the cache and `--results` keep.

An entry is valid only while its files are unchanged, and may hold dlclint's own records and nothing else. The
name of a job depends on everything that its result depends on except its files: the options, the code of
dlclint and the rules, and the packages that they depend on.
"""

from __future__ import annotations

import enum
import hashlib
import io
import os
import pickle
import stat
import sys
import time
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from dlclint.engine.job import Job
from dlclint.engine.registry import rule_points
from dlclint.outcome import FileOutcome
from dlclint.own_rules import CRASHED
from dlclint.version import __version__
from dlclint_schemas.record import record

_RACY_NS = 2_000_000_000
"""A file changed so shortly before it was read may change again within the resolution of its time stamp."""


@record
class State:
    """A file as it was when it was read. `size` -1: it did not exist."""

    path: str
    size: int = -1
    changed: int = 0
    """Time of change in nanoseconds."""
    digest: bytes = b""


@record
class CacheEntry:
    """The outcome of a job, and the files that it read."""

    outcome: FileOutcome
    read: tuple[State, ...] | None
    """None: the outcome depends on more than files, or one changed meanwhile; it is not valid for another
    run.
    """
    written: int
    """Time of writing in nanoseconds: a file that changed right before may change again unseen."""


def entry_of(job: Job, outcome: FileOutcome, started: int) -> CacheEntry:
    """The entry of a job that was linted from `started` on (in nanoseconds)."""
    if any(finding.rule == CRASHED for finding in outcome.diagnostics):
        return CacheEntry(outcome, None, started)
    if job.url:
        return CacheEntry(outcome, () if outcome.pins else None, started)
    if outcome.read is None:
        return CacheEntry(outcome, None, started)
    paths = dict.fromkeys(str(path) for path in (job.path, job.model, job.overrides) if path is not None)
    read = []
    for path in (*paths, *outcome.read):
        state = state_of(path)
        if state is None or state.changed > started:
            return CacheEntry(outcome, None, started)
        read.append(state)
    return CacheEntry(outcome, tuple(read), started)


def renewed(entry: CacheEntry, job: Job) -> CacheEntry | None:
    """The entry with the current states of its files, where their content is unchanged; else None."""
    if entry.read is None:
        return None
    if job.url:
        # Imported here because most files are local.
        from dlclint.remote.opening import is_pinned

        pins = entry.outcome.pins
        return entry if pins and all(is_pinned(job.url, *pin) for pin in pins) else None
    states = [_unchanged(state, entry.written) for state in entry.read]
    if None in states:
        return None
    now = tuple(state for state in states if state is not None)
    return entry if now == entry.read else replace(entry, read=now, written=time.time_ns())


def packed(entry: CacheEntry) -> bytes:
    """The entry as bytes."""
    return pickle.dumps(entry, pickle.HIGHEST_PROTOCOL)


def unpacked(body: bytes) -> CacheEntry | None:
    """The entry that bytes encode; None where they encode none."""
    try:
        entry = _Records(io.BytesIO(body)).load()
    except Exception:  # the only cost is that a file is linted again
        return None
    return entry if isinstance(entry, CacheEntry) and isinstance(entry.outcome, FileOutcome) else None


def name_of(job: Job) -> bytes:
    """The name of a job's results: 32 bytes."""
    # Paths are relative to the working folder, so the folder is part of the name.
    marks = "\0".join((repr(job), str(Path.cwd()), code_fingerprint()))
    return hashlib.sha256(marks.encode("utf-8", "replace")).digest()


def state_of(path: str) -> State | None:
    """The current state of a file, with a hash of its content; None where it is unreadable or changes."""
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
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.digest()


def _unchanged(state: State, written: int) -> State | None:
    """The current state of a file, where its content is unchanged; else None."""
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
    now = state_of(state.path)
    return now if now is not None and now.digest == state.digest else None


class _Records(pickle.Unpickler):
    """Loads dlclint's records and enums, and refuses everything else: no entry can call code."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in ("dlclint", "dlclint_schemas"):
            loaded = super().find_class(module, name)
            if isinstance(loaded, type) and (
                issubclass(loaded, enum.Enum) or hasattr(loaded, "__dataclass_fields__")
            ):
                return loaded
        raise pickle.UnpicklingError(f"{module}.{name} is not a record")


@cache
def code_fingerprint() -> str:
    """dlclint's version, all its code and that of rules, and the packages that results depend on."""
    marks = [__version__, sys.version]
    packages = {"dlclint", "dlclint_schemas"}
    for point in rule_points():
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
