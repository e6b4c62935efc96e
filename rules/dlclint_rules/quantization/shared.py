"""Tensors with different ranges that will share one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from dlclint.analysis.masks import coarse_mask_homes
from dlclint.analysis.shared import (
    SharedGrid,
    expected,
    loss_sentence,
    shared_grid_remedy,
    short,
    smaller_or_wide,
)
from dlclint.analysis.stretched import (
    Suspicion,
    constant_sentence,
    half_known,
    suspicion,
    wide_constants,
)
from dlclint.analysis.weights.biases import shared_biases
from dlclint.diagnostic import About, Confidence, Severity, Source, counted
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext, Place
from dlclint.target import Runtime
from dlclint_rules import places, sources
from dlclint_rules.quantization.reporting import quantization_rule
from dlclint_schemas.thresholds import threshold


@quantization_rule(about=About.ACCURACY, weights=True)
def shared_grid(context: ModelContext) -> Iterator[Finding]:
    """Tensors of unlike ranges share one grid, and one of them will vanish in its step.

    Why: a Concat (Where, Max, a scatter) has one grid for all tensors that it joins. If boxes in pixels are
    joined with scores between 0 and 1, one step is several pixels, and all scores become one number: at 8
    bits a trained detector finds nothing. A stored constant of several thousands has the same effect. An Add
    loses an operand that is smaller than one step of the sum. The ranges come from what ops can produce,
    propagated through constants (a Softmax times 0 to 15 times the stride), or from estimates based on
    normalization statistics. If a constant scales one of the tensors by a stride or more, the message says
    from which range on the other one is lost. If nothing is known of a tensor, only `dlclint plan` counts it.
    What to do: make the parts separate outputs of the model, scale the larger one before the Concat, or give
    this tensor 16 bits with an override file, which `dlclint plan --emit-overrides` writes.
    """
    kind = context.target.kind
    if kind.is_float:
        return
    bits = kind.act_bitwidth
    # encodings/shared-grid checks tensors with a grid from the file.
    weight_entries = context.view.encodings
    # Where the wide operand is an attention mask, mask-constant reports what to do.
    masks = coarse_mask_homes(context.view, bits)
    shared_grids = [
        each
        for each in expected(context.view, bits, kind.quantize, masks)
        if each.output not in weight_entries
    ]
    wide_is_taken = Runtime.HTP in context.target.considered and bits < 16
    for each in shared_grids:
        if each.joins:
            yield _finding(context, each, wide_is_taken)
    sums = sorted((each for each in shared_grids if not each.joins), key=lambda each: each.worst.steps or 0.0)
    if sums:
        first = _finding(context, sums[0], wide_is_taken)
        if len(sums) > 1:
            more = f"; {counted(len(sums) - 1, 'more sum')} like it"
            first = replace(first, message=first.message + more)
        yield replace(first, evidence={**first.evidence, "count": len(sums)})
    for guess in half_known(context.view, bits, masks, kind.quantize):
        if guess.is_likely and guess.output not in weight_entries:
            yield _guess(context, guess, wide_is_taken)
    for constant in wide_constants(context.view, bits, masks, kind.quantize):
        if constant.output not in weight_entries:
            yield Finding(
                constant_sentence(constant, bits),
                _severity(context),
                sources.JOINED,
                Confidence.INFERRED,
                smaller_or_wide(constant.output, wide_is_taken and constant.wide_helps),
                constant.node,
                constant.output,
                evidence={"step": constant.step, "need": constant.need},
                related=_both(constant.node, constant.other, constant.name),
            )


@quantization_rule(about=About.ACCURACY, weights=True)
def shared_bias(context: ModelContext) -> Iterator[Finding]:
    """Ops share a stored bias though they will add it at different scales.

    Why: HTP adds a bias at input scale times weight scale. If two ops read one stored bias and their scales
    differ, no 32-bit scale is correct for both: OSNet kept 56.6 instead of 81.5 mAP. AIMET refuses such a
    model ("Cannot determine single analytical bias scale"). With an override file, encodings/shared-bias
    checks its scales.
    What to do: give each op its own bias before you quantize the model.
    """
    if not context.target.quantize or Runtime.HTP not in context.target.considered:
        return
    weight_entries = context.view.encodings
    biases = [
        each
        for each in shared_biases(context.view)
        if np.log(each.ratio) > threshold("bias_scale_slack")
        and not any(node.input(1) in weight_entries for node in each.nodes)
    ]
    if not biases:
        return
    worst = max(biases, key=lambda each: each.ratio)
    more = f"; {len(biases) - 1} more like it" if len(biases) > 1 else ""
    yield Finding(
        f"{short(worst.name)}: {len(worst.nodes)} ops share this bias, and their scales differ by up to"
        f" {worst.ratio:.3g} times{more}",
        Severity.INFO,
        Source("onnxruntime/onnxruntime-qnn#739", "a shared bias"),
        Confidence.FIELD_REPORTED,
        "store a bias for each op",
        worst.nodes[0],
        worst.name,
        evidence={"biases": len(biases), "ops": len(worst.nodes), "ratio": worst.ratio},
        related=places.nodes(worst.nodes[1:], "adds it too"),
    )


def _severity(context: ModelContext) -> Severity:
    """A warning where the DLC will be quantized; where the kind was not given, a note."""
    return Severity.WARNING if context.target.quantize else Severity.INFO


def _finding(context: ModelContext, shared: SharedGrid, wide_is_taken: bool) -> Finding:
    assert shared.worst.steps is not None
    return Finding(
        loss_sentence(shared),
        _severity(context),
        sources.JOINED if shared.joins else sources.STEP,
        Confidence.INFERRED,
        shared_grid_remedy(shared, wide_is_taken),
        shared.node,
        shared.output,
        evidence={
            "step": shared.step,
            "steps": shared.worst.steps,
            "lost": [each.name for each in shared.lost],
            "others": [each.name for each in (*shared.wide, *shared.unknown)],
        },
        related=_both(shared.node, shared.worst.name, (*shared.wide, *shared.unknown)[0].name),
    )


def _both(node: Node, lost: str, other: str) -> tuple[Place, Place]:
    """The tensor that is lost and the one that determines the step."""
    return (
        places.source(node.graph, lost, "what is lost"),
        places.source(node.graph, other, "what makes the step large"),
    )


def _guess(context: ModelContext, guess: Suspicion, wide_is_taken: bool) -> Finding:
    bits = context.target.kind.act_bitwidth
    ways = ["output the two separately"] if guess.joins else []
    if wide_is_taken:
        ways.append(f"give {short(guess.output)} 16 bits")
    return Finding(
        suspicion(guess, bits),
        _severity(context),
        sources.JOINED,
        Confidence.INFERRED,
        ", or ".join(ways) or "keep this part float",
        guess.node,
        guess.output,
        evidence={"factor": guess.stretch.factor, "limit": guess.limit},
        related=_both(guess.node, guess.name, guess.other),
    )
