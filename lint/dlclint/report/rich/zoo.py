"""Format `rich` of `dlclint zoo`: for people."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlclint.report.rich.console import paper, printed
from dlclint.report.zoo_tables import ZooTable, best_fix, tables, zoo_headline
from dlclint.zoo import Zoo

ROWS = 15
"""Rows of a table; the other formats have all of them."""


def render(zoo: Zoo, stream: TextIO | None) -> str:
    """Verdicts on the models, the most useful fix, and what is in the way most: ops, rules, chips."""
    console = paper(stream)
    console.print(Text(zoo_headline(zoo), "bold"))
    for note in zoo.notes:
        console.print(Text(f"note: {note}", "italic"))
    console.print()
    for table in tables(zoo):
        _table(console, table)
    if best_fix(zoo):
        console.print(Text(best_fix(zoo), "bold"))
    return printed(console, stream)


def _table(console: Console, shown: ZooTable) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(shown.head):
        table.add_column(name, justify="right" if number in shown.numbers else "left", overflow="fold")
    for row in shown.rows[:ROWS]:
        table.add_row(*map(Text, row))
    console.print(Text(shown.title, "bold"))
    console.print(Padding(table, (0, 0, 0, 2)))
    if len(shown.rows) > ROWS:
        more = f"and {len(shown.rows) - ROWS} more (--format json has all)"
        console.print(Padding(Text(more, "dim"), (0, 0, 0, 2)))
    console.print()
