"""Float or quantized: which runtime takes the DLC unchanged, and the cost of the other kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlclint.analysis.dlc_size import dlc_bytes
from dlclint.diagnostic import About, Confidence, Severity, Source, size_text
from dlclint.rule import Finding, ModelContext, rule
from dlclint.socs import needs_quantizer
from dlclint.target import Runtime, Target
from dlclint_rules import sources
from dlclint_schemas.quantization import Compatibility, runtime_compatibility

_PAGE = "80-63442-2 Rev BL, Quantized vs Non-Quantized Models"


@rule(about=About.TARGET)
def dlc_kind(context: ModelContext) -> Iterator[Finding]:
    """The runtime does not take a DLC of this kind at all.

    Why: the AIP runtime rejects float DLCs; the quantizer creates its HTA subnets.
    What to do: quantize the DLC (`--quantize`), or choose another runtime.
    """
    kind = context.target.kind
    for runtime in context.target.chosen:
        if runtime_compatibility()[runtime.dlc_row, False].accepted or kind.quantize:
            continue
        said = "and this one stays float" if kind.stated else "and nothing says which kind this will be"
        yield Finding(
            f"{runtime.value} accepts only quantized DLCs, {said}",
            Severity.ERROR if kind.stated else Severity.INFO,
            sources.limit("LIM021"),
            help="quantize it and say so with --quantize",
            evidence={"runtime": runtime.value},
        )


def _converted(context: ModelContext, quantize: bool) -> Iterator[tuple[list[Runtime], Compatibility]]:
    """The chosen runtimes that convert a DLC of this kind when it loads, by what happens."""
    kind = context.target.kind
    if not kind.stated or kind.quantize is not quantize:
        return
    groups: dict[str, list[Runtime]] = {}
    for runtime in context.target.chosen:
        groups.setdefault(runtime.dlc_row, []).append(runtime)
    for row, runtimes in groups.items():
        compatibility = runtime_compatibility()[row, quantize]
        if compatibility.accepted and not compatibility.as_is:
            yield runtimes, compatibility


@rule(about=About.TARGET)
def dequantized_at_load(context: ModelContext) -> Iterator[Finding]:
    """The runtime converts the quantized parameters back to float when it loads them.

    Why: CPU (without its fixed-point mode) and GPU compute in float. A quantized DLC starts more slowly
    there, may change accuracy, and does not run inference faster; only the file is smaller.
    What to do: create a float DLC for these runtimes, and a quantized one only for DSP, HTP and AIP.
    """
    kind = context.target.kind
    for runtimes, compatibility in _converted(context, quantize=True):
        names = " and ".join(runtime.value for runtime in runtimes)
        small = dlc_bytes(context.view, kind)
        large = dlc_bytes(context.view, replace(kind, quantize=False))
        condition = " unless CPU fixed-point mode is on" if compatibility.condition else ""
        sizes = f"about {size_text(small)} of parameters become {size_text(large)}, " if small < large else ""
        yield Finding(
            f"on {names} the DLC is dequantized when it loads{condition}: {sizes}"
            f"start-up on {names} is slower, inference is not faster",
            Severity.WARNING,
            Source(_PAGE, f"{runtimes[0].dlc_row}, quantized"),
            help=f"a float DLC (--float) starts faster on {names}"
            + ("; or turn on CPU fixed-point mode" if compatibility.condition else ""),
            evidence={"quantized_bytes": small, "float_bytes": large},
        )


@rule(about=About.TARGET)
def quantized_at_load(context: ModelContext) -> Iterator[Finding]:
    """The runtime quantizes the float parameters when it loads them.

    Why: the DSP computes in fixed point. It quantizes a float DLC at every start, with no gain in accuracy,
    and the file is larger. The page mentions DSP but not HTP, so for HTP the finding is inferred.
    What to do: quantize the DLC beforehand; on HTP of a chip with float16, `--float-bitwidth 16` stays float.
    """
    kind = context.target.kind
    for runtimes, _ in _converted(context, quantize=False):
        concerned = [
            runtime
            for runtime in runtimes
            if not (runtime is Runtime.DSP and needs_quantizer(context.target.soc))
            and not (runtime is Runtime.HTP and kind.float_bitwidth == 16)
        ]
        if not concerned:
            continue
        names = " and ".join(runtime.value for runtime in concerned)
        large, small = dlc_bytes(context.view, kind), dlc_bytes(context.view, replace(kind, quantize=True))
        if not large or context.view.carried is not None:
            continue  # there is nothing to quantize, or the model carries its quantization
        sizes = f", and its parameters take about {size_text(large)} in place of {size_text(small)}"
        yield Finding(
            f"on {names} the DLC is quantized when it loads: start-up on {names} is slower, "
            f"accuracy gains nothing{sizes * (small < large)}",
            Severity.WARNING,
            Source(_PAGE, "dsp, non-quantized"),
            # The page is about DSP; it was written about both v66 and what is now called HTP.
            Confidence.DOCUMENTED if concerned == [Runtime.DSP] else Confidence.INFERRED,
            help="quantize it beforehand (--quantize)" + _float16_instead(context.target, concerned),
            evidence={"float_bytes": large, "quantized_bytes": small},
        )


def _float16_instead(target: Target, concerned: list[Runtime]) -> str:
    """The other remedy, where HTP is a target and its chip is not known to lack float16."""
    if Runtime.HTP not in concerned or target.lacks_float16:
        return ""
    known = target.soc is not None and target.soc.fp16
    return "; or --float-bitwidth 16" + ("" if known else ", if the chip has float16")
