"""Lint files: read, analyse, run the rules, sort; one file's failure never stops another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlclint.engine.job import Job
from dlclint.outcome import FileOutcome


class WorkerKilled(Exception):
    """A worker process ended without a result, as the system does when memory runs out."""


def run(jobs: Sequence[Job], workers: int) -> Iterator[FileOutcome]:
    """Lint every job, yielding in order; in processes if there are several jobs and workers.

    Raises:
        WorkerKilled: see the class.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        yield from map(lint, jobs)
        return
    # Imported here because multiprocessing costs more than linting a small model does.
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor

    try:
        with ProcessPoolExecutor(workers) as pool:
            yield from pool.map(lint, jobs)
    except BrokenProcessPool:
        raise WorkerKilled from None


def lint(job: Job) -> FileOutcome:
    """Lint one model or override file."""
    if job.kind == "encodings":
        # Imported here because numpy and the reader are needed for override files only.
        from dlclint.engine.encodings import lint_encodings

        return lint_encodings(job)
    # Imported here because onnx, which takes longest to import, is needed for models only.
    from dlclint.engine.models import lint_model

    return lint_model(job)
