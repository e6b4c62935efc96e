"""Format `markdown`: for step summaries and comments on pull requests."""

from __future__ import annotations

from itertools import groupby
from typing import TextIO

from dlclint.diagnostic import Diagnostic, Severity, counted
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.chips import HEAD, chip_rows
from dlclint.report.counts import count_line, severity_counts
from dlclint.report.markup import cell
from dlclint.report.places import place_text

_PLACES = 3
"""Places that are shown of a rule; the others are counted."""
_MAX_BYTES = 900_000
"""GitHub cuts a step summary at 1 MiB; a file that would go beyond is named without its findings."""


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """A table of the files, then the findings of each, grouped by rule, the worst first."""
    verdict = "fails" if outcome.failed else "passes"
    lines = [f"## dlclint {verdict}: {count_line(outcome)}", ""]
    if len(outcome.files) > 1:
        lines += ["| file | findings |", "| --- | --- |"]
        lines += [f"| {cell(file.path)} | {_counts(file)} |" for file in outcome.files]
        lines.append("")
    size = 0
    for file in outcome.files:
        text = "\n".join(_file(file))
        size += len(text.encode())
        lines.append(
            text if size <= _MAX_BYTES else f"### {cell(file.path)}\n\n{_counts(file)}; too many to list\n"
        )
    return "\n".join(lines).rstrip("\n") + "\n"


def _counts(file: FileOutcome) -> str:
    return severity_counts({s: file.count(s) for s in Severity})


def _file(file: FileOutcome) -> list[str]:
    lines = [f"### {cell(file.path)}", ""]
    if file.chips:
        lines += [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
        lines += [f"| {' | '.join(map(cell, row))} |" for row in chip_rows(file)]
        lines.append("")
    for note in file.notes:
        lines += [f"{cell(note)}", ""]
    if not file.diagnostics:
        return [*lines, "No findings.", ""]
    for (severity, rule), group in groupby(file.shown, key=lambda item: (item.severity, item.rule)):
        unlisted = sum(item.count for item in file.unlisted if (item.severity, item.rule) == (severity, rule))
        lines += _rule(severity, rule, list(group), unlisted - bool(unlisted))
    return [*lines, ""]


def _rule(severity: Severity, rule: str, findings: list[Diagnostic], unlisted: int) -> list[str]:
    times = f", {counted(len(findings) + unlisted, 'time')}" if len(findings) > 1 else ""
    lines = [f"- **{severity.value}** {cell(rule)}{times}"]
    for finding in findings[:_PLACES]:
        where = place_text(finding.location)
        lines.append(f"  - {cell(finding.message)}{f' (at {cell(where)})' if where else ''}")
    if len(findings) > _PLACES:
        lines.append(f"  - and {len(findings) + unlisted - _PLACES} more")
    lines += [
        f"  - help: {cell(help)}" for help in dict.fromkeys(item.help for item in findings if item.help)
    ][:_PLACES]
    return lines
