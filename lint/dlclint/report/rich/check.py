"""Format `rich`: for people. Summary first, then findings grouped by rule, then the verdict."""

from __future__ import annotations

from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dlclint.diagnostic import Confidence, Diagnostic, Safety, Severity, counted, size_text
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.counts import count_line, unlisted_line
from dlclint.report.places import place_text
from dlclint.report.rich.console import paper, printed
from dlclint.report.rich.strip import strip_lines
from dlclint.report.rich.verdict import print_verdict

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_SURE = {
    Confidence.DOCUMENTED: "documented",
    Confidence.FIELD_REPORTED: "reported from the field",
    Confidence.INFERRED: "inferred, not documented",
    Confidence.CONFIRMED: "confirmed by Qualcomm's backend",
    Confidence.CONTRADICTED: "contradicted by Qualcomm's backend, which takes it",
}
_SHOWN = 3
"""Messages shown of a rule before the rest is only counted."""


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """The report; colored only if the stream is a terminal (NO_COLOR and FORCE_COLOR apply)."""
    console = paper(stream)
    for file in outcome.files:
        _file(console, file)
    tail = f"{count_line(outcome)} ({outcome.seconds:.2f} s)"
    console.print(Text(tail, "bold red" if outcome.failed else "bold"))
    return printed(console, stream)


def _file(console: Console, file: FileOutcome) -> None:
    console.print(Text(file.path, "bold"))
    if file.verdict is not None:
        print_verdict(console, file.verdict, bool(file.chips))
    if file.chips:
        # Imported here as the tables below.
        from dlclint.report.rich.tables import chip_table

        console.print(Padding(chip_table(file), (0, 0, 1, 2)))
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
    unlisted = {(item.severity, item.rule): item.count for item in file.unlisted}
    for key, group in groupby(file.diagnostics, key=lambda item: (item.severity, item.rule)):
        _group(console, list(group), unlisted.pop(key, 0))
    for item in file.unlisted:
        if (item.severity, item.rule) in unlisted:
            console.print(Padding(Text(unlisted_line(item)), (0, 0, 1, 2)))
    if not file.diagnostics:
        console.print(Padding(Text("no findings", "green"), (0, 0, 1, 2)))


def _group(console: Console, found: list[Diagnostic], unlisted: int) -> None:
    first = found[0]
    head = Text.assemble((first.severity.value, _STYLE[first.severity]), " ", (first.rule, "bold"))
    if len(found) + unlisted > 1:
        head.append(f"  {len(found) + unlisted} times")
    console.print(Padding(head, (0, 0, 0, 2)))
    by_message: dict[str, list[Diagnostic]] = {}
    for item in found:
        by_message.setdefault(item.message, []).append(item)
    for number, (message, items) in enumerate(by_message.items()):
        if number == _SHOWN:
            rest = sum(len(group) for group in list(by_message.values())[_SHOWN:]) + unlisted
            lists = f"--format concise {'--all ' * bool(unlisted)}lists all"
            console.print(Padding(Text(f"+ {rest} more like these ({lists})"), (0, 0, 0, 4)))
            break
        console.print(Padding(Text(message), (0, 0, 0, 4)))
        console.print(Padding(Text(_places(items), "dim"), (0, 0, 0, 6)))
    for advice in list(dict.fromkeys(item.help for item in found if item.help))[:_SHOWN]:
        console.print(Padding(Text(f"help: {advice}"), (0, 0, 0, 4)))
    fixes = list(dict.fromkeys((item.fix.title, item.fix.safety) for item in found if item.fix is not None))
    for title, safety in fixes[:_SHOWN]:
        label = {Safety.SAFE: "fix", Safety.UNSAFE: "fix (unsafe)", Safety.DISPLAY: "by hand"}[safety]
        console.print(Padding(Text(f"{label}: {title}"), (0, 0, 0, 4)))
    if len(fixes) > _SHOWN:
        console.print(Padding(Text(f"+ {len(fixes) - _SHOWN} more fixes"), (0, 0, 0, 4)))
    sources = list(dict.fromkeys(str(item.source) for item in found if item.source is not None))
    sure = " / ".join(dict.fromkeys(_SURE[item.confidence] for item in found))
    source = "; ".join(sources[:2]) + ("; ..." if len(sources) > 2 else "")
    console.print(Padding(Text(f"{sure}: {source}" if source else sure, "dim"), (0, 0, 1, 4)))


def _places(items: list[Diagnostic]) -> str:
    shown = [place_text(item.location) or "the model" for item in items[:_SHOWN]]
    if len(items) > _SHOWN:
        shown.append(f"+ {len(items) - _SHOWN} more")
    return "at " + "; ".join(shown)
