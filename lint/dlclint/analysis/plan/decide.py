"""From a model and a chip to a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dlclint.analysis.masks import find_masks
from dlclint.analysis.plan.commands import placeholders, toolchains
from dlclint.analysis.plan.figures import activation_figures, carried, layer_figures
from dlclint.analysis.plan.model import ActivationFigures, Advice, Choice, LayerFigures, Plan
from dlclint.analysis.roles import CONVOLUTIONS
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.biases import bias_errors
from dlclint.analysis.weights.clipping import best_clipping
from dlclint.analysis.weights.store import ConvertedWeight, distinct
from dlclint.encodings import grid
from dlclint.model.dimensions import Dimensions
from dlclint.model.tensors import Unavailable
from dlclint.target import Runtime
from dlclint_schemas.precision import wide_weights
from dlclint_schemas.quantization import quantization_facts
from dlclint_schemas.thresholds import threshold

_QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user settled: the dimension overrides, and where the override file will lie, if any."""

    dimensions: Dimensions
    overrides: str = ""


def make_plan(view: ModelView, asked: Asked) -> Plan:
    """The plan for the view's target, whose first runtime (or the SoC's best) it is for."""
    runtime, why = _runtime(view)
    notes: list[str] = []
    if runtime in (Runtime.CPU, Runtime.GPU, Runtime.GPU_FLOAT16):
        choice, advice = _stay_float(view, runtime)
        layers: tuple[LayerFigures, ...] = ()
        narrow: list[ActivationFigures] = []
    else:
        choice, advice, narrow = _quantize(view, runtime)
        weights = distinct(view.weights.converted())
        layers = layer_figures(weights, choice.weights_bitwidth, choice.per_channel, choice.per_row)
    outputs = [name for name, _ in carried(view)]
    estimated = sum(name in view.activations for name in outputs)
    if choice.quantize:
        notes.append(
            f"{estimated} of {len(outputs)} activations have an estimated range (no data was seen);"
            " calibration with real inputs decides"
        )
    notes += placeholders(view, choice)
    if asked.overrides:
        notes.append(
            "with --quantization_overrides the converter does not simplify the model: simplify it before"
            " (onnxsim), and make the overrides from the simplified model"
        )
    return Plan(
        str(view.model.path),
        view.target,
        choice,
        tuple(_first(view, choice)),
        (Advice("runtime", runtime.value, why), *advice),
        layers,
        tuple(narrow),
        estimated,
        len(outputs),
        toolchains(view, choice, asked.dimensions, asked.overrides),
        tuple(notes),
    )


def _runtime(view: ModelView) -> tuple[Runtime, str]:
    target = view.target
    considered = target.considered
    if target.runtimes and considered:
        return considered[0], "chosen" + (f", {target.soc.hexagon_text}" if target.soc else "")
    for runtime in (Runtime.HTP, Runtime.DSP, Runtime.GPU, Runtime.CPU):
        if runtime in considered:
            return runtime, "" if target.soc is None else f"what {target.soc} has ({target.soc.hexagon_text})"
    return Runtime.CPU, "no other runtime is known there"


def _stay_float(view: ModelView, runtime: Runtime) -> tuple[Choice, list[Advice]]:
    rows = quantization_facts()["runtime_compatibility"]
    name = "gpu" if runtime is not Runtime.CPU else "cpu"
    effect = next(r["effect"] for r in rows if r["runtime"] == name and r["dlc"] == "quantized")
    half = runtime is Runtime.GPU_FLOAT16
    return Choice(runtime, False, float_bitwidth=32), [
        Advice(
            "DLC",
            "float",
            f"a quantized DLC on {runtime.value} is {effect.removeprefix('otherwise ')}"
            + ("; the runtime itself computes in float16" if half else ""),
        )
    ]


def _quantize(view: ModelView, runtime: Runtime) -> tuple[Choice, list[Advice], list[ActivationFigures]]:
    soc = view.target.soc
    v66 = runtime in (Runtime.DSP, Runtime.AIP)
    hexagon = soc.hexagon if soc is not None else (66 if v66 else None)
    weights = distinct(view.weights.converted())
    advice = []
    narrow = _narrow(view)
    choice = Choice(runtime, True)
    choice, made = _activations(choice, view, narrow, v66)
    advice.append(made)
    choice, more = _grids(choice, weights, v66)
    advice += more
    choice, made = _weight_bits(choice, weights, hexagon)
    advice.append(made)
    if weights:
        choice, made = _range_search(choice, weights)
        advice.append(made)
    choice, made_bias = _bias(choice, view)
    advice += made_bias
    choice, made_cle = _cle(choice, view, weights, v66)
    advice += made_cle
    return choice, advice, narrow


def _narrow(view: ModelView) -> list[ActivationFigures]:
    """Activations with a foretold SQNR below the threshold at 8 bits, the worst first."""
    found = []
    for name, _ in carried(view):
        estimate = view.activations.get(name)
        figures = None if estimate is None else activation_figures(name, estimate)
        if figures is not None and figures.sqnr8 < threshold("activation_sqnr"):
            found.append(figures)
    return sorted(found, key=lambda row: row.sqnr8)


def _activations(
    choice: Choice, view: ModelView, narrow: list[ActivationFigures], v66: bool
) -> tuple[Choice, Advice]:
    known = sum(1 for name, _ in carried(view) if (e := view.activations.get(name)) is not None and e.known)
    least = threshold("activation_sqnr")
    if not known:
        reason = "no range can be estimated well enough to judge its width"
        reason += "; DSP v66 has 8 bits only" if v66 else "; 16 bits if accuracy is short after calibration"
        return choice, Advice("activations", "8 bits", reason)
    if not narrow:
        total = sum(1 for _ in carried(view))
        reason = f"all {known} (of {total}) whose range can be estimated keep {least:g} dB or more at 8 bits"
        return choice, Advice("activations", "8 bits", reason, {"estimated": known})
    worst = narrow[0]
    reason = (
        f"{len(narrow)} of {known} estimated activations keep less than {least:g} dB at 8 bits; worst"
        f" {worst.tensor!r}: {worst.sqnr8:.1f} dB, {worst.sqnr16:.1f} dB at 16"
    )
    numbers: dict[str, float | str] = {
        "narrow": len(narrow),
        "estimated": known,
        "worst_db_8": worst.sqnr8,
        "worst_db_16": worst.sqnr16,
    }
    if v66:
        reason += "; Hexagon v66 has no 16-bit activations outside HTA: keep those layers out, or retrain"
        return choice, Advice("activations", "8 bits", reason, numbers)
    if len(narrow) > known / 10:
        return replace(choice, act_bitwidth=16), Advice("activations", "16 bits", reason, numbers)
    reason += "; so few that an override file can give 16 bits to them alone"
    return choice, Advice("activations", "8 bits, 16 for those few", reason, numbers)


def _grids(choice: Choice, weights: list[ConvertedWeight], v66: bool) -> tuple[Choice, list[Advice]]:
    figures = layer_figures(weights, 8, False, False)
    convolutions = [row for row in figures if row.op in CONVOLUTIONS]
    matrices = [row for row in figures if row.op not in CONVOLUTIONS]
    advice = []
    if convolutions:
        gain = float(np.mean([row.per_channel - row.per_tensor for row in convolutions]))
        worst = convolutions[0]
        numbers: dict[str, float | str] = {
            "mean_gain_db": gain,
            "worst": worst.weight,
            "worst_per_tensor_db": worst.per_tensor,
            "worst_per_channel_db": worst.per_channel,
        }
        reason = (
            f"a grid for each channel gains {gain:.1f} dB on average over {len(convolutions)}"
            f" convolutions; worst {worst.weight!r}: {worst.per_tensor:.1f} dB per tensor,"
            f" {worst.per_channel:.1f} dB per channel"
        )
        if v66:
            reason += "; DSP v66 is quantized per tensor (AIMET's configurations)"
            advice.append(Advice("grid of convolutions", "per tensor", reason, numbers))
        else:
            choice = replace(choice, per_channel=True)
            advice.append(Advice("grid of convolutions", "per channel", reason, numbers))
    spread = [
        row
        for row in matrices
        if row.per_channel - row.per_tensor >= threshold("channel_spread_gain")
        and row.per_tensor < threshold("channel_sqnr")
    ]
    if spread and not v66:
        worst = spread[0]
        reason = (
            f"one grid costs {threshold('channel_spread_gain'):.3g} dB or more in {len(spread)} of"
            f" {len(matrices)} matrices; worst {worst.weight!r}: {worst.per_tensor:.1f} dB,"
            f" {worst.per_channel:.1f} dB by row"
        )
        choice = replace(choice, per_row=True)
        advice.append(Advice("grid of matrices", "per row", reason, {"matrices": len(spread)}))
    return choice, advice


def _weight_bits(
    choice: Choice, weights: list[ConvertedWeight], hexagon: int | None
) -> tuple[Choice, Advice]:
    figures = layer_figures(weights, 8, choice.per_channel, choice.per_row)
    least = threshold("weight_sqnr")
    poor = [row for row in figures if row.chosen < least]
    if not figures:
        return choice, Advice("weights", "8 bits", "no stored weights of convolutions or matrices")
    worst = figures[0]
    numbers: dict[str, float | str] = {"worst": worst.weight, "worst_db": worst.chosen, "poor": len(poor)}
    if not poor:
        kept = f"all {len(figures)} weights keep" if len(figures) > 1 else "the one weight keeps"
        reason = f"{kept} {worst.chosen:.1f} dB or more at 8 bits"
        return choice, Advice("weights", "8 bits", reason, numbers)
    wide = wide_weights()
    reason = (
        f"{len(poor)} of {len(figures)} weights keep less than {least:g} dB at 8 bits, worst"
        f" {worst.weight!r}: {worst.chosen:.1f} dB"
    )
    if hexagon is not None and hexagon >= wide.hexagon:
        reason += (
            f"; 16-bit weights (Hexagon v{wide.hexagon} and newer, with 16-bit activations) by an override"
            " file for those alone, if accuracy is short"
        )
    else:
        reason += f"; 16-bit weights need Hexagon v{wide.hexagon} or newer"
    return choice, Advice("weights", "8 bits", reason, numbers)


def _range_search(choice: Choice, weights: list[ConvertedWeight]) -> tuple[Choice, Advice]:
    whole = [w for w in weights if not (choice.per_channel and w.use.node.op_type in CONVOLUTIONS)]
    gains = []
    for weight in whole:
        try:
            found = best_clipping(weight, choice.weights_bitwidth, threshold("long_tail_gain"))
        except Unavailable:
            continue
        if found is not None:
            gains.append((found.gain, weight.name))
    if gains:
        gain, name = max(gains)
        reason = f"outliers cost up to {gain:.1f} dB in {len(gains)} of {len(whole)} weights; worst {name!r}"
        numbers: dict[str, float | str] = {"weights": len(gains), "gain_db": gain}
        return replace(choice, param_quantizer="enhanced"), Advice(
            "range of weights", "enhanced (searched)", reason, numbers
        )
    if choice.per_channel:
        reason = (
            "per-channel encodings must be symmetric; no weight has outliers that a searched range would cut"
        )
        return replace(choice, param_quantizer="symmetric"), Advice("range of weights", "symmetric", reason)
    reason = f"no weight of {len(whole)} gains {threshold('long_tail_gain'):.3g} dB by a searched range"
    return choice, Advice("range of weights", "tf (minimum and maximum)", reason)


def _bias(choice: Choice, view: ModelView) -> tuple[Choice, list[Advice]]:
    found = list(bias_errors(view))
    choice = replace(choice, bias_bitwidth=32)
    if not found:
        reason = "they are added in 32 bits, and the default of 8 gains nothing but size"
        return choice, [Advice("biases", "32 bits", reason)]
    worst = max(found, key=lambda row: (row.output_steps or 0.0, row.vanishing_share))
    vanish = sum(row.vanishing for row in found)
    total = sum(int(np.count_nonzero(row.values)) for row in found)
    reason = f"at 8 bits {vanish} of {total} biases would become 0"
    numbers: dict[str, float | str] = {"biases": total, "vanishing": vanish}
    if worst.output_steps is not None:
        reason += f", and the worst errs by {worst.output_steps:.2g} steps of its output (estimated)"
        numbers["output_steps"] = worst.output_steps
    reason += "; they are added in 32 bits"
    return choice, [Advice("biases", "32 bits", reason, numbers)]


def _cle(
    choice: Choice, view: ModelView, weights: list[ConvertedWeight], v66: bool
) -> tuple[Choice, list[Advice]]:
    if not any(weight.use.node.op_type == "Conv" for weight in weights):
        return choice, []
    pairs = len(view.cle.pairs)
    total = len(view.cle.convolutions)
    numbers: dict[str, float | str] = {"pairs": pairs, "convolutions": total}
    among = f"{pairs} pair{'s' * (pairs != 1)} among {total} convolutions"
    if choice.per_channel:
        reason = f"{among}, but a grid for each channel needs no equalization"
        return choice, [Advice("CLE", "no", reason, numbers)]
    if not pairs:
        reason = f"no pair among {total} convolutions matches the documented chains (see rules cle/...)"
        reason += "; dlclint equalize --extended may reach more" if v66 else ""
        return choice, [Advice("CLE", "no", reason, numbers)]
    reason = f"{among}, and one grid for all channels of a weight"
    return replace(choice, cle=True), [Advice("CLE", "yes", reason, numbers)]


def _first(view: ModelView, choice: Choice) -> list[Advice]:
    """What to mend before the tools run, each with the rule that tells more."""
    found = [*_batches(view)] if choice.quantize else []
    counts = sum(
        node.op_type in _QUANTIZED and not node.domain for g in view.model.graphs() for node in g.nodes
    )
    if counts and choice.quantize:
        found.append(
            Advice(
                "quantized already",
                "export the float model, or keep its encodings with --override_params",
                f"{counts} nodes quantize or compute in integers (quantization/already-quantized)",
            )
        )
    if choice.quantize:
        levels = float(grid.steps(choice.act_bitwidth))
        masks = find_masks(view, threshold("mask_step") * levels)
        if masks:
            worst = max(masks, key=lambda mask: abs(mask.value))
            found.append(
                Advice(
                    "attention masks",
                    f"use {threshold('mask_advice'):g} instead (dlclint fix --quantize)",
                    f"a mask of {worst.value:.4g} takes the whole range of the scores"
                    f" (quantization/mask-constant)",
                    {"masks": len(masks)},
                )
            )
        lost = sum(
            view.weights.non_finite(weight.use.node.graph, weight.name) > 0
            for weight in view.weights.converted()
        )
        if lost:
            reason = f"NaN or infinity in {lost} of them (model/non-finite-weights)"
            found.append(Advice("weights", "train or export again", reason))
    return found


def _batches(view: ModelView) -> Iterator[Advice]:
    graph = view.model.graph
    for name in graph.inputs:
        kind = graph.type_of(name)
        first = kind.shape[0] if kind is not None and kind.shape else None
        if isinstance(first, int) and first > 1 and kind is not None and len(kind.shape or ()) == 4:
            reason = f"input {name!r} has batch {first}, and the quantizer demands 1 (batch/not-one)"
            yield Advice("batch", "plan and convert with -b 1", reason)
