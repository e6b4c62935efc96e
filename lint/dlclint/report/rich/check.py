"""Format `rich`, for people: a table of several files; for each the verdict, a summary, the findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dlclint.diagnostic import Severity, counted, size_text
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.counts import count_line
from dlclint.report.rich.console import paper, printed
from dlclint.report.rich.findings import print_findings
from dlclint.report.rich.strip import strip_lines
from dlclint.report.rich.verdict import print_verdict

MANY = 40
"""Files that are reported individually; with more, those without errors and warnings are only counted."""
ROWS = 200
"""Rows of the table of files."""


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """The report; colored only if the stream is a terminal (NO_COLOR and FORCE_COLOR apply)."""
    console = paper(stream)
    files, flawed = outcome.files, len(outcome.files)
    if len(files) > MANY and not outcome.whole:
        files, flawed = _flawed(files)
    if len(outcome.files) > 1:
        _table(console, files, outcome, flawed)
    if len(outcome.files) == 1 or not outcome.quiet:
        told = files if outcome.whole else files[:MANY]
        for file in told:
            _file(console, file, outcome)
        if len(told) < flawed:
            left = counted(flawed - len(told), "file")
            console.print(Text(f"{left} more with errors or warnings (--all lists them)\n", "bold"))
    tail = f"{count_line(outcome)} ({outcome.seconds:.2f} s)"
    console.print(Text(tail, "bold red" if outcome.failed else "bold"))
    return printed(console, stream)


def _flawed(files: Iterable[FileOutcome]) -> tuple[list[FileOutcome], int]:
    """The first files with errors or warnings, as many as the table has rows, and their total number."""
    first: list[FileOutcome] = []
    number = 0
    for file in files:
        if file.count(Severity.ERROR) or file.count(Severity.WARNING):
            number += 1
            if len(first) < ROWS:
                first.append(file)
    return first, number


def _table(console: Console, shown: Sequence[FileOutcome], outcome: Outcome, flawed: int) -> None:
    # Imported here because most reports are about one file, and Rich's tables take long to import.
    from dlclint.report.rich.tables import summary_table

    if shown:
        console.print(summary_table(shown))
    if len(shown) < len(outcome.files):
        clean = len(outcome.files) - flawed
        left = counted(len(outcome.files) - len(shown), "file")
        console.print(Text(f"and {left}; {clean} have neither errors nor warnings (--all lists them)", "dim"))
    console.print()


def _file(console: Console, file: FileOutcome, outcome: Outcome) -> None:
    console.print(Text(file.path, "bold"))
    if file.verdict is not None:
        print_verdict(console, file.verdict, bool(file.chips))
    if file.chips:
        # Imported here like the tables below.
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
    if file.baselined:
        known = f"{counted(file.baselined, 'finding')} known by the baseline"
        console.print(Padding(Text(known), (0, 0, 0, 2)))
    if file.support is not None:
        # Imported here because most reports have no table, and Rich's take long to import.
        from dlclint.report.rich.tables import support_table

        console.print(Padding(support_table(file.support), (1, 0, 0, 2)))
    for partition in file.partitions:
        for text in strip_lines(partition):
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
