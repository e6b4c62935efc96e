"""Format `rich` of `dlclint zoo`: for people."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlclint.diagnostic import counted
from dlclint.report.rich.console import paper, printed
from dlclint.report.rich.findings import STYLE
from dlclint.zoo import OpCount, Zoo

ROWS = 15
"""Rows of a table; JSON and Parquet have all."""
_FIX = {"safe": "dlclint fix", "unsafe": "dlclint fix --unsafe", "": "by hand"}

Cells = tuple[str | Text, ...]


def render(zoo: Zoo, stream: TextIO | None) -> str:
    """What models come to, which fix would help most, and what stands in the way: ops, rules, chips."""
    console = paper(stream)
    unknown = f", of {zoo.unknown} nothing is known" if zoo.unknown else ""
    head = f"{counted(zoo.models, 'model')}: {zoo.converts} convert, {zoo.stopped} do not{unknown}"
    console.print(Text(head, "bold"))
    for note in zoo.notes:
        console.print(Text(f"note: {note}", "italic"))
    console.print()
    _table(
        console,
        "of those that convert",
        ("runtime", ">whole", ">in parts", ">no"),
        [(row.runtime, str(row.whole), str(row.split), str(row.no)) for row in zoo.runtimes],
    )
    _table(
        console,
        "what stops conversion, and how many models would convert if it alone were fixed",
        (">models", ">would convert", "rule", "op", "fix", "what to do"),
        [
            (str(row.models), str(row.alone), row.rule, row.op or "-", _FIX[row.fix], row.help)
            for row in zoo.fixes
        ],
    )
    runtimes = sorted({row.runtime for row in zoo.ops})
    _table(
        console,
        "what runtimes lack: models, and in brackets those that lack nothing else",
        ("op", *(f">{name}" for name in runtimes)),
        list(_ops(zoo.ops, runtimes)),
    )
    _table(
        console,
        "rules that find something",
        (">models", ">findings", "severity", "rule"),
        [
            (str(row.models), str(row.findings), Text(row.severity.value, STYLE[row.severity]), row.rule)
            for row in zoo.rules
        ],
    )
    _table(
        console,
        "chips",
        ("chip", ">models", ">do not convert", ">whole on no runtime", ">accuracy at risk", ">errors"),
        [
            (row.soc, *map(str, (row.models, row.stopped, row.refused, row.at_risk, row.errors)))
            for row in zoo.chips
        ],
    )
    if zoo.fixes and zoo.fixes[0].alone:
        best = zoo.fixes[0]
        what = f"{best.rule} at {best.op}" if best.op else best.rule
        console.print(
            Text(f"fixing {what} helps most: {counted(best.alone, 'more model')} would convert", "bold")
        )
    return printed(console, stream)


def _ops(rows: Iterable[OpCount], runtimes: list[str]) -> Iterable[Cells]:
    """One row for each op; it has the place of its first."""
    place = {op: number for number, op in reversed(list(enumerate(row.op for row in rows)))}
    for op, group in groupby(sorted(rows, key=lambda row: place[row.op]), key=lambda row: row.op):
        cells = {row.runtime: f"{row.models} ({row.alone})" for row in group}
        yield (op, *(cells.get(name, "") for name in runtimes))


def _table(console: Console, title: str, columns: tuple[str, ...], rows: list[Cells]) -> None:
    if not rows:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        right = name.startswith(">")
        table.add_column(name.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows[:ROWS]:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console.print(Text(title, "bold"))
    console.print(Padding(table, (0, 0, 0, 2)))
    if len(rows) > ROWS:
        console.print(
            Padding(Text(f"and {len(rows) - ROWS} more (--format json has all)", "dim"), (0, 0, 0, 2))
        )
    console.print()
