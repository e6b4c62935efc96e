"""What the reports of a plan say in the same words, whatever the format."""

from __future__ import annotations

from dlclint.analysis.plan.model import Obstacle, Plan
from dlclint.diagnostic import plain

FAILS = "dlclint check predicts that this conversion fails; fix its errors first"
ALL = "all that the rules say"
WARNINGS = 5
"""Rules that warn and are quoted to people; the others are named."""
LAYERS = 5
"""Worst layers shown to people; programs get all."""


def title(plan: Plan) -> str:
    soc = plan.target.soc
    where = f"{soc}, {soc.hexagon_text}, " if soc is not None else ""
    return f"{plain(plan.path, 500)} for {where}runtime {plan.choice.runtime.value}"


def times(item: Obstacle) -> str:
    return f" x{item.times}" if item.times > 1 else ""


def commands(plan: Plan, title: str) -> str:
    return f"{title} commands" + ", once the errors are fixed" * plan.fails


def notes_of(plan: Plan) -> list[str]:
    """The plan's notes, with what the rules warn of."""
    warnings = [item for item in plan.obstacles if not item.is_error]
    notes = list(plan.notes)
    notes += [f"warning {said(item)}" for item in warnings[:WARNINGS]]
    if len(warnings) > WARNINGS:
        left = ", ".join(f"{item.rule}{times(item)}" for item in warnings[WARNINGS:])
        notes.append(f"and warnings {left}")
    return notes


def said(item: Obstacle) -> str:
    return f"{item.rule}{times(item)}: {item.message}{f' ({item.where})' if item.where else ''}"
