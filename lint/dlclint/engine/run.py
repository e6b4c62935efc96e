"""Lint files: read, analyze, run the rules, sort; the failure of one file does not stop the others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dlclint.contained.guard import is_guarded
from dlclint.engine.job import Job
from dlclint.model.access import weights
from dlclint.outcome import FileOutcome
from dlclint_schemas.thresholds import configured_thresholds

if TYPE_CHECKING:
    from dlclint.contained.deaths import Died
    from dlclint.contained.worker import Reply
    from dlclint.engine.cache import Cache


def run(jobs: Sequence[Job], workers: int, cache: Cache | None = None) -> Iterator[FileOutcome]:
    """Lint every job, yielding in order; cached results are not computed again."""
    if cache is None:
        yield from _linted(jobs, workers)
        return
    # Imported here because with --no-cache it is not needed.
    from dlclint.engine.entries import entry_of

    known = {
        number: cache_entry for number, job in enumerate(jobs) if (cache_entry := cache.find(job)) is not None
    }
    started = time.time_ns()
    linted = _linted([job for number, job in enumerate(jobs) if number not in known], workers)
    for number, job in enumerate(jobs):
        if number in known:
            yield known[number].outcome
        else:
            outcome = next(linted)
            cache.keep(job, entry_of(job, outcome, started))
            yield outcome


def _linted(jobs: Sequence[Job], workers: int) -> Iterator[FileOutcome]:
    """Lint every job, yielding in order, in processes that may die; a death affects only its own file.

    A single job runs in this process if this process may die (`dlclint.contained`).
    """
    if not jobs:
        return
    if len(jobs) == 1 and is_guarded():
        yield lint_file(jobs[0])
        return
    # Imported here because it costs as much as linting an override file.
    from dlclint.contained.process import each

    replies = each(lint_file, [(job,) for job in jobs], workers)
    for job, reply in zip(jobs, replies, strict=True):
        yield outcome_of(job, reply)


def outcome_of(job: Job, reply: Reply | Died) -> FileOutcome:
    """The outcome that a worker returned; for a worker that died, the finding that reports it."""
    # Imported here because only deaths need it.
    from dlclint.contained.deaths import Died
    from dlclint.engine.rules import Findings, crashed, finished_outcome

    if not isinstance(reply, Died):
        return reply.value()  # type: ignore[no-any-return]
    shown = job.shown
    return finished_outcome(job, shown, Findings(job, [crashed("linting", reply, shown)]))


def lint_file(job: Job) -> FileOutcome:
    """Lint one model or override file in this process, which native code may end (see `run`)."""
    with weights(job.weights), configured_thresholds(dict(job.thresholds)):
        if job.url:
            # Imported here because most files are local.
            from dlclint.engine.remote import lint_remote

            return lint_remote(job, lint_local)
        return lint_local(job)


def lint_local(job: Job) -> FileOutcome:
    """Lint a local file."""
    if job.kind == "encodings":
        # Imported here because numpy and the reader are needed for override files only.
        from dlclint.engine.encodings import lint_encodings

        return lint_encodings(job)
    # Imported here because onnx, which takes longest to import, is needed for models only.
    from dlclint.engine.models import lint_model

    return lint_model(job)
