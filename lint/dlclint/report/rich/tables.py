"""The tables of format `rich`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from dlclint.diagnostic import Severity
from dlclint.outcome import FileOutcome, PrecisionRow
from dlclint.report.chips import HEAD, chip_rows
from dlclint.report.verdict_words import common_folder, next_of, verdict_lines

if TYPE_CHECKING:
    from dlclint.analysis.support import SupportMatrix

MOST_ROWS = 30
"""Rows of the precision table; further ones are only counted."""


def summary_table(files: Sequence[FileOutcome]) -> Table:
    """One row for each file: its verdict, its errors and warnings, and what to do next.

    The common folder is shown above; a file's own report has its commands to copy.
    """
    folder = common_folder([file.path for file in files])
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    if folder:
        table.title, table.title_justify, table.title_style = Text(f"in {folder}"), "left", "bold"
    table.add_column("file", overflow="fold")
    table.add_column("verdict")
    table.add_column("errors", justify="right")
    table.add_column("warnings", justify="right")
    table.add_column("next", overflow="fold")
    for file in files:
        errors, warnings = file.count(Severity.ERROR), file.count(Severity.WARNING)
        table.add_row(
            Text(file.path[len(folder) :]),
            Text("\n".join(verdict_lines(file))),
            Text(str(errors), "bold red" if errors else ""),
            Text(str(warnings), "yellow" if warnings else ""),
            Text(next_of(file)),
        )
    return table


def support_table(matrix: SupportMatrix) -> Table:
    """Which runtimes support the whole model, and which ops are missing on the others."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("runtime", "DLC", "whole model", "nodes", "cuts", "stands in the way"):
        table.add_column(title)
    for row in matrix.rows:
        blockers = [f"{b.op} x{b.nodes}{'' if b.certain else ' (inferred)'}" for b in row.blockers[:6]] + (
            ["..."] if len(row.blockers) > 6 else []
        )
        table.add_row(
            Text(row.runtime.value),
            Text(row.dlc),
            Text("yes", "green") if row.whole else Text("no", "red"),
            Text(f"{row.taken}/{row.total}"),
            Text(str(row.cuts)),
            Text(", ".join(blockers)),
        )
    return table


def chip_table(file: FileOutcome) -> Table:
    """The chips and the file's verdict for each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in HEAD:
        table.add_column(title)
    for row in chip_rows(file):
        table.add_row(*(Text(text, _ANSWER.get(text, "")) for text in row))
    return table


_ANSWER = {"yes": "green", "no": "bold red", "at risk": "yellow"}


def _bias(row: PrecisionRow) -> str:
    if row.bias_runs in ("", row.bias):
        return row.bias or "-"
    return f"{row.bias_runs} ({f'entry {row.bias}' if row.bias else 'no entry'})"


def precision_table(rows: tuple[PrecisionRow, ...]) -> Table:
    """The precision of each op; equal ops are one row, with their number."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("op", "runs in", "inputs", "output", "weight", "bias", "file covers", "nodes"):
        table.add_column(title)
    same = Counter(
        (
            row.op,
            f"{row.runs or 'default'}{' (forced)' if row.forced else ''}",
            ", ".join(dict.fromkeys(text or "default" for text in row.inputs)),
            row.output or "-",
            row.weight or "-",
            _bias(row),
            row.coverage,
        )
        for row in rows
    )
    for cells, count in list(same.items())[:MOST_ROWS]:
        table.add_row(*map(Text, cells), Text(str(count)))
    if len(same) > MOST_ROWS:
        table.add_row(Text(f"+ {len(same) - MOST_ROWS} more (--format json lists all)"))
    return table
