"""`dlclint confirm`: start the backend, and do all other work while it loads."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from dlclint.cli.errors import UsageError
from dlclint.confirm.package import package_versions
from dlclint.confirm.process import Backend, NotAvailable, QuestionLimits, backend
from dlclint.diagnostic import plain
from dlclint.engine.job import Job
from dlclint.outcome import FileOutcome


def confirm(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status.

    Raises:
        UsageError: the arguments are invalid, or the backend is not available.
    """
    started = time.perf_counter()
    args.judge = args.judge or ("converter" if args.sdk_root else "htp")
    if args.judge == "converter":
        # Imported here because the backend is used more often than an SDK's converter.
        from dlclint.cli.judging import judge
        from dlclint.confirm.sdk import sdk_root

        try:
            return judge(args, sdk_root(args), _limits(args), started)
        except NotAvailable as error:
            raise UsageError(plain(str(error), 400)) from None
    if args.sdk_root and args.judge == "htp":
        raise UsageError("--judge htp asks the backend of the extra, not an SDK; leave --sdk-root out")
    with asking(args) as (asked, packages):
        # Imported here because onnx takes as long to import as the backend takes to load.
        from dlclint.cli.confirming import ask_and_report

        return ask_and_report(args, asked, packages, started)


def confirmed(
    files: Sequence[FileOutcome], jobs: Sequence[Job], args: argparse.Namespace
) -> list[FileOutcome]:
    """The outcomes of `check` with the backend's verdicts.

    Raises:
        UsageError: as `confirm`.
    """
    with asking(args) as (asked, _):
        # Imported here as in `confirm`.
        from dlclint.cli.confirming import with_verdicts

        return with_verdicts(files, jobs, args, asked)


@contextmanager
def asking(args: argparse.Namespace) -> Iterator[tuple[Backend, Mapping[str, str]]]:
    """A backend with the limits of `add_asking`, and the versions of its packages.

    Raises:
        UsageError: a limit is not above 0, or the backend is not available.
    """
    limits = _limits(args)
    try:
        packages = package_versions()
        with backend(limits) as asked:
            yield asked, packages
    except NotAvailable as error:
        raise UsageError(plain(str(error), 400)) from None


def _limits(args: argparse.Namespace) -> QuestionLimits:
    """The limits of one question.

    Raises:
        UsageError: a limit is not above 0.
    """
    for name in ("timeout", "memory"):
        if not 0 < getattr(args, name) < 1e6:
            raise UsageError(f"--{name} {getattr(args, name):g}: give a number above 0")
    return QuestionLimits(args.timeout, int(args.memory * (1 << 30)))
