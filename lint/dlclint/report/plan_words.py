"""Texts that the reports of a plan share, whatever the format."""

from __future__ import annotations

from dlclint.analysis.plan.inputs import RawInput
from dlclint.analysis.plan.model import MEASUREMENT, Advice, Obstacle, Plan, decibels_text
from dlclint.diagnostic import plain

FAILS = "dlclint check predicts that this conversion fails; fix its errors first"
ALL = "all that the rules say"
WARNINGS = 5
"""Rules with warnings that are quoted in reports for people; further ones are only named."""
LAYERS = 5
"""Worst layers in reports for people; reports for programs have all."""


INPUTS = 8
"""Inputs whose raw files are described in reports for people; reports for programs have all."""


def raw_text(read: RawInput) -> str:
    """How a family of tools reads the raw files of an input."""
    layout = f"{read.layout} " if read.layout else ""
    return f"raw files of {plain(read.name)}: {read.element} {layout}{','.join(read.shape)}"


COLUMNS = ("what", "choose", "why")
MEASURED_COLUMNS = ("what", "choose", "predicted", "measured", "why")


def columns(plan: Plan) -> tuple[str, ...]:
    """The columns of the settings."""
    return MEASURED_COLUMNS if plan.inputs else COLUMNS


def settings(plan: Plan) -> list[tuple[str, ...]]:
    """The rows of the settings, with predictions and measurements where there are inputs."""
    if not plan.inputs:
        return [(each.topic.value, each.choice, each.reason) for each in plan.advice]
    return [(advice.topic.value, advice.choice, *_figures(advice), advice.reason) for advice in plan.advice]


def _figures(advice: Advice) -> tuple[str, str]:
    measured_decision = advice.measured
    if measured_decision is None:
        return "", ""
    mark = " (decides)" if measured_decision.decided == MEASUREMENT else ""
    return decibels_text(measured_decision.predicted), f"{decibels_text(measured_decision.measured)}{mark}"


def title(plan: Plan) -> str:
    """The model and the target of the plan."""
    return f"{plain(plan.path, 500)} for {target_text(plan)}"


def target_text(plan: Plan) -> str:
    """The target of a plan: chip, runtime, release, and the inputs that it was measured on."""
    soc = plan.target.soc
    where = f"{soc}, {soc.hexagon_text}, " if soc is not None else ""
    release = f"SDK {plan.target.release.name}{'' if plan.target.sdk else ' (the newest known)'}"
    measured = f"; measured on {plan.inputs}" if plan.inputs else ""
    return f"{where}runtime {plan.choice.runtime.value}, {release}{measured}"


def times(obstacle: Obstacle) -> str:
    return f" x{obstacle.times}" if obstacle.times > 1 else ""


def plan_commands(plan: Plan, title: str) -> str:
    return f"{title} commands" + (", once the errors are fixed" if plan.fails else "")


def notes_of(plan: Plan) -> list[str]:
    """The plan's notes, including the rules' warnings."""
    warnings = [each for each in plan.obstacles if not each.is_error]
    notes = list(plan.notes)
    notes += [f"warning {said(each)}" for each in warnings[:WARNINGS]]
    if len(warnings) > WARNINGS:
        left = ", ".join(f"{obstacle.rule}{times(obstacle)}" for obstacle in warnings[WARNINGS:])
        notes.append(f"and warnings {left}")
    return notes


def said(obstacle: Obstacle) -> str:
    return (
        f"{obstacle.rule}{times(obstacle)}:"
        f" {obstacle.message}{f' ({obstacle.where})' if obstacle.where else ''}"
    )
