"""Format `rich`: for people. Of several files a table; of each the verdict, what was read, the findings."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dlclint.diagnostic import counted, size_text
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.counts import count_line
from dlclint.report.rich.console import paper, printed
from dlclint.report.rich.findings import print_findings
from dlclint.report.rich.strip import strip_lines
from dlclint.report.rich.verdict import print_verdict


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """The report; colored only if the stream is a terminal (NO_COLOR and FORCE_COLOR apply)."""
    console = paper(stream)
    if len(outcome.files) > 1:
        # Imported here because most reports are of one file, and Rich's tables take long to import.
        from dlclint.report.rich.tables import summary_table

        console.print(summary_table(outcome.files))
        console.print()
    if len(outcome.files) == 1 or not outcome.quiet:
        for file in outcome.files:
            _file(console, file, outcome)
    tail = f"{count_line(outcome)} ({outcome.seconds:.2f} s)"
    console.print(Text(tail, "bold red" if outcome.failed else "bold"))
    return printed(console, stream)


def _file(console: Console, file: FileOutcome, outcome: Outcome) -> None:
    console.print(Text(file.path, "bold"))
    if file.verdict is not None:
        print_verdict(console, file.verdict, bool(file.chips))
    if file.chips:
        # Imported here as the tables below.
        from dlclint.report.rich.tables import chip_table

        console.print(Padding(chip_table(file), (0, 0, 1, 2)))
    if outcome.quiet:
        return
    summary = file.summary
    if summary is not None:
        opset = summary.opsets.get("", "none")
        line = f"opset {opset}, {counted(summary.nodes, 'node')}"
        if summary.folded:
            line += f" ({summary.folded} fold away before conversion)"
        line += f", {size_text(summary.weight_bytes)} of weights"
        if summary.newest_listed_opset is not None:
            line += f"; newest opset at which every {'other ' * summary.unlisted_ops}op is listed: "
            line += str(summary.newest_listed_opset)
        console.print(Padding(Text(line), (0, 0, 0, 2)))
        shown = ", ".join(summary.inputs[:6]) + (", ..." if len(summary.inputs) > 6 else "")
        console.print(Padding(Text(f"inputs {shown or 'none'}"), (0, 0, 0, 2)))
    for note in file.notes:
        console.print(Padding(Text(f"note: {note}", "italic"), (0, 0, 0, 2)))
    if file.ignored:
        console.print(
            Padding(Text(f"{counted(file.ignored, 'finding')} ignored by configuration"), (0, 0, 0, 2))
        )
    if file.support is not None:
        # Imported here because most reports have no table, and Rich's take long to import.
        from dlclint.report.rich.tables import support_table

        console.print(Padding(support_table(file.support), (1, 0, 0, 2)))
    for found in file.partitions:
        for text in strip_lines(found):
            console.print(Padding(text, (0, 0, 0, 2)))
    if file.precision:
        # Imported here because most reports have no table, and Rich's take long to import.
        from dlclint.report.rich.tables import precision_table

        console.print(Padding(precision_table(file.precision), (1, 0, 0, 2)))
    if file.commands:
        console.print(Padding(Text("to make the file take effect", "bold"), (1, 0, 0, 2)))
        for command in file.commands:
            console.print(Padding(Text(command), (0, 0, 0, 4)))
    console.print()
    print_findings(console, file, outcome.whole)
