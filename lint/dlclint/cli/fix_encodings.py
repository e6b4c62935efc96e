"""`dlclint fix` on an override file."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections import Counter
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import listed
from dlclint.diagnostic import plain
from dlclint.encodings.recognition import model_beside
from dlclint.engine.fix.overrides import Fixed, NotConverging, fix_encodings
from dlclint.engine.job import Job
from dlclint.engine.registry import BrokenRules
from dlclint.report.writing import write_whole
from dlclint.target import Target


def fix_overrides(given: argparse.Namespace, path: Path) -> int:
    """Repair a file; returns 0, or 1 if errors are left.

    Raises:
        UsageError: its model does not exist, or the output cannot be written.
    """
    model = Path(given.model) if given.model else model_beside(path)
    if model is not None and not model.is_file():
        raise UsageError(f"{plain(str(model))} does not exist; check --model")
    target = Target(simplify=False)
    chosen, ignored = tuple(listed(given.select)), tuple(listed(given.ignore))
    job = Job(path, target, select=chosen, ignore=ignored, kind="encodings", model=model)
    try:
        fixed = fix_encodings(job, given.unsafe)
    except (ValueError, BrokenRules) as error:
        raise UsageError(str(error)) from None
    except NotConverging as error:
        raise UsageError(f"the fixes of {error} undo each other; fix them one by one with --select") from None
    if given.diff:
        sys.stdout.write(_diff(fixed, plain(str(path))))
    elif given.output or given.in_place:
        _write(Path(given.output) if given.output else path, fixed)
    else:
        sys.stdout.write(fixed.after)
    _tell(fixed, given.unsafe)
    return 1 if fixed.errors or (fixed.done and given.exit_non_zero_on_fix) else 0


def _write(path: Path, fixed: Fixed) -> None:
    try:
        write_whole(path, fixed.after)
    except OSError as error:
        raise UsageError(f"cannot write {plain(str(path))}: {error.strerror}") from None


def _diff(fixed: Fixed, name: str) -> str:
    lines = difflib.unified_diff(
        fixed.before.splitlines(keepends=True), fixed.after.splitlines(keepends=True), name, f"{name} (fixed)"
    )
    shown = []
    for line in lines:
        text = plain(line.rstrip("\r\n"), 2000)
        shown.append(f"{text}\n")
    return "".join(shown)


def _tell(fixed: Fixed, unsafe: bool) -> None:
    for (rule, title), count in Counter(fixed.done).items():
        times = f" ({count} times)" if count > 1 else ""
        print(f"fixed {rule}: {plain(title)}{times}", file=sys.stderr)
    for line in fixed.left[:20]:
        print(f"left {plain(line, 400)}", file=sys.stderr)
    if len(fixed.left) > 20:
        print(f"left {len(fixed.left) - 20} more; dlclint check lists them", file=sys.stderr)
    if not fixed.done:
        more = "" if unsafe else "; --unsafe may do more"
        print(f"nothing to fix{more if fixed.left else ''}", file=sys.stderr)
