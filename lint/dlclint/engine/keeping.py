"""Linting very many files, locally or on a cluster, with results kept on disk as they arrive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from dlclint.contained.deaths import Died
from dlclint.contained.process import each
from dlclint.contained.worker import Reply
from dlclint.engine.cache import Cache, default_folder
from dlclint.engine.entries import CacheEntry, entry_of, packed, renewed, unpacked
from dlclint.engine.job import Job
from dlclint.engine.results import Results
from dlclint.engine.run import lint_file, outcome_of
from dlclint_schemas.record import record


@record
class Asked:
    """A job, and what another process needs to lint it."""

    job: Job
    folder: str
    """The folder that its paths are relative to."""
    cached: bool
    """Whether the worker may use its cache."""
    old: bytes | None
    """The entry that an earlier run kept."""


class Asking(Sequence[Asked]):
    """The requests for some jobs; each is made when it is needed."""

    def __init__(self, jobs: Sequence[Job], results: Results, cached: bool) -> None:
        self._jobs, self._results, self._cached = jobs, results, cached
        self._folder = os.getcwd()  # noqa: PTH109  (it is sent as text)

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, number: int) -> Asked:  # type: ignore[override]
        return Asked(self._jobs[number], self._folder, self._cached, self._results.old(number))


def answered(asked: Asked) -> bytes | None:
    """Lint a job in a worker: its entry, or None where the entry that an earlier run kept is still valid.

    Raises:
        OSError: the folder of its paths does not exist.
    """
    job = asked.job
    if not job.url and os.getcwd() != asked.folder:  # noqa: PTH109
        os.chdir(asked.folder)
    known = None if asked.old is None else unpacked(asked.old)
    if known is not None and renewed(known, job) is not None:
        return None
    path = default_folder() if asked.cached else None
    cache = None if path is None else Cache(path)
    if cache is not None and (cache_entry := cache.find(job)) is not None:
        return packed(cache_entry)
    started = time.time_ns()
    entry = entry_of(job, lint_file(job), started)
    if cache is not None:
        cache.keep(job, entry)
    return packed(entry)


def entry_from(job: Job, reply: Reply | Died) -> bytes | None:
    """The entry that a worker returned; for a worker that died, an entry with the finding that reports it."""
    if isinstance(reply, Died):
        return packed(CacheEntry(outcome_of(job, reply), None, time.time_ns()))
    entry: bytes | None = reply.value()
    return entry


def linted_here(asking: Asking, workers: int) -> Iterator[tuple[int, bytes | None]]:
    """Number and entry of each job, linted by processes on this machine."""
    for number, reply in enumerate(each(answered, [(asked,) for asked in asking], workers)):
        yield number, entry_from(asking[number].job, reply)
