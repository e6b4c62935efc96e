"""Fix a file of either kind: lint, fix, prove, write."""

from __future__ import annotations

from dataclasses import replace

from dlclint.diagnostic import plain
from dlclint.engine.fix.rounds import FixRequest, NotFixed
from dlclint.engine.job import Job
from dlclint.engine.rules import crashed
from dlclint.outcome import FixOutcome, WrittenFile
from dlclint.writing import write_whole


def fix_file(job: Job, wish: FixRequest) -> FixOutcome:
    """Fix one model or override file, and write it where that is requested.

    Raises:
        NotFixed: it cannot be read, fixed, proved or written; nothing was written.
    """
    try:
        return _overrides(job, wish) if job.kind == "encodings" else _model(job, wish)
    except NotFixed:
        raise
    except Exception as error:  # a hostile file must not stop the other files
        raise NotFixed(crashed("fixing the file", error, "").message) from error


def _overrides(job: Job, wish: FixRequest) -> FixOutcome:
    # Imported here because numpy and the reader are needed for override files only.
    from dlclint.engine.fix.overrides import fix_overrides

    outcome = fix_overrides(job, wish.unsafe)
    output = wish.output
    if output is None or (not outcome.applied and output == job.path):
        return outcome
    try:
        write_whole(output, outcome.text_after)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its text is not Unicode"
        raise NotFixed(f"cannot write {plain(str(output))}: {reason}") from None
    return replace(outcome, written=WrittenFile(output, len(outcome.text_after.encode())))


def _model(job: Job, wish: FixRequest) -> FixOutcome:
    # Imported here because onnx, which takes longest to import, is needed for models only.
    from dlclint.engine.fix.proof import fix_proved
    from dlclint.model.reading import Unreadable

    try:
        return fix_proved(job, wish)
    except Unreadable as problem:
        raise NotFixed(f"{plain(problem.message, 400)}; {plain(problem.help, 400)}") from None
