"""Tensors of unlike ranges that will share one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlclint.analysis.masks import coarse_masks
from dlclint.analysis.shared import (
    SharedGrid,
    Suspicion,
    expected,
    remedy,
    sentence,
    short,
    suspected,
    suspicion,
)
from dlclint.analysis.weights.store import home
from dlclint.diagnostic import About, Confidence, Severity, counted
from dlclint.rule import Finding, ModelContext
from dlclint.target import Runtime
from dlclint_rules import sources
from dlclint_rules.quantization.reporting import quantization_rule


@quantization_rule(about=About.ACCURACY)
def shared_grid(context: ModelContext) -> Iterator[Finding]:
    """Tensors of unlike ranges share one grid, whose step will swallow one of them.

    Why: a Concat (Where, Max, a scatter) has one grid for all that it joins. Where boxes in pixels stand
    beside scores between 0 and 1, one step is several pixels, and all scores become one number: at 8 bits a
    trained detector finds nothing. An Add loses an operand that is smaller than one step of the sum. Ranges
    come from what ops can produce, carried through constants (a Softmax times 0 to 15 times the stride), or
    are estimated from normalization statistics.
    What to do: let the parts leave the model as outputs of their own; or scale the larger one ahead of the
    Concat; or give this tensor 16 bits by an override file, which `dlclint plan --emit-overrides` writes.
    """
    kind = context.target.kind
    if kind.stated and not kind.quantize:
        return
    bits = kind.act_bitwidth
    # What the file gives a grid, encodings/shared-grid judges.
    given = context.view.given
    # Where the wide operand is an attention mask, mask-constant says what to do.
    masks = coarse_masks(context.view.as_float, bits) if kind.quantize else ()
    hidden = {home(mask.graph, mask.name) for mask in masks}
    found = [each for each in expected(context.view, bits, kind.quantize, hidden) if each.output not in given]
    wide_is_taken = Runtime.HTP in context.target.considered and bits < 16
    for each in found:
        if each.joins:
            yield _finding(context, each, wide_is_taken)
    sums = sorted((each for each in found if not each.joins), key=lambda each: each.worst.steps or 0.0)
    if sums:
        first = _finding(context, sums[0], wide_is_taken)
        if len(sums) > 1:
            more = f"; {counted(len(sums) - 1, 'more sum')} like it"
            first = replace(first, message=first.message + more)
        yield replace(first, evidence={**first.evidence, "count": len(sums)})
    for guess in suspected(context.view, bits, kind.quantize):
        if guess.output not in given:
            yield _guess(context, guess, wide_is_taken)


def _severity(context: ModelContext) -> Severity:
    """A warning where the DLC will be quantized; where nobody said so, what would happen if."""
    return Severity.WARNING if context.target.quantize else Severity.INFO


def _finding(context: ModelContext, found: SharedGrid, wide_is_taken: bool) -> Finding:
    assert found.worst.steps is not None
    return Finding(
        sentence(found),
        _severity(context),
        sources.JOINED if found.joins else sources.STEP,
        Confidence.INFERRED,
        remedy(found, wide_is_taken),
        found.node,
        found.output,
        evidence={
            "step": found.step,
            "steps": found.worst.steps,
            "lost": [each.name for each in found.lost],
            "others": [each.name for each in (*found.wide, *found.unknown)],
        },
    )


def _guess(context: ModelContext, guess: Suspicion, wide_is_taken: bool) -> Finding:
    bits = context.target.kind.act_bitwidth
    return Finding(
        suspicion(guess, bits),
        _severity(context),
        sources.JOINED,
        Confidence.INFERRED,
        "let the two leave the model as outputs of their own"
        + (f", or give {short(guess.output)} 16 bits" if wide_is_taken else ""),
        guess.node,
        guess.output,
        evidence={"factor": guess.factor, "limit": guess.limit},
    )
