"""How rules of the family report: one finding per rule, at the worst layer, with the next ones named."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from dlclint.analysis.shared import short
from dlclint.analysis.weights.store import ConvertedWeight
from dlclint.diagnostic import About, Source, counted, first_few
from dlclint.rule import ModelContext, Subject, rule
from dlclint.target import Runtime, Target

quantization_rule = partial(rule, Subject.MODEL, about=About.SETTINGS)

QUANTIZATION = "80-63442-2 Rev BL, Quantized vs Non-Quantized Models"
TOOLS = "80-63442-2 Rev BL, Tools"
NAMED = 3
"""Layers that a message names; the evidence lists `LISTED`."""
LISTED = 10


def option(tool: str, name: str) -> Source:
    """An option on the tools page."""
    return Source(TOOLS, f"{tool} {name}")


def others(texts: Iterable[str], total: int) -> str:
    """`; then a, b and 4 more` for the layers after the worst."""
    named = list(texts)
    return f"; then {first_few(named, total - 1, NAMED - 1)}" if named else ""


def in_weights(
    subject: str,
    worst: str,
    rows: list[tuple[ConvertedWeight, float]],
    total: int,
    spelled: str,
    noun: str = "weight",
    rest: str = "",
) -> str:
    """`<subject> in 3 of 52 <noun>s <rest>; worst 'w': <worst>; then 'v' 1.2 dB and 1 more`.

    `rows` are the weights with their number, the worst first; `spelled` formats that of the others.
    """
    named = (f"{short(weight.name)} {spelled.format(number)}" for weight, number in rows[1:])
    head = (
        f"{subject} in {len(rows)} of {counted(total, noun, rest)}; worst {short(rows[0][0].name)}: {worst}"
    )
    return head + others(named, len(rows))


def worst_evidence(rows: list[tuple[ConvertedWeight, float]]) -> dict[str, Any]:
    """The worst layers by weight name with their number."""
    return {"worst": [f"{weight.name}: {number:.4g}" for weight, number in rows[:LISTED]]}


def is_quantized(context: ModelContext) -> bool:
    """Whether weights become integers: the DLC is quantized, or the model carries its quantization."""
    kind = context.target.kind
    return kind.quantize or (not kind.stated and context.view.carried is not None)


def is_per_tensor(target: Target) -> bool:
    """Whether DSP v66 or AIP are the only targets, which quantize weights per tensor.

    Source: AIMET's configurations of v66 and DSP are per tensor, those of v68 and later per channel.
    """
    considered = set(target.considered)
    return bool(considered & {Runtime.DSP, Runtime.AIP}) and Runtime.HTP not in considered
