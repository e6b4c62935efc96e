"""What one grid does to each of the tensors that share it, and what to do about it."""

from __future__ import annotations

from dlclint.analysis.masks import coarse_masks
from dlclint.analysis.plan.model import Advice, Choice
from dlclint.analysis.shared import expected, loss_sentence, shared_grid_remedy, suspected, suspicion
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.store import home
from dlclint.diagnostic import counted
from dlclint.target import Runtime

TOPIC = "one grid for several"


def shared_grids(view: ModelView, choice: Choice) -> tuple[list[Advice], tuple[str, ...]]:
    """Advice on every shared grid that loses a tensor, and the tensors that 16 bits would cure.

    A Concat is judged by each of its inputs: the SQNR of the whole tells nothing of scores beside boxes.
    """
    bits = choice.act_bitwidth
    wide_is_taken = choice.runtime is Runtime.HTP and bits < 16
    # What an attention mask does, the advice on masks says.
    masks = {home(mask.graph, mask.name) for mask in coarse_masks(view.as_float, bits)}
    found = [each for each in expected(view, bits, masks=masks) if each.output not in view.given]
    joins = [each for each in found if each.joins]
    sums = sorted((each for each in found if not each.joins), key=lambda each: each.worst.steps or 0.0)
    advice = [
        Advice(
            TOPIC,
            "16 bits there" if wide_is_taken else "outputs apart",
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
    for guess in suspected(view, bits):
        reason = f"{suspicion(guess, bits)}; let them leave the model apart" + (
            ", or give it 16 bits" if wide_is_taken else ""
        )
        numbers: dict[str, float | str] = {
            "output": guess.output,
            "lost": guess.name,
            "factor": guess.factor,
            "limit": guess.limit,
        }
        advice.append(Advice(TOPIC, "look at it", reason, numbers))
    if sums:
        more = f"; the same in {counted(len(sums) - 1, 'more sum')}" if len(sums) > 1 else ""
        reason = f"{loss_sentence(sums[0])}{more}"
        advice.append(Advice("sums", "look at them", reason, {"sums": len(sums)}))
    # An override file names tensors of the main graph.
    return advice, tuple(each.output for each in joins if wide_is_taken and not each.node.graph.path)
