"""A quantization plan for people (rich, markdown) and for programs (json, version 1)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, TextIO

from dlclint import __version__
from dlclint.analysis.plan.commands import line
from dlclint.analysis.plan.model import Advice, Obstacle, Plan
from dlclint.diagnostic import plain

FAILS = "dlclint check says that this conversion will fail; mend first"
ALL = "all that the rules say"
WARNINGS = 5
"""Rules that warn and are quoted to people; the others are named."""
LAYERS = 5
"""Worst layers shown to people; programs get all."""


def render_plan(plan: Plan, form: str, stream: TextIO | None) -> str:
    """The plan as text; `stream` is where it will be shown, None for a file.

    Raises:
        ValueError: no such format.
    """
    if form == "json":
        return _json(plan)
    if form == "markdown":
        return _markdown(plan)
    if form == "rich":
        return _rich(plan, stream)
    raise ValueError(f"no format is called {form}")


def _title(plan: Plan) -> str:
    soc = plan.target.soc
    where = f"{soc}, {soc.hexagon_text}, " if soc is not None else ""
    return f"{plain(plan.path, 500)} for {where}runtime {plan.choice.runtime.value}"


def _json(plan: Plan) -> str:
    soc = plan.target.soc
    choice = plan.choice
    whole: dict[str, Any] = {
        "version": 1,
        "dlclint": __version__,
        "model": plain(plan.path, 500),
        "soc": None if soc is None else {"name": soc.name, "hexagon": soc.hexagon},
        "choice": {
            "runtime": choice.runtime.value,
            "quantize": choice.quantize,
            "act_bitwidth": choice.act_bitwidth,
            "weights_bitwidth": choice.weights_bitwidth,
            "bias_bitwidth": choice.bias_bitwidth,
            "float_bitwidth": choice.float_bitwidth,
            "float_bias_bitwidth": choice.float_bias_bitwidth,
            "per_channel": choice.per_channel,
            "per_row": choice.per_row,
            "param_quantizer": choice.param_quantizer,
            "cle": choice.cle,
        },
        "errors": [_obstacle(item) for item in plan.obstacles if item.is_error],
        "warnings": [_obstacle(item) for item in plan.obstacles if not item.is_error],
        "check": plain(plan.check, 4000),
        "first": [_advice(item) for item in plan.first],
        "advice": [_advice(item) for item in plan.advice],
        "layers": [
            {
                "node": plain(row.node),
                "op": row.op,
                "weight": plain(row.weight),
                "per_tensor_db": _number(row.per_tensor),
                "per_channel_db": _number(row.per_channel),
                "chosen_db": _number(row.chosen),
                "db_at_4_bits": _number(row.at_4_bits),
            }
            for row in plan.layers
        ],
        "activations": {
            "total": plan.activations,
            "estimated": plan.estimated,
            "narrow": [
                {
                    "tensor": plain(row.tensor),
                    "estimated_min": _number(row.low),
                    "estimated_max": _number(row.high),
                    "basis": row.basis,
                    "db_at_8_bits": _number(row.sqnr8),
                    "db_at_16_bits": _number(row.sqnr16),
                }
                for row in plan.narrow
            ],
            "wide_by_overrides": [plain(name) for name in plan.wide],
        },
        "commands": {
            chain.title.lower(): [
                {"tool": made.tool, "options": [list(option) for option in made.options], "line": line(made)}
                for made in chain.commands
            ]
            for chain in plan.toolchains
        },
        "notes": [plain(note, 400) for note in plan.notes],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _advice(item: Advice) -> dict[str, Any]:
    evidence = {key: plain(v) if isinstance(v, str) else _number(v) for key, v in item.evidence.items()}
    return {
        "topic": item.topic,
        "choice": item.choice,
        "reason": plain(item.reason, 400),
        "evidence": evidence,
    }


def _obstacle(item: Obstacle) -> dict[str, Any]:
    return {
        "rule": item.rule,
        "times": item.times,
        "message": item.message,
        "where": item.where,
        "help": item.help,
    }


def _number(value: float) -> float | None:
    if isinstance(value, int):
        return value
    return round(value, 6) if math.isfinite(value) else None


def _markdown(plan: Plan) -> str:
    lines = [f"# Quantization plan: {_cell(_title(plan))}", ""]
    errors = [item for item in plan.obstacles if item.is_error]
    if errors:
        lines += [f"## {FAILS}", ""]
        lines += [f"- {_cell(_said(item))}.{f' {_cell(item.help)}' if item.help else ''}" for item in errors]
        lines.append("")
    if plan.first:
        lines += ["## Before quantizing", ""]
        lines += [f"- **{_cell(a.topic)}**: {_cell(a.choice)}. {_cell(a.reason)}" for a in plan.first]
        lines.append("")
    lines += ["## Settings", "", "| what | choose | why |", "| --- | --- | --- |"]
    lines += [f"| {_cell(a.topic)} | {_cell(a.choice)} | {_cell(a.reason)} |" for a in plan.advice]
    if plan.layers:
        lines += ["", "## Worst weights", "", "SQNR at the chosen width, foretold from the weights.", ""]
        lines += ["| weight | op | dB per tensor | dB per channel | at 4 bits |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {_cell(row.weight)} | {row.op} | {row.per_tensor:.1f} | {row.per_channel:.1f}"
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
            f"| {_cell(row.tensor)} | {row.low:.3g} to {row.high:.3g} | {row.sqnr8:.1f} | {row.sqnr16:.1f}"
            f" | {row.basis} |"
            for row in plan.narrow[:LAYERS]
        ]
    for chain in plan.toolchains:
        lines += ["", f"## {_commands(plan, chain.title)}", "", "```sh"]
        lines += [plain(line(made), 4000) for made in chain.commands]
        lines.append("```")
    if plan.obstacles:
        lines += ["", f"## {ALL.capitalize()}", "", "```sh", plain(plan.check, 4000), "```"]
    notes = _notes(plan)
    if notes:
        lines += ["", "## Notes", "", *(f"- {_cell(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def _times(item: Obstacle) -> str:
    return f" x{item.times}" if item.times > 1 else ""


def _commands(plan: Plan, title: str) -> str:
    return f"{title} commands" + ", once the errors are mended" * plan.fails


def _notes(plan: Plan) -> list[str]:
    """The plan's notes, with what the rules warn of."""
    warnings = [item for item in plan.obstacles if not item.is_error]
    notes = list(plan.notes)
    notes += [f"warning {_said(item)}" for item in warnings[:WARNINGS]]
    if len(warnings) > WARNINGS:
        left = ", ".join(f"{item.rule}{_times(item)}" for item in warnings[WARNINGS:])
        notes.append(f"and warnings {left}")
    return notes


def _said(item: Obstacle) -> str:
    return f"{item.rule}{_times(item)}: {item.message}{f' ({item.where})' if item.where else ''}"


def _cell(text: str) -> str:
    """Text that is no markup in a table of Markdown."""
    safe = plain(text, 400).replace("\\", "\\\\").replace("|", "\\|").replace("`", "\\`")
    for mark in "<>[]*_":
        safe = safe.replace(mark, f"\\{mark}")
    return safe


def _rich(plan: Plan, stream: TextIO | None) -> str:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from dlclint.report.console import paper, printed

    console = paper(stream)

    def head(text: str) -> None:
        console.print()
        console.print(Text(text, "bold"))

    def table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        made = Table(box=None, pad_edge=False, show_header=bool(any(columns)))
        for column in columns:
            made.add_column(column, overflow="fold")
        for row in rows:
            made.add_row(*(Text(plain(cell, 400)) for cell in row))
        console.print(Padding(made, (0, 0, 0, 2)))

    def paragraph(text: str, indent: int) -> None:
        console.print(Padding(Text(plain(text, 400)), (0, 0, 0, indent)))

    def command_line(text: str) -> None:
        # Not wrapped: what is copied from a terminal must be one line.
        console.print(Text(f"  {plain(text, 4000)}"), soft_wrap=True)

    console.print(Text(_title(plan), "bold"), soft_wrap=True)
    errors = [item for item in plan.obstacles if item.is_error]
    if errors:
        head(FAILS)
        for item in errors:
            paragraph(_said(item), 2)
            if item.help:
                paragraph(f"do: {item.help}", 4)
    if plan.first:
        head("before quantizing")
        table(("", "", ""), [(item.topic, item.choice, item.reason) for item in plan.first])
    head("settings")
    table(("what", "choose", "why"), [(item.topic, item.choice, item.reason) for item in plan.advice])
    if plan.layers:
        head("worst weights (SQNR in dB, foretold from the weights)")
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
        head(_commands(plan, chain.title))
        for made in chain.commands:
            command_line(line(made))
    if plan.obstacles:
        head(ALL)
        command_line(plan.check)
    notes = _notes(plan)
    if notes:
        head("notes")
        for note in notes:
            paragraph(note, 2)
    return printed(console, stream)
