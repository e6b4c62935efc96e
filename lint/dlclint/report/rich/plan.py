"""Format `rich` of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlclint.analysis.plan.commands import line
from dlclint.analysis.plan.model import Plan
from dlclint.diagnostic import plain
from dlclint.report.plan_words import (
    ALL,
    FAILS,
    INPUTS,
    LAYERS,
    columns,
    notes_of,
    plan_commands,
    raw_text,
    said,
    settings,
    title,
)
from dlclint.report.rich.console import paper, printed


def render(plan: Plan, stream: TextIO | None) -> str:
    """The plan; colored only if the stream is a terminal."""
    console = paper(stream)

    def head(text: str) -> None:
        console.print()
        console.print(Text(text, "bold"))

    def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        grid = Table(box=None, pad_edge=False, show_header=bool(any(columns)))
        for column in columns:
            grid.add_column(column, overflow="fold")
        for row in rows:
            grid.add_row(*(Text(plain(cell, 400)) for cell in row))
        console.print(Padding(grid, (0, 0, 0, 2)))

    def paragraph(text: str, indent: int) -> None:
        console.print(Padding(Text(plain(text, 400)), (0, 0, 0, indent)))

    def command_line(text: str) -> None:
        # Not wrapped: a command copied from a terminal must be one line.
        console.print(Text(f"  {plain(text, 4000)}"), soft_wrap=True)

    console.print(Text(title(plan), "bold"), soft_wrap=True)
    errors = [each for each in plan.obstacles if each.is_error]
    if errors:
        head(FAILS)
        for obstacle in errors:
            paragraph(said(obstacle), 2)
            if obstacle.help:
                paragraph(f"do: {obstacle.help}", 4)
    if plan.first:
        head("before quantizing")
        table(("", "", ""), [(advice.topic.value, advice.choice, advice.reason) for advice in plan.first])
    head("settings")
    table(columns(plan), settings(plan))
    if plan.layers:
        head("worst weights (SQNR in dB, predicted from the weights)")
        rows = [
            (row.weight, row.op, *(f"{db:.1f}" for db in (row.per_tensor, row.per_channel, row.at_4_bits)))
            for row in plan.layers[:LAYERS]
        ]
        table(("weight", "op", "per tensor", "per channel", "at 4 bits"), rows)
    if plan.narrow:
        head("activations that 8 bits suit worst (estimated ranges; no data was seen)")
        ranges = [
            (n.tensor, f"{n.low:.3g} to {n.high:.3g}", f"{n.sqnr8:.1f}", f"{n.sqnr16:.1f}", n.basis)
            for n in plan.narrow[:LAYERS]
        ]
        table(("tensor", "range", "8 bits", "16 bits", "basis"), ranges)
    for chain in plan.toolchains:
        head(plan_commands(plan, chain.title))
        for command in chain.commands:
            command_line(line(command))
        for read in chain.inputs[:INPUTS]:
            paragraph(raw_text(read), 4)
    if plan.obstacles:
        head(ALL)
        command_line(plan.check)
    notes = notes_of(plan)
    if notes:
        head("notes")
        for note in notes:
            paragraph(note, 2)
    return printed(console, stream)
