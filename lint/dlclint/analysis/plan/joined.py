"""The effect of one grid on each of the tensors that share it, and what to do about it."""

from __future__ import annotations

from dlclint.analysis.masks import coarse_mask_homes
from dlclint.analysis.plan.model import Advice, Choice, Topic
from dlclint.analysis.shared import (
    ends_text,
    expected,
    loss_sentence,
    shared_grid_remedy,
    short,
    smaller_or_wide,
)
from dlclint.analysis.stretched import constant_sentence, half_known, suspicion, wide_constants
from dlclint.analysis.view import ModelView
from dlclint.diagnostic import counted
from dlclint.target import Runtime


def shared_grids(view: ModelView, choice: Choice) -> tuple[list[Advice], tuple[str, ...]]:
    """Advice on every shared grid that loses a tensor, and the tensors that 16 bits would fix.

    Each input of a Concat is evaluated separately: the SQNR of the whole hides the loss of scores next to
    boxes.
    """
    bits = choice.act_bitwidth
    wide_is_taken = choice.runtime is Runtime.HTP and bits < 16
    # The advice on masks covers what an attention mask does.
    masks = coarse_mask_homes(view, bits)
    grids = [each for each in expected(view, bits, masks=masks) if each.output not in view.encodings]
    joins = [each for each in grids if each.joins]
    sums = sorted((each for each in grids if not each.joins), key=lambda each: each.worst.steps or 0.0)
    advice = [
        Advice(
            Topic.ONE_GRID,
            "16 bits there" if wide_is_taken else "separate outputs",
            f"{loss_sentence(each)}; {shared_grid_remedy(each, wide_is_taken)}",
            {
                "output": each.output,
                "lost": each.worst.name,
                "step": each.step,
                "steps": each.worst.steps or 0.0,
            },
        )
        for each in joins
    ]
    half = list(half_known(view, bits, masks))
    suspects = [guess for guess in half if guess.is_likely]
    for guess in suspects:
        reason = f"{suspicion(guess, bits)}; make them separate outputs" + (
            ", or give it 16 bits" if wide_is_taken else ""
        )
        numbers: dict[str, float | str] = {
            "output": guess.output,
            "lost": guess.name,
            "factor": guess.stretch.factor,
            "limit": guess.limit,
        }
        advice.append(Advice(Topic.ONE_GRID, "look at it", reason, numbers))
    for constant in wide_constants(view, bits, masks):
        numbers = {"output": constant.output, "lost": constant.other, "step": constant.step}
        remedy = smaller_or_wide(constant.output, wide_is_taken and constant.wide_helps)
        reason = f"{constant_sentence(constant, bits)}; {remedy}"
        advice.append(Advice(Topic.ONE_GRID, "look at it", reason, numbers))
    told = {guess.output for guess in suspects}
    open_ = [guess for guess in half if guess.joins and guess.output not in told]
    if open_:
        first = open_[0]
        reason = (
            f"{counted(len(open_), 'grid')} of a tensor with known bounds and one without,"
            f" as {short(first.output)} of {short(first.name)} ({ends_text(first.span)}) and"
            f" {short(first.other)}: where that spans more than {first.limit:.3g}, less than 4 bits are left"
            " of the first"
        )
        advice.append(Advice(Topic.SHARED_GRIDS, "unknown", reason, {"grids": len(open_)}))
    if sums:
        more = f"; the same in {counted(len(sums) - 1, 'more sum')}" if len(sums) > 1 else ""
        reason = f"{loss_sentence(sums[0])}{more}"
        advice.append(Advice(Topic.SUMS, "look at them", reason, {"sums": len(sums)}))
    # An override file names tensors of the main graph.
    return advice, tuple(each.output for each in joins if wide_is_taken and not each.node.graph.path)
