"""The verdict on a model, which comes first in its report."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dlclint.outcome import Answer, ModelVerdict

_STYLE = {"yes": "green", "whole": "green", "no": "bold red", "at risk": "yellow", "split": "yellow"}
_LABEL = 10


def print_verdict(console: Console, verdict: ModelVerdict, several: bool = False) -> None:
    """The target, the three answers, and what to do next.

    `several`: it is the worst of several chips' answers, and a table of the chips states where it runs.
    """
    console.print(Padding(Text(f"for {verdict.judged_for}", "dim"), (0, 0, 0, 2)))
    _line(console, "converts", _answer(verdict.converts))
    for number, line in enumerate([] if several else _runs(verdict)):
        _line(console, "" if number else "runs", line)
    _line(console, "accuracy", _answer(verdict.accuracy))
    for number, command in enumerate(verdict.next):
        # On one line, however long, so that it can be copied.
        console.print(Text.assemble(_head("" if number else "next"), command), soft_wrap=True)
    console.print()


def _head(label: str) -> Text:
    return Text(f"  {label:<{_LABEL}}", "bold")


def _answer(answer: Answer) -> Text:
    rule = f" ({answer.rule})" if answer.rule else ""
    return Text.assemble((answer.word, _STYLE.get(answer.word, "")), f": {answer.reason}{rule}")


def _runs(verdict: ModelVerdict) -> list[Text]:
    """One line for all runtimes with the same answer."""
    lines = [] if verdict.runs else [Text("unknown: it does not convert")]
    for (word, reason), group in groupby(verdict.runs, key=lambda answer: (answer.word, answer.reason)):
        names = ", ".join(runtime_answer.runtime for runtime_answer in group)
        shown = reason if word != "no" else f"no: {reason}"
        lines.append(Text.assemble(f"{names}: ", (shown, _STYLE.get(word, ""))))
    return lines


def _line(console: Console, label: str, text: Text) -> None:
    # The label is in the margin of the text's first line.
    head = _head(label)
    width = max(console.width - len(head), 20)
    for number, part in enumerate(text.wrap(console, width)):
        part.rstrip()
        console.print(Text.assemble(head if not number else " " * len(head), part))
