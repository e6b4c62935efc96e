"""Format `markdown`: for step summaries and comments on pull requests."""

from __future__ import annotations

from itertools import groupby
from typing import TextIO

from dlclint.chains import FindingChain
from dlclint.diagnostic import counted
from dlclint.outcome import FileOutcome, ModelVerdict, Outcome
from dlclint.report.chips import HEAD, chip_rows
from dlclint.report.counts import count_line, file_counts, following_line, unlisted_line
from dlclint.report.markup import cell
from dlclint.report.places import at_text, related_texts
from dlclint.report.verdict_words import next_of, verdict_lines

_PLACES = 3
"""Places that are shown for a rule; further ones are only counted."""
_MAX_BYTES = 900_000
"""GitHub cuts a step summary at 1 MiB; a file that would exceed it is named without its findings."""


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """A table of the files, then each file's verdict and findings, by what they stop or cost."""
    verdict = "fails" if outcome.failed else "passes"
    lines = [f"## dlclint {verdict}: {count_line(outcome)}", ""]
    if len(outcome.files) > 1:
        lines += ["| file | verdict | findings | next |", "| --- | --- | --- | --- |"]
        lines += [
            f"| {cell(file.path)} | {_short(file)} | {file_counts(file)} | {cell(next_of(file))} |"
            for file in outcome.files
        ]
        lines.append("")
    size = sum(len(line.encode()) + 1 for line in lines)
    for file in () if outcome.quiet and len(outcome.files) > 1 else outcome.files:
        text = "\n".join(_file(file, outcome))
        size += len(text.encode())
        short = f"### {cell(file.path)}\n\n{file_counts(file)}; too many to list\n"
        lines.append(text if size <= _MAX_BYTES else short)
    return "\n".join(lines).rstrip("\n") + "\n"


def _short(file: FileOutcome) -> str:
    return "; ".join(map(cell, verdict_lines(file)))


def _file(file: FileOutcome, outcome: Outcome) -> list[str]:
    lines = [f"### {cell(file.path)}", ""]
    if file.verdict is not None:
        lines += [*_verdict(file.verdict), ""]
    if file.chips:
        lines += [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
        lines += [f"| {' | '.join(map(cell, row))} |" for row in chip_rows(file)]
        lines.append("")
    if outcome.quiet:
        return lines
    for note in file.notes:
        lines += [f"{cell(note)}", ""]
    if not file.diagnostics:
        return [*lines, "No findings.", ""]
    unlisted = {(rule.severity, rule.rule): rule.count for rule in file.unlisted}
    for stage, group in groupby(file.chains, key=lambda chain: chain.stage):
        lines += [f"#### {stage.value.capitalize()}", ""]
        for chain in group:
            more = unlisted.pop((chain.severity, chain.rule), 0)
            lines += _rule(chain, more, outcome.whole, "")
        lines.append("")
    lines += [f"- {unlisted_line(rule)}" for rule in file.unlisted if (rule.severity, rule.rule) in unlisted]
    return [*lines, ""]


def _verdict(verdict: ModelVerdict) -> list[str]:
    runs = "; ".join(f"{runtime_answer.runtime}: {runtime_answer.reason}" for runtime_answer in verdict.runs)
    lines = [
        f"For {cell(verdict.judged_for)}.",
        "",
        f"- converts: **{verdict.converts.word}**, {cell(verdict.converts.reason)}",
        *([f"- runs: {cell(runs)}"] if runs else []),
        f"- accuracy: **{verdict.accuracy.word}**, {cell(verdict.accuracy.reason)}",
    ]
    if verdict.next:
        lines += ["", "```sh", *verdict.next, "```"]
    return lines


def _rule(chain: FindingChain, unlisted: int, whole: bool, indent: str) -> list[str]:
    findings = chain.findings
    times = f", {counted(len(findings) + unlisted, 'time')}" if len(findings) > 1 else ""
    lines = [f"{indent}- **{chain.severity.value}** {cell(chain.rule)}{times}"]
    limit = len(findings) if whole else _PLACES
    for finding in findings[:limit]:
        lines.append(f"{indent}  - {cell(finding.message)}{cell(at_text(finding.location))}")
        lines += [f"{indent}    - {cell(text)}" for text in list(related_texts(finding))[:limit]]
    if len(findings) > limit:
        lines.append(f"{indent}  - and {len(findings) + unlisted - limit} more")
    helps = list(dict.fromkeys(diagnostic.help for diagnostic in findings if diagnostic.help))
    lines += [f"{indent}  - help: {cell(help)}" for help in helps[:limit]]
    if chain.following:
        lines.append(f"{indent}  - {following_line(chain)}:")
        for behind in chain.following:
            lines += _rule(behind, 0, whole, f"{indent}    ")
    return lines
