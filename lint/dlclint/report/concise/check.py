"""One line per cause, for grep and editors: consequences are counted on the line of their cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from dlclint.chains import FindingChain
from dlclint.diagnostic import Diagnostic, Location, Safety
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.chips import HEAD, chip_rows
from dlclint.report.counts import count_line

_MARK = {Safety.SAFE: " [fix]", Safety.UNSAFE: " [unsafe fix]", Safety.DISPLAY: ""}
_HELP = 100
"""Characters of a help."""


def render(outcome: Outcome, stream: TextIO | None) -> Iterator[str]:
    """`file:place: severity rule message [fix] (help: ...) [+N follow]` lines, chips, and the counts."""
    if not outcome.quiet:
        for file in outcome.files:
            yield from (f"{line}\n" for line in _file(file, outcome.whole))
    for file in outcome.files:
        yield from (f"{file.path}: {_chip(row)}\n" for row in chip_rows(file))
    yield f"{count_line(outcome)}\n"


def _file(file: FileOutcome, whole: bool) -> Iterator[str]:
    for chain in file.chains:
        yield from _chain(chain, whole)
    for unlisted in file.unlisted:
        yield f"{file.path}: {unlisted.severity.value} {unlisted.rule} {unlisted.message}"


def _chain(chain: FindingChain, whole: bool) -> Iterator[str]:
    for number, finding in enumerate(chain.findings):
        # Consequences are counted once, on the first line of their causes.
        follow = chain.consequences if not number and not whole else 0
        yield _line(finding) + (f" [+{follow} {'follows' if follow == 1 else 'follow'}]" if follow else "")
    if whole:
        for behind in chain.following:
            yield from _chain(behind, whole)


def _line(finding: Diagnostic) -> str:
    mark = _MARK[finding.fix.safety] if finding.fix else ""
    help = f" (help: {_short(finding.help)})" if finding.help else ""
    location = finding.location
    return (
        f"{location.file}{_place(location)}: {finding.severity.value} {finding.rule}"
        f" {finding.message}{mark}{help}"
    )


def _short(help: str) -> str:
    """The first clause of a help, cut at a word."""
    clause = help.partition("; ")[0]
    if len(clause) <= _HELP:
        return clause
    return f"{clause[:_HELP].rpartition(' ')[0]}…"


def _chip(row: tuple[str, ...]) -> str:
    chip, _, *answers = row
    named = (f"{name} {text}" for name, text in zip(HEAD[2:], answers, strict=True) if text)
    return f"{chip}: {', '.join(named)}"


def _place(location: Location) -> str:
    if location.line is not None:
        return f":{location.line}:{location.column or 1}"
    if location.node_index is None:
        return f"#{location.graph}" if location.graph else ""
    name = f"({location.node})" if location.node else ""
    return f"#{location.graph + '/' if location.graph else ''}{location.node_index}{name}"
