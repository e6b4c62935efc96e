"""Format `rich`: for people. Summary first, then findings grouped by rule, then the verdict."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TextIO

from dlclint.analysis.support import SupportMatrix
from dlclint.diagnostic import Confidence, Diagnostic, Safety, Severity, size_text
from dlclint.outcome import FileOutcome, Outcome, PrecisionRow
from dlclint.report.concise import count_line
from dlclint.report.paper import Paper, Table, Text
from dlclint.report.strip import strip_lines

_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_SURE = {
    Confidence.DOCUMENTED: "documented",
    Confidence.FIELD_REPORTED: "reported from the field",
    Confidence.INFERRED: "inferred, not documented",
    Confidence.CONFIRMED: "confirmed by Qualcomm's backend",
    Confidence.CONTRADICTED: "contradicted by Qualcomm's backend, which takes it",
}
_PRECISIONS = 30
"""Rows of the precision table."""
_SHOWN = 3
"""Messages shown of a rule before the rest is only counted."""


def render_rich(outcome: Outcome, stream: TextIO | None) -> str:
    """The report; coloured only if the stream is a terminal (NO_COLOR and FORCE_COLOR are heeded)."""
    paper = Paper(stream)
    for file in outcome.files:
        _file(paper, file)
    tail = f"{count_line(outcome)} ({outcome.seconds:.2f} s)"
    paper.print(Text(tail, "bold red" if outcome.failed else "bold"))
    return str(paper)


def _file(paper: Paper, file: FileOutcome) -> None:
    paper.print(Text(file.path, "bold"))
    summary = file.summary
    if summary is not None:
        opset = summary.opsets.get("", "none")
        line = f"opset {opset}, {summary.nodes} nodes"
        if summary.folded:
            line += f" ({summary.folded} fold away before conversion)"
        line += f", {size_text(summary.weight_bytes)} of weights"
        if summary.newest_listed_opset is not None:
            line += f"; newest opset at which every op is listed: {summary.newest_listed_opset}"
        paper.print(Text(line), 2)
        shown = ", ".join(summary.inputs[:6]) + (", ..." if len(summary.inputs) > 6 else "")
        paper.print(Text(f"inputs {shown or 'none'}"), 2)
    for note in file.notes:
        paper.print(Text(f"note: {note}", "italic"), 2)
    if file.ignored:
        paper.print(Text(f"{file.ignored} findings ignored by configuration"), 2)
    if file.support is not None:
        paper.print(_support(file.support), 2, above=1)
    for found in file.partitions:
        for text in strip_lines(found):
            paper.print(text, 2)
    if file.precision:
        paper.print(_precision(file.precision), 2, above=1)
    if file.commands:
        paper.print(Text("to make the file take effect", "bold"), 2, above=1)
        for command in file.commands:
            paper.print(Text(command), 4)
    paper.print(Text())
    for _, group in groupby(file.diagnostics, key=lambda item: (item.severity, item.rule)):
        _group(paper, list(group))
    if not file.diagnostics:
        paper.print(Text("no findings", "green"), 2, below=1)


def _group(paper: Paper, found: list[Diagnostic]) -> None:
    first = found[0]
    head = Text.assemble((first.severity.value, _STYLE[first.severity]), " ", (first.rule, "bold"))
    if len(found) > 1:
        head.append(f"  {len(found)} times")
    paper.print(head, 2)
    by_message: dict[str, list[Diagnostic]] = {}
    for item in found:
        by_message.setdefault(item.message, []).append(item)
    for number, (message, items) in enumerate(by_message.items()):
        if number == _SHOWN:
            rest = sum(len(group) for group in list(by_message.values())[_SHOWN:])
            paper.print(Text(f"+ {rest} more like these (--format concise lists all)"), 4)
            break
        paper.print(Text(message), 4)
        paper.print(Text(_places(items), "dim"), 6)
    for advice in list(dict.fromkeys(item.help for item in found if item.help))[:_SHOWN]:
        paper.print(Text(f"do: {advice}"), 4)
    fixes = list(dict.fromkeys((item.fix.title, item.fix.safety) for item in found if item.fix is not None))
    for title, safety in fixes[:_SHOWN]:
        label = {Safety.SAFE: "fix", Safety.UNSAFE: "fix (unsafe)", Safety.DISPLAY: "by hand"}[safety]
        paper.print(Text(f"{label}: {title}"), 4)
    if len(fixes) > _SHOWN:
        paper.print(Text(f"+ {len(fixes) - _SHOWN} more fixes"), 4)
    sources = list(dict.fromkeys(str(item.source) for item in found if item.source is not None))
    sure = " / ".join(dict.fromkeys(_SURE[item.confidence] for item in found))
    source = "; ".join(sources[:2]) + ("; ..." if len(sources) > 2 else "")
    paper.print(Text(f"{sure}: {source}" if source else sure, "dim"), 4, below=1)


def _places(items: list[Diagnostic]) -> str:
    shown = []
    for item in items[:_SHOWN]:
        place = item.location
        if place.line is not None:
            shown.append(f"line {place.line}, column {place.column}")
        elif place.node_index is not None:
            graph = f"{place.graph}/" if place.graph else ""
            name = f" {place.node}" if place.node else ""
            shown.append(f"{graph}node {place.node_index}{name} ({place.op}, makes {place.tensor})")
        elif place.tensor:
            shown.append(f"tensor {place.tensor}")
        else:
            shown.append(place.graph or "the model")
    if len(items) > _SHOWN:
        shown.append(f"+ {len(items) - _SHOWN} more")
    return "at " + "; ".join(shown)


def _support(matrix: SupportMatrix) -> Table:
    table = Table("runtime", "DLC", "whole model", "nodes", "cuts", "stands in the way")
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


def _precision(rows: tuple[PrecisionRow, ...]) -> Table:
    """Ops that come to the same are one row, with their number."""
    table = Table("op", "runs in", "inputs", "output", "weight", "bias", "file covers", "nodes")
    same = Counter(
        (
            row.op,
            f"{row.runs or 'default'}{' (forced)' if row.forced else ''}",
            ", ".join(dict.fromkeys(text or "default" for text in row.inputs)),
            row.output or "-",
            row.weight or "-",
            row.bias or "-",
            row.coverage,
        )
        for row in rows
    )
    for cells, count in list(same.items())[:_PRECISIONS]:
        table.add_row(*map(Text, cells), Text(str(count)))
    if len(same) > _PRECISIONS:
        table.add_row(Text(f"+ {len(same) - _PRECISIONS} more (--format json lists all)"))
    return table
