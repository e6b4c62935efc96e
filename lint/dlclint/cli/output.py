"""Where a command writes its text, and which files an output must never replace."""

from __future__ import annotations

import argparse
import enum
import sys
from collections.abc import Iterable
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.encodings.recognition import ENCODINGS_SUFFIXES
from dlclint.model.formats import MODEL_SUFFIXES
from dlclint.report.render import DRAWN, FORMATS, render
from dlclint.writing import write_whole


class OutputFile(enum.Enum):
    """What a command writes. It replaces a file of the same kind without being told to."""

    REPORT = "a report"
    OVERRIDES = "an override file"
    MODEL = "a model"
    DLC = "a DLC"
    TABLE = "a Parquet file"


_HEAD = 1 << 16
_PARQUET = b"PAR1"
_OVERRIDE_KEYS = (b'_encodings"', b'"encodings"')


def guard(
    output: str | Path | None, kind: OutputFile, inputs: Iterable[Path | None], overwrite: bool
) -> None:
    """Check, before any work is done, that an output may be written and destroys no other file.

    It must not be an input, under any name or link, and may only replace a file of the same kind. Devices,
    pipes, folders and unreadable files are left to the code that writes.

    Raises:
        UsageError: it would replace an input, or a file of another kind.
    """
    if output is None or overwrite:
        return
    path, shown = Path(output), plain(str(output))
    try:
        if not path.is_file():
            return
        for source in inputs:
            if source is not None and source.exists() and path.samefile(source):
                raise UsageError(f"{shown} is an input; name another output, or give --overwrite")
        holds = _contents(path)
    except OSError:
        return
    if holds and holds != kind.value:
        raise UsageError(
            f"{shown} is {holds}, which {kind.value} would replace; name another output, or give --overwrite"
        )


def _contents(path: Path) -> str:
    """The contents that overwriting a file would lose; "" for text that may be a report, and for nothing."""
    suffix = path.suffix.lower()
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        return ""
    if head.startswith(_PARQUET):
        return OutputFile.TABLE.value
    if suffix == ".dlc":
        return OutputFile.DLC.value
    overrides = suffix in ENCODINGS_SUFFIXES and any(key in head for key in _OVERRIDE_KEYS)
    if suffix == ".encodings" or overrides:
        return OutputFile.OVERRIDES.value
    if suffix in MODEL_SUFFIXES and suffix != ".json":
        return OutputFile.MODEL.value
    return "binary data" if b"\0" in head else ""


def further_reports(args: argparse.Namespace, command: str) -> list[tuple[str, str]]:
    """The format and the file of each report in addition to the main one.

    Raises:
        UsageError: an `--output-format` is invalid, or two reports go to one file.
    """
    reports = []
    for text in args.output_format:
        form, _, path = text.partition("=")
        if not path or form not in FORMATS[command]:
            known = ", ".join(FORMATS[command])
            raise UsageError(f"--output-format {plain(text)}: give FORMAT=FILE; formats are {known}")
        reports.append((form, path))
    named = [path for path in (args.output, *(path for _, path in reports)) if path is not None]
    if len(set(named)) < len(named):
        raise UsageError("two reports go to one file; name another for each format")
    return reports


def draws(args: argparse.Namespace, reports: Iterable[tuple[str, str]]) -> bool:
    """Whether a report draws models."""
    return args.format in DRAWN or any(form in DRAWN for form, _ in reports)


def deliver_all(
    command: str, outcome: object, args: argparse.Namespace, reports: Iterable[tuple[str, str]]
) -> None:
    """Write the further reports, then the main one.

    Raises:
        UsageError: a file cannot be written.
    """
    for form, path in reports:
        deliver(render(command, form, outcome, None), path)
    stream = sys.stdout if args.output is None else None
    deliver(render(command, args.format, outcome, stream), args.output)


def deliver(text: str | Iterable[str], output: str | None) -> None:
    """Write a report, whole or in pieces, to the file that `-o` names, or to standard output.

    Raises:
        UsageError: the file cannot be written.
    """
    if output is None:
        sys.stdout.writelines((text,) if isinstance(text, str) else text)
        return
    try:
        write_whole(Path(output), text)
    except OSError as error:
        raise UsageError(f"cannot write {plain(output)}: {error.strerror}") from None
