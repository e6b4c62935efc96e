"""A file checked for several chips: the matrix of chips and answers, as every format shows it."""

from __future__ import annotations

from itertools import groupby

from dlclint.outcome import ChipVerdict, FileOutcome, ModelVerdict
from dlclint.report.counts import severity_counts

HEAD = ("chip", "Hexagon", "converts", "runs", "accuracy", "findings")


def chip_rows(file: FileOutcome) -> list[tuple[str, ...]]:
    """One row for each chip, in the order in which they were named."""
    return [_row(chip) for chip in file.chips]


def _row(chip: ChipVerdict) -> tuple[str, ...]:
    soc, verdict = chip.soc, chip.verdict
    hexagon = f"v{soc.hexagon}" if soc.hexagon is not None else "none"
    answers = (
        ("", "", "") if verdict is None else (verdict.converts.word, _runs(verdict), verdict.accuracy.word)
    )
    return (str(soc), hexagon, *answers, severity_counts(chip.counts))


def _runs(verdict: ModelVerdict) -> str:
    """A text such as `htp whole; gpu 3 subnets, 2 nodes elsewhere`."""
    if not verdict.runs:
        return "unknown" if verdict.converts.word == "no" else "on none of the runtimes"
    parts = []
    for (word, reason), group in groupby(verdict.runs, key=lambda answer: (answer.word, answer.reason)):
        names = ", ".join(runtime_answer.runtime for runtime_answer in group)
        parts.append(f"{names} {word if word == 'no' else reason}")
    return "; ".join(parts)
