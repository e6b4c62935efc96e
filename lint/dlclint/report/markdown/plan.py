"""Format `markdown` of a plan."""

from __future__ import annotations

from typing import TextIO

from dlclint.analysis.plan.commands import line
from dlclint.analysis.plan.model import Plan
from dlclint.diagnostic import plain
from dlclint.report.markup import cell
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


def render(plan: Plan, stream: TextIO | None) -> str:
    """The plan as a document."""
    lines = [f"# Quantization plan: {cell(title(plan))}", ""]
    errors = [each for each in plan.obstacles if each.is_error]
    if errors:
        lines += [f"## {FAILS}", ""]
        lines += [
            f"- {cell(said(obstacle))}.{f' {cell(obstacle.help)}' if obstacle.help else ''}"
            for obstacle in errors
        ]
        lines.append("")
    if plan.first:
        lines += ["## Before quantizing", ""]
        lines += [f"- **{cell(a.topic.value)}**: {cell(a.choice)}. {cell(a.reason)}" for a in plan.first]
        lines.append("")
    names = columns(plan)
    lines += ["## Settings", "", f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    lines += [f"| {' | '.join(map(cell, row))} |" for row in settings(plan)]
    if plan.layers:
        lines += ["", "## Worst weights", "", "SQNR at the chosen width, predicted from the weights.", ""]
        lines += ["| weight | op | dB per tensor | dB per channel | at 4 bits |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {cell(row.weight)} | {row.op} | {row.per_tensor:.1f} | {row.per_channel:.1f}"
            f" | {row.at_4_bits:.1f} |"
            for row in plan.layers[:LAYERS]
        ]
    if plan.narrow:
        lines += [
            "",
            "## Activations that 8 bits suit worst",
            "",
            "Ranges are estimates; no data was seen.",
            "",
        ]
        lines += ["| tensor | range | dB at 8 bits | at 16 | basis |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {cell(row.tensor)} | {row.low:.3g} to {row.high:.3g} | {row.sqnr8:.1f} | {row.sqnr16:.1f}"
            f" | {row.basis} |"
            for row in plan.narrow[:LAYERS]
        ]
    for chain in plan.toolchains:
        lines += ["", f"## {plan_commands(plan, chain.title)}", "", "```sh"]
        lines += [plain(line(command), 4000) for command in chain.commands]
        lines.append("```")
        if chain.inputs:
            lines += ["", *(f"- {cell(raw_text(read))}" for read in chain.inputs[:INPUTS])]
    if plan.obstacles:
        lines += ["", f"## {ALL.capitalize()}", "", "```sh", plain(plan.check, 4000), "```"]
    notes = notes_of(plan)
    if notes:
        lines += ["", "## Notes", "", *(f"- {cell(note)}" for note in notes)]
    return "\n".join(lines) + "\n"
