"""Format `rich` of `dlclint check --statistics`."""

from __future__ import annotations

from typing import TextIO

from rich.table import Table
from rich.text import Text

from dlclint.outcome import Outcome
from dlclint.report.counts import count_line
from dlclint.report.rich.console import paper, printed
from dlclint.report.rich.findings import STYLE
from dlclint.report.statistics import rule_counts


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """A table with a row for each rule and severity, and the counts."""
    console = paper(stream)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("times", "files", "fixable"):
        table.add_column(title, justify="right")
    table.add_column("severity")
    table.add_column("rule", overflow="fold")
    for row in rule_counts(outcome):
        fixable = row.safe_fixes + row.unsafe_fixes
        table.add_row(
            str(row.count),
            str(row.files),
            str(fixable) if fixable else "",
            Text(row.severity.value, STYLE[row.severity]),
            Text(row.rule),
        )
    if table.row_count:
        console.print(table)
        console.print()
    console.print(Text(count_line(outcome), "bold red" if outcome.failed else "bold"))
    return printed(console, stream)
