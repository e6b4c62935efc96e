"""`dlclint zoo`: what the kept results of runs say about many models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.cli.output import OutputFile, deliver, guard
from dlclint.diagnostic import counted, plain
from dlclint.engine.results import NAME, NoResults, results_in
from dlclint.outcome import FileOutcome
from dlclint.report.render import load_renderer, pieces
from dlclint.version import __version__
from dlclint.writing import write_whole
from dlclint.zoo import zoo_of


def show_zoo(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status.

    Raises:
        UsageError: a folder holds no results, or the report cannot be written.
    """
    is_table = args.format == "parquet"
    if is_table and args.output is None:
        raise UsageError("--format parquet goes to a file; name one with -o")
    folders = [Path(folder) for folder in args.folders]
    guard(
        args.output,
        OutputFile.TABLE if is_table else OutputFile.REPORT,
        (folder / NAME for folder in folders),
        args.overwrite,
    )
    unread: list[str] = []
    zoo = zoo_of(__version__, _every(folders, unread), unread)
    if not zoo.models + zoo.overrides and unread:
        raise UsageError(
            f"{unread[0]}; run dlclint check --results {plain(str(folders[-1]))} --resume once more"
        )
    if is_table:
        try:
            table: bytes = load_renderer("zoo", "parquet").render(zoo, None)
        except ModuleNotFoundError:
            raise UsageError(
                "--format parquet needs pyarrow, which is not installed: pip install 'dlclint[zoo]'"
            ) from None
        except ImportError as error:  # pyarrow is installed and does not fit the NumPy that is
            raise UsageError(
                f"--format parquet: pyarrow cannot be loaded: {plain(str(error), 200)}"
            ) from None
        try:
            write_whole(Path(args.output), table)
        except OSError as error:
            raise UsageError(f"cannot write {plain(args.output)}: {error.strerror}") from None
        return 0
    deliver(pieces("zoo", args.format, zoo, None if args.output else sys.stdout), args.output)
    return 0


def _every(folders: Sequence[Path], unread: list[str]) -> Iterator[FileOutcome]:
    """The outcomes in the folders, each model and target once; unreadable files are added to `unread`."""
    met: set[tuple[str, str, str]] = set()
    for folder in reversed(folders):
        others = 0
        try:
            for outcome in results_in(folder):
                if outcome is None:
                    others += 1
                    continue
                judged_for = "" if outcome.verdict is None else outcome.verdict.judged_for
                key = (outcome.path, outcome.kind, judged_for)
                if key not in met:
                    met.add(key)
                    yield outcome
        except NoResults as problem:
            raise UsageError(f"{plain(str(folder))}: {problem}") from None
        if others:
            count = counted(others, "result")
            unread.append(f"{plain(str(folder))} holds {count} of another version of dlclint")
