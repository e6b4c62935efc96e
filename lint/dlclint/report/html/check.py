"""Format `html` of `dlclint check`: each file's verdict, its findings, its network and its layers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any, TextIO

from dlclint.diagnostic import first_few
from dlclint.outcome import Answer, FileOutcome, ModelVerdict, Outcome
from dlclint.report.chips import HEAD, chip_rows
from dlclint.report.counts import count_line, file_counts, unlisted_line
from dlclint.report.html.network import Texts
from dlclint.report.html.report import report_page
from dlclint.report.html.sheets import TONES, Commands, Sheet, Shown, Table, drawing_of, findings_sheet
from dlclint.report.verdict_words import next_of, verdict_lines

if TYPE_CHECKING:
    from dlclint.analysis.support import RuntimeSupport

_DRAWN = 40_000
"""Nodes that one page draws, over all its files: a page with more is too large to open."""
_BLOCKERS = 6
"""Ops that are named of those that a runtime lacks; further ones are only counted."""


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """The page."""
    left = _DRAWN
    sheets = []
    texts = Texts()
    for file in outcome.files:
        count = 0 if file.drawing is None else len(file.drawing.nodes)
        sheets.append(_sheet(file, texts, drawn=count <= left))
        left -= count if count <= left else 0
    verdict = "fails" if outcome.failed else "passes"
    return report_page(
        "dlclint check",
        f"dlclint check {verdict}",
        count_line(outcome),
        ("verdict", "findings", "next"),
        sheets,
        texts,
    )


def _sheet(file: FileOutcome, texts: Texts, drawn: bool) -> Sheet:
    network, notes = drawing_of(file.drawing if drawn else None)
    if not drawn:
        notes.append(f"the network is not drawn: a page draws {_DRAWN} nodes of all its files")
    data: dict[str, Any] = {"findings": findings_sheet(file.diagnostics, network, texts)}
    if network is not None:
        better = {
            position: row.runs
            for row in file.precision
            if row.runs and (position := network.of_index(row.graph, row.node_index)) is not None
        }
        data |= {"network": network.data(texts, better), "charts": network.charts(texts)}
    verdict = file.verdict
    return Sheet(
        file.path,
        "" if verdict is None else f"Checked for {verdict.judged_for}",
        () if verdict is None else tuple(_answers(verdict, bool(file.chips))),
        _commands(file),
        tuple(_tables(file)),
        (*file.notes, *map(unlisted_line, file.unlisted), *notes),
        ("; ".join(verdict_lines(file)), file_counts(file), next_of(file)),
        data,
    )


def _answers(verdict: ModelVerdict, several: bool) -> list[Shown]:
    shown = [_answer("Converts", verdict.converts)]
    if not several:
        shown.append(_runs(verdict))
    return [*shown, _answer("Accuracy", verdict.accuracy)]


def _answer(label: str, answer: Answer) -> Shown:
    lines = (answer.reason, answer.rule) if answer.rule else (answer.reason,)
    return Shown(label, answer.word, lines, TONES.get(answer.word, ""))


def _runs(verdict: ModelVerdict) -> Shown:
    """One line for all runtimes with the same answer; the word is that of the best one."""
    if not verdict.runs:
        return Shown("Runs", "unknown", ("it does not convert",))
    words = [answer.word for answer in verdict.runs]
    word = next(word for word in ("whole", "split", "no") if word in words)
    lines = []
    for (each, reason), group in groupby(verdict.runs, key=lambda answer: (answer.word, answer.reason)):
        no = "no: " if each == "no" else ""
        lines.append(f"{', '.join(runtime_answer.runtime for runtime_answer in group)}: {no}{reason}")
    said = {"whole": "whole", "split": "in parts", "no": "no"}[word]
    if len(set(words)) == 1:
        return Shown("Runs", said, tuple(lines), TONES[word])
    return Shown("Runs", f"{said} on some", tuple(lines), "risk")


def _commands(file: FileOutcome) -> tuple[Commands, ...]:
    commands = []
    if file.verdict is not None and file.verdict.next:
        commands.append(Commands("Next", file.verdict.next))
    if file.commands:
        commands.append(Commands("To make it take effect", file.commands))
    return tuple(commands)


def _tables(file: FileOutcome) -> Iterator[Table]:
    if file.chips:
        yield Table("Chips", HEAD, tuple(chip_rows(file)))
    if file.support is not None:
        head = ("runtime", "nodes that it takes", "cuts", "DLC", "stopped by")
        yield Table("Runtimes", head, tuple(map(_runtime, file.support.rows)))


def _runtime(row: RuntimeSupport) -> tuple[str, ...]:
    taken = "whole" if row.whole else f"{row.taken} of {row.total}"
    return (row.runtime.value, taken, str(row.cuts), row.dlc, _blockers(row))


def _blockers(row: RuntimeSupport) -> str:
    named = [
        blocker.op if blocker.nodes == 1 else f"{blocker.op} x{blocker.nodes}" for blocker in row.blockers
    ]
    return first_few(named, len(named), _BLOCKERS)
