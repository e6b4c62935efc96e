"""Format `rich` of a confirmation: the question, the counts, then every reason with its nodes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from dlclint.confirm.compare import ComparedNode, Confirmation, ConfirmOutcome, Relation
from dlclint.confirm.verdict import Said
from dlclint.confirm.wording import agreement, asked, is_shown, node_sentence, stands, summary, troubles
from dlclint.diagnostic import counted
from dlclint.report.rich.console import paper, printed

_NODES = 3
"""Nodes that are named per reason; further ones are only counted."""
_VERDICT = {0: "{} takes it all", 1: "{} does not take it all", 2: "could not ask"}


def render(outcome: ConfirmOutcome, stream: TextIO | None) -> str:
    """The report; colored only if the stream is a terminal (NO_COLOR and FORCE_COLOR apply)."""
    console = paper(stream)
    for file in outcome.files:
        _file(console, file)
    versions = ", ".join(f"{name} {version}" for name, version in outcome.packages.items())
    files = len(outcome.files)
    who = outcome.files[0].judge or "the backend" if files == 1 else ""
    heading = _VERDICT[outcome.status].format(who) if files == 1 else _batch(outcome.files)
    if files == 1 and not outcome.status and not any(map(is_shown, outcome.files[0].rows)):
        heading = f"agreed: {heading}"
    style = "bold red" if outcome.status else "bold green"
    console.print(Text(f"{heading} ({versions}; {outcome.seconds:.2f} s)", style))
    return printed(console, stream)


def _batch(files: Iterable[Confirmation]) -> str:
    counts = {0: 0, 1: 0, 2: 0}
    for file in files:
        counts[2 if file.could_not_ask else 1 if file.refuses else 0] += 1
    return f"{counted(counts[0], 'model')} taken whole, {counts[1]} not, {counts[2]} could not be asked"


def _file(console: Console, file: Confirmation) -> None:
    def line(text: str, style: str = "", indent: int = 2) -> None:
        console.print(Padding(Text(text, style), (0, 0, 0, indent)))

    console.print(Text(file.path, "bold"))
    if not file.unasked:
        line(asked(file))
    for note in file.notes:
        line(f"note: {note}", "italic")
    for trouble in troubles(file):
        line(trouble, "bold red")
    if file.rows:
        line(summary(file))
        line(agreement(file))
    shown = sorted(filter(is_shown, file.rows), key=_key)
    for _, group in groupby(shown, key=_key):
        rows = list(group)
        times = f"  {len(rows)} times" if len(rows) > 1 else ""
        console.print()
        line(f"{node_sentence(rows[0])}{times}", _style(rows[0]))
        line(_places(rows), "dim", 4)
        line(stands(rows[0], (claim for row in rows for claim in row.claims)), "", 4)
    for path in file.dlc:
        console.print()
        line(f"DLC written: {path}")
    console.print()


def _key(row: ComparedNode) -> tuple[str, ...]:
    order = str(list(Said).index(row.verdict.said))
    return order, row.relation.value, row.op, node_sentence(row)


def _style(row: ComparedNode) -> str:
    if row.verdict.said.is_backends_no:
        return "red"
    return "yellow" if row.relation is not Relation.CONVERTER else "cyan"


def _places(rows: list[ComparedNode]) -> str:
    shown = []
    for row in rows[:_NODES]:
        graph = f"{row.graph}/" if row.graph else ""
        name = f" {row.node}" if row.node else ""
        shown.append(f"{graph}node {row.node_index}{name} (makes {row.tensor})")
    if len(rows) > _NODES:
        shown.append(f"+ {len(rows) - _NODES} more (--format json lists all)")
    return "at " + "; ".join(shown)
