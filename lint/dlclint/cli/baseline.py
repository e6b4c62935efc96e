"""Known findings: a file of fingerprints, so that only new findings are reported.

A fingerprint depends on the rule, the path relative to the baseline's folder, names and structure
(`report.fingerprints`), so that a known finding stays known when a node is inserted elsewhere or a weight is
trained further.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from dlclint.chains import report_order
from dlclint.cli.errors import UsageError
from dlclint.diagnostic import Diagnostic, counted, plain
from dlclint.outcome import FileOutcome, changed
from dlclint.report.fingerprints import fingerprints
from dlclint.writing import write_whole

VERSION = 1
_KEYS = ("file", "rule", "message", "fingerprint")


def write_baseline(path: Path, files: Sequence[FileOutcome]) -> str:
    """Write the findings, keep the rows of files that were not linted, and return a summary.

    Raises:
        UsageError: the file cannot be read or written.
    """
    folder = path.absolute().parent
    linted = {_relative(file.path, folder) for file in files}
    kept = [row for row in _rows(path) if row["file"] not in linted] if path.is_file() else []
    rows = [
        {
            "fingerprint": mark,
            "rule": finding.rule,
            "file": _relative(file.path, folder),
            "message": finding.message,
        }
        for file in files
        for finding, mark in _marked(file, folder)
    ]
    ordered = sorted((*kept, *rows), key=lambda row: [row[key] for key in _KEYS])
    text = json.dumps({"version": VERSION, "findings": ordered}, indent=2, ensure_ascii=True)
    try:
        write_whole(path, f"{text}\n")
    except OSError as error:
        raise UsageError(f"cannot write {plain(str(path))}: {error.strerror}") from None
    return f"dlclint: wrote {counted(len(ordered), 'finding')} to {plain(str(path))}"


def without_known(path: Path, files: Sequence[FileOutcome]) -> Sequence[FileOutcome]:
    """The outcomes without the findings that the file knows; a note states how many were left out.

    Raises:
        UsageError: the file is not a baseline.
    """
    folder = path.absolute().parent
    rows = _rows(path)
    known = {row["fingerprint"] for row in rows}
    met: set[str] = set()
    linted: set[str] = set()
    for file in files:
        met |= {mark for _, mark in _marked(file, folder)} & known
        linted.add(_relative(file.path, folder))
    gone = sum(row["file"] in linted and row["fingerprint"] not in met for row in rows)
    note = f"no longer found since the baseline: {counted(gone, 'finding')}; --write-baseline updates it"
    first = files[0].path if gone and files else ""
    return changed(files, partial(_new, folder=folder, known=frozenset(known), first=first, note=note))


def _new(file: FileOutcome, folder: Path, known: frozenset[str], first: str, note: str) -> FileOutcome:
    """A file's outcome without its known findings; the note goes to the first file."""
    marked = list(_marked(file, folder))
    new = report_order(finding for finding, mark in marked if mark not in known)
    notes = (*file.notes, note) if file.path == first else file.notes
    return replace(file, diagnostics=new, baselined=len(marked) - len(new), notes=notes)


def _relative(path: str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return Path(path).absolute().as_posix()


def _marked(file: FileOutcome, folder: Path) -> Iterator[tuple[Diagnostic, str]]:
    name = _relative(file.path, folder)
    yield from zip(file.diagnostics, fingerprints(_placed(file.diagnostics, name)), strict=True)


def _placed(findings: Iterable[Diagnostic], name: str) -> Iterator[Diagnostic]:
    return (replace(finding, location=replace(finding.location, file=name)) for finding in findings)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a baseline.

    UsageError: the file is not a baseline.
        UsageError: the file is not a baseline.
    """
    again = "write it with --write-baseline"
    try:
        read = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"baseline {plain(str(path))}: {error.strerror}; {again}") from None
    except (ValueError, RecursionError):
        raise UsageError(f"baseline {plain(str(path))} cannot be parsed as JSON; {again}") from None
    rows = read.get("findings") if isinstance(read, dict) and read.get("version") == VERSION else None
    if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
        raise UsageError(f"{plain(str(path))} is not a baseline of version {VERSION}; {again}")
    return rows


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(key), str) for key in _KEYS)
