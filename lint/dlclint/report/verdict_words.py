"""A verdict in a few words, for tables of several files."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from itertools import groupby

from dlclint.diagnostic import plain
from dlclint.outcome import FileOutcome, ModelVerdict, RuntimeAnswer

_NEXT = 100
"""Characters of a help that is shown as the next step."""
_SAID = {"whole": "whole on", "split": "split on", "no": "not on"}


def verdict_lines(file: FileOutcome) -> list[str]:
    """The verdict on a file: a short line for runtimes with the same answer, and one for accuracy.

    If it was checked for several chips, a line for each.
    """
    if file.chips:
        return [f"{chip.soc.name}: {', '.join(_lines(chip.verdict))}" for chip in file.chips]
    return _lines(file.verdict)


def _lines(verdict: ModelVerdict | None) -> list[str]:
    if verdict is None:
        return []
    if verdict.converts.word != "yes":
        return ["does not convert"]
    if len(verdict.runs) > 1 and len({runtime_answer.word for runtime_answer in verdict.runs}) == 1:
        lines = [f"{_SAID[verdict.runs[0].word]} all runtimes"]
    else:
        lines = _grouped(verdict.runs)
    risk = [f"accuracy {verdict.accuracy.word}"] if verdict.accuracy.word != "unknown" else []
    return [*lines, *risk]


def _grouped(runs: Iterable[RuntimeAnswer]) -> list[str]:
    return [
        f"{_SAID[word]} {', '.join(runtime_answer.runtime for runtime_answer in group)}"
        for word, group in groupby(sorted(runs, key=_worst), key=lambda answer: answer.word)
    ]


def _worst(runtime_answer: RuntimeAnswer) -> int:
    return list(_SAID).index(runtime_answer.word)


def common_folder(paths: Sequence[str]) -> str:
    """The folder that contains all paths, with its slash; "" where there is none."""
    first, last = min(paths), max(paths)
    same = next(
        (position for position, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return first[: max(first.rfind("/", 0, same), first.rfind("\\", 0, same)) + 1]


def next_of(file: FileOutcome) -> str:
    """The next step for a file: its verdict's first command, without the file, or its first help."""
    if file.verdict is not None and file.verdict.next:
        return file.verdict.next[0].replace(shlex.quote(file.path), "...")
    return plain(next((finding.help for finding in file.diagnostics if finding.help), ""), _NEXT)
