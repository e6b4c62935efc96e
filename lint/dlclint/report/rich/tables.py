"""The tables of format `rich`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from dlclint.outcome import FileOutcome, PrecisionRow
from dlclint.report.chips import HEAD, chip_rows

if TYPE_CHECKING:
    from dlclint.analysis.support import SupportMatrix

MOST_ROWS = 30
"""Rows of the precision table before the rest is only counted."""


def support_table(matrix: SupportMatrix) -> Table:
    """Which runtimes take the whole model, and which ops stand in the way on the others."""
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
    """Chips and what the file comes to for each."""
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
    """What each op runs in; ops that come to the same are one row, with their number."""
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
