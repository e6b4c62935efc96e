"""Spectra inside the graph, which no grid can represent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlclint.analysis.roles import layer_name
from dlclint.analysis.shared import short
from dlclint.analysis.spectra import Spectrum, find_spectra, float_is_open
from dlclint.diagnostic import About, Confidence, Severity, Source, first_few
from dlclint.rule import Finding, ModelContext
from dlclint_rules.quantization.reporting import LISTED, QUANTIZATION, is_quantized, quantization_rule

_NAMED = 5
"""Tensors that a message names."""


@quantization_rule(about=About.ACCURACY, weights=True)
def spectrum(context: ModelContext) -> Iterator[Finding]:
    """The graph computes a spectrum, which exceeds the range of 8 or 16 bits.

    Why: squares span twice as many decibels as the values that are squared, and 16 bits hold 96: on a grid
    for the loudest bins, the quiet ones are 0, and the root or logarithm that follows amplifies exactly
    those. Measured: Silero VAD keeps 11 dB of its output at 8 bits, 25 dB at 16, and 34 dB at 8 bits with
    five tensors in float: the results of the transform, both squares, their sum and its root. A log-mel front
    end keeps 5.2 dB at 8 and 10.5 dB at 16 bits.
    What to do: cut the model after the root or logarithm and compute the spectrum outside, as an input of the
    DLC. If the chip has float16, you can instead keep the named tensors float with entries of dtype float in
    an override file, which `dlclint plan --emit-overrides` writes; in a QDQ model that is not quantized
    again, with no QuantizeLinear on them.
    """
    if not is_quantized(context):
        return
    encoded = context.view.encodings
    for each in find_spectra(context.view):
        # What the override file keeps float has no grid, and in a QDQ model what nothing quantizes.
        left = tuple(
            name
            for name in each.tensors
            if (not encoded[name].is_float if name in encoded else context.target.quantize)
        )
        if not left:
            continue
        kept = replace(each, tensors=left)
        yield Finding(
            f"a spectrum ends in {kept.root.op_type} {short(layer_name(kept.root))}: {_words(kept)}",
            Severity.WARNING,
            Source(QUANTIZATION, "algorithm"),
            Confidence.INFERRED,
            _remedy(context, kept),
            kept.root,
            evidence={"tensors": list(kept.tensors[:LISTED]), "count": len(kept.tensors)},
        )


def _words(of: Spectrum) -> str:
    noun, whose = "squares", "their"
    if of.transform is not None:
        noun = f"the squares of what {of.transform.op_type} {short(layer_name(of.transform))} makes"
        whose = "its"
    named = first_few(map(short, of.tensors), len(of.tensors), _NAMED)
    return f"{noun} span twice {whose} decibels, more than 8 or 16 bits can represent: {named}"


def _remedy(context: ModelContext, of: Spectrum) -> str:
    cut = f"cut the model after {short(of.root.output(0))} and compute what is before outside"
    if not float_is_open(context.target):
        return cut
    if not context.target.quantize:
        return f"{cut}, or export the model without QuantizeLinear on these tensors"
    return f"{cut}, or keep these tensors float by an override file (dlclint plan --emit-overrides)"
