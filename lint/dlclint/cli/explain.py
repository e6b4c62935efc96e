"""`dlclint explain`: explain a pasted log."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from dlclint.cli.apart import apart
from dlclint.cli.errors import UsageError
from dlclint.cli.output import OutputFile, deliver, guard
from dlclint.diagnostic import plain
from dlclint.explain.model import Explanation
from dlclint.explain.reading import explain_lines
from dlclint.report.render import render

MAX_LOG = 64 << 20
"""Bytes of a log that are read; verbose logs of large networks have a few megabytes."""


def explain_log(args: argparse.Namespace) -> int:
    """Run the command; returns 0, or 1 if the log holds errors that dlclint recognizes.

    Raises:
        UsageError: the log or the model cannot be read.
    """
    sources = [Path(name) for name in (args.log, args.model) if name and name != "-"]
    guard(args.output, OutputFile.REPORT, sources, args.overwrite)
    data = _read(args.log)
    # Windows tools write UTF-16 to redirected output.
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    lines = text[:MAX_LOG].splitlines()
    name = "standard input" if args.log == "-" else plain(args.log, 500)
    explanation = Explanation(name, len(lines), tuple(explain_lines(lines)), cut=len(data) > MAX_LOG)
    if args.model is not None:
        explanation = apart(_with_places, explanation, Path(args.model))
    deliver(render("explain", args.format, explanation, None if args.output else sys.stdout), args.output)
    return 1 if explanation.failed else 0


def _read(log: str) -> bytes:
    if log == "-":
        return sys.stdin.buffer.read(MAX_LOG + 1)
    path = Path(log)
    if path.is_dir():
        raise UsageError(f"{plain(log)} is a folder; give a log file, or - for standard input")
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_LOG + 1)
    except FileNotFoundError:
        raise UsageError(f"{plain(log)} does not exist; check the path") from None


def _with_places(explanation: Explanation, path: Path) -> Explanation:
    # Imported here because onnx takes longer to import than a log takes to explain.
    from dlclint.explain.places import located
    from dlclint.model.reading import Unreadable, read

    try:
        model = read(path)
    except Unreadable as problem:
        raise UsageError(f"{plain(str(path))}: {plain(problem.message)}") from None
    return replace(
        explanation, explained=tuple(located(explanation.explained, model)), model=plain(str(path), 500)
    )
