"""The reports of `dlclint check`: loaded while the models are linted, and written afterwards."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dlclint.cli.output import deliver
from dlclint.outcome import Outcome
from dlclint.report.render import load_renderer, pieces


def load_report(args: argparse.Namespace) -> None:
    """Load what the report needs. Errors are not raised here, because writing the report raises them."""
    with suppress(MemoryError, ImportError):
        load_renderer("statistics" if args.statistics else "check", args.format)
        if args.format == "rich":
            # Imported here because the report prints tables for some models only, and time is available now.
            import dlclint.report.rich.tables  # noqa: F401


def write(
    command: str,
    outcome: Outcome,
    reports: Sequence[tuple[str, str]],
    form: str,
    output: str | None,
    partial: bool,
    scratch: Path | None,
) -> int:
    """Write the further reports (format and file) and the main one; returns the exit status.

    Args:
        command: `check` or `statistics`, the command of the main report.
        outcome: what is reported.
        reports: format and file of the further reports.
        form: the format of the main report.
        output: its file; None for standard output.
        partial: whether a path was invalid, which was reported.
        scratch: a folder with the results, which is removed after the report.

    Raises:
        UsageError: a file cannot be written.
    """
    try:
        for other, path in reports:
            deliver(pieces("check", other, outcome, None), path)
        deliver(pieces(command, form, outcome, sys.stdout if output is None else None), output)
        return 2 if partial else 1 if outcome.failed else 0
    finally:
        if scratch is not None:
            # Imported here because most runs have no such folder.
            import shutil

            shutil.rmtree(scratch, ignore_errors=True)
