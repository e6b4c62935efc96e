"""The settings of the weights and biases, one by one: grid, width, range, bias, equalization."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dlclint.analysis.cle.cutting import cuts
from dlclint.analysis.dlc_size import packed_bytes
from dlclint.analysis.plan.figures import layer_figures
from dlclint.analysis.plan.model import Advice, Choice, LayerFigures, Topic
from dlclint.analysis.side_inputs import computed_products
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.biases import bias_errors, saturations
from dlclint.analysis.weights.clipping import best_clipping
from dlclint.analysis.weights.store import ConvertedWeight, distinct
from dlclint.diagnostic import counted, size_text
from dlclint.model.op_facts import CONVOLUTIONS, MATRICES
from dlclint.model.tensors import Unavailable
from dlclint.target import Runtime
from dlclint_schemas.precision import narrow_weights, wide_weights
from dlclint_schemas.quantization import widths
from dlclint_schemas.thresholds import threshold

Settled = Mapping[str, int]
"""The widths and switches that the user gave, by the names of `DlcKind`."""


def bits(count: int) -> str:
    """A text such as `8 bits`."""
    return f"{count} bits"


def grids(
    choice: Choice, weights: list[ConvertedWeight], settled: Settled, v66: bool
) -> tuple[Choice, list[Advice]]:
    """One grid for a weight, or one for each channel or row."""
    figures = layer_figures(weights, choice.weights_bitwidth, False, False)
    convolutions = [row for row in figures if row.op in CONVOLUTIONS]
    matrices = [row for row in figures if row.op in MATRICES]
    advice = []
    if convolutions:
        better = _gain(convolutions) > 0 or any(
            row.per_channel - row.per_tensor >= threshold("channel_spread_gain") for row in convolutions
        )
        choice = replace(choice, per_channel=(better and not v66) or "per_channel" in settled)
        advice.append(_grid_of_convolutions(choice, convolutions, "per_channel" in settled, v66))
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
        advice.append(Advice(Topic.MATRIX_GRIDS, "per row", reason, {"matrices": len(spread)}))
    return choice, advice


def _gain(rows: list[LayerFigures]) -> float:
    """The average gain of a grid for each channel in dB; below 0 where being symmetric costs more."""
    return float(np.mean([row.per_channel - row.per_tensor for row in rows]))


def _grid_of_convolutions(choice: Choice, rows: list[LayerFigures], is_set: bool, v66: bool) -> Advice:
    gain = _gain(rows)
    verb = "gains" if gain > 0 else "loses"
    worst = rows[0]
    numbers: dict[str, float | str] = {
        "mean_gain_db": gain,
        "worst": worst.weight,
        "worst_per_tensor_db": worst.per_tensor,
        "worst_per_channel_db": worst.per_channel,
    }
    among = f"{len(rows)} convolutions" if len(rows) > 1 else "the one convolution"
    reason = (
        ("given (--use-per-channel-quantization); " if is_set else "")
        + f"a grid for each channel {verb} {abs(gain):.1f} dB{' on average over' if len(rows) > 1 else ' in'}"
        f" {among}; worst {worst.weight!r}: {worst.per_tensor:.1f} dB per tensor,"
        f" {worst.per_channel:.1f} dB per channel"
    )
    if gain <= 0:
        reason += "; it must be symmetric, which costs these weights more than channels gain"
    if v66:
        reason += "; DSP v66 is quantized per tensor (AIMET's configurations)"
    return Advice(
        Topic.CONVOLUTION_GRIDS, "per channel" if choice.per_channel else "per tensor", reason, numbers
    )


def held_weight_bits(view: ModelView) -> int:
    """The width that the override file gives most weights, of those that the quantizer takes; 8 if none."""
    held = Counter(
        view.encodings[weight.name].bitwidth
        for weight in distinct(view.weights.converted())
        if weight.name in view.encodings and not view.encodings[weight.name].is_float
    )
    return max(held.keys() & widths("weights"), key=lambda bits: (held[bits], bits), default=8)


def weight_bits(
    choice: Choice,
    weights: list[ConvertedWeight],
    settled: Settled,
    hexagon: int | None,
    held: Sequence[LayerFigures] = (),
) -> Advice:
    """What the chosen width leaves of the weights; `held` are those that the override file has grids for."""
    width = choice.weights_bitwidth
    figures = layer_figures(weights, width, choice.per_channel, choice.per_row)
    least = threshold("weight_sqnr")
    poor = [row for row in figures if row.chosen < least]
    said = "given (--weights-bitwidth); " if "weights_bitwidth" in settled else ""
    if not figures and held:
        return _held_weights(held, width, said)
    if not figures:
        return Advice(
            Topic.WEIGHTS, bits(width), f"{said}no stored weights of convolutions, matrices or recurrent ops"
        )
    worst = figures[0]
    numbers: dict[str, float | str] = {"worst": worst.weight, "worst_db": worst.chosen, "poor": len(poor)}
    if not poor:
        kept = f"all {len(figures)} weights keep" if len(figures) > 1 else "the one weight keeps"
        reason = f"{said}{kept} {worst.chosen:.1f} dB or more at {bits(width)}"
        return Advice(Topic.WEIGHTS, bits(width), reason, numbers)
    reason = (
        f"{said}{len(poor)} of {len(figures)} weights keep{'s' * (len(poor) == 1)} less than {least:g} dB at"
        f" {bits(width)}, worst {worst.weight!r}: {worst.chosen:.1f} dB"
    )
    wide = wide_weights()
    if choice.runtime is not Runtime.HTP:
        better = sum(row.per_channel >= least for row in poor)
        reason += f"; equalizing may bring {better} of them up (see CLE)" if better else ""
    elif width == 4:
        reason += "; 4 bits need quantization-aware training"
    elif hexagon is not None and hexagon >= wide.hexagon:
        reason += (
            "; if accuracy is short, plan again with --act-bitwidth 16 --weights-bitwidth 16, which"
            f" Hexagon v{wide.hexagon} and newer take"
        )
    else:
        reason += f"; 16-bit weights need Hexagon v{wide.hexagon} or newer"
    return Advice(Topic.WEIGHTS, bits(width), reason, numbers)


def _held_weights(held: Sequence[LayerFigures], width: int, said: str) -> Advice:
    """What the override file's grids leave, where it has one for every weight."""
    worst, least = held[0], threshold("weight_sqnr")
    every = f"all {len(held)} weights have" if len(held) > 1 else "the one weight has"
    reason = (
        f"{said}{every} width and grid from the override file; worst {worst.weight!r}: {worst.chosen:.1f} dB"
    )
    poor = sum(row.chosen < least for row in held)
    if poor:
        finer = worst.per_channel - worst.chosen >= threshold("channel_spread_gain")
        reason += f", less than {least:g}: it needs more bits" + " or a grid for each channel" * finer
    numbers: dict[str, float | str] = {"worst": worst.weight, "worst_db": worst.chosen, "poor": poor}
    return Advice(Topic.WEIGHTS, bits(width), reason, numbers)


def four_bits(choice: Choice, weights: list[ConvertedWeight], settled: Settled, v66: bool) -> list[Advice]:
    """Whether 4-bit weights are worth a try, where the user did not set the width."""
    if "weights_bitwidth" in settled or not weights:
        return []
    if v66:
        reason = "no source known to dlclint says that Hexagon v66 takes them"
        return [Advice(Topic.FOUR_BIT_WEIGHTS, "no", reason, by_source=True)]
    figures = layer_figures(weights, choice.weights_bitwidth, choice.per_channel, choice.per_row)
    taken = narrow_weights()
    other = sorted({row.op for row in figures} - taken.ops)
    least = threshold("weight_sqnr")
    ranked = sorted(figures, key=lambda row: row.at_4_bits)
    if not ranked:
        return []
    keeping = [row for row in ranked if row.at_4_bits >= least and row.op in taken.ops]
    numbers = {
        "keeping": len(keeping),
        "weights": len(ranked),
        "worst_db": ranked[0].at_4_bits,
        "best_db": ranked[-1].at_4_bits,
    }
    if other:
        reason = f"no source known to dlclint says that HTP takes them in {', '.join(other)}"
        return [Advice(Topic.FOUR_BIT_WEIGHTS, "no", reason, numbers, by_source=True)]
    if len(keeping) < len(ranked):
        most = f"{len(keeping)} of {len(ranked)}" if keeping else f"none of {len(ranked)}"
        reason = (
            f"{most} weights {'keep' if len(keeping) > 1 else 'keeps'} {least:g} dB at 4 bits"
            f" ({ranked[0].at_4_bits:.1f} to {ranked[-1].at_4_bits:.1f} dB, worst {ranked[0].weight!r});"
            " they need quantization-aware training"
        )
        return [Advice(Topic.FOUR_BIT_WEIGHTS, "no", reason, numbers)]
    before, after = (
        sum(_packed(choice, weight, width) for weight in {w.name: w for w in weights}.values())
        for width in (choice.weights_bitwidth, 4)
    )
    reason = (
        f"all {len(ranked)} weights keep {ranked[0].at_4_bits:.1f} dB or more at 4 bits, and would take"
        f" {size_text(after)} for {size_text(before)}; HTP compiled such layers when measured: plan with"
        " --weights-bitwidth 4"
    )
    return [Advice(Topic.FOUR_BIT_WEIGHTS, "worth a try", reason, numbers)]


def _packed(choice: Choice, weight: ConvertedWeight, width: int) -> int:
    by_channel = choice.per_channel and weight.use.node.op_type in CONVOLUTIONS
    return packed_bytes(weight.use.tensor.shape, width, weight.use.axis if by_channel else None)


def range_search(choice: Choice, weights: list[ConvertedWeight]) -> tuple[Choice, list[Advice]]:
    """How the ends of the weights' ranges are determined."""
    if not weights:
        return choice, []
    whole = [w for w in weights if not (choice.per_channel and w.use.node.op_type in CONVOLUTIONS)]
    gains = []
    for weight in whole:
        try:
            clipped_grid = best_clipping(weight, choice.weights_bitwidth, threshold("long_tail_gain"))
        except Unavailable:
            continue
        if clipped_grid is not None:
            gains.append((clipped_grid.gain, weight.name))
    if gains:
        gain, name = max(gains)
        reason = f"outliers cost up to {gain:.1f} dB in {len(gains)} of {len(whole)} weights; worst {name!r}"
        numbers = {"weights": len(gains), "gain_db": gain}
        advice = Advice(Topic.WEIGHT_RANGES, "enhanced (searched)", reason, numbers)
        return replace(choice, param_quantizer="enhanced"), [advice]
    if choice.per_channel:
        reason = (
            "per-channel encodings must be symmetric; no weight has outliers that a searched range would cut"
        )
        return replace(choice, param_quantizer="symmetric"), [
            Advice(Topic.WEIGHT_RANGES, "symmetric", reason)
        ]
    gained = f"no weight of {len(whole)} gains" if len(whole) > 1 else "the one weight does not gain"
    reason = f"{gained} {threshold('long_tail_gain'):.3g} dB by a searched range"
    return choice, [Advice(Topic.WEIGHT_RANGES, "tf (minimum and maximum)", reason)]


def restricted_steps(choice: Choice, view: ModelView) -> tuple[Choice, Advice]:
    """The steps of 16-bit weights that HTP computes with, which need symmetric weights."""
    products = sum(1 for _ in computed_products(view))
    reason = (
        "HTP computes with 16-bit weights from -0x8000 to 0x7F7F alone (80-63442-10, HTP), which"
        " --restrict_quantization_steps keeps, for symmetric weights; nothing before the device checks it"
    )
    if products:
        reason += (
            f"; {counted(products, 'product')} of two activations take{'s' * (products == 1)} an asymmetric"
            " first and a symmetric second input"
        )
    numbers = {"products": products}
    advice = Advice(Topic.WEIGHT_STEPS, "-0x8000 to 0x7F7F", reason, numbers)
    return replace(choice, param_quantizer="symmetric"), advice


def biases(choice: Choice, view: ModelView, settled: Settled) -> tuple[Choice, Advice]:
    """The width of biases: 32 unless the user chose 8."""
    errors = list(bias_errors(view))
    width = settled.get("bias_bitwidth", 32)
    choice = replace(choice, bias_bitwidth=width)
    said = "given (--bias-bitwidth); " if "bias_bitwidth" in settled else ""
    if not errors:
        reason = "they are added in 32 bits, and the default of 8 gains nothing but size"
        return choice, Advice(Topic.BIASES, bits(width), said + reason)
    worst = max(errors, key=lambda row: (row.output_steps or 0.0, row.vanishing_share))
    vanish = sum(row.vanishing for row in errors)
    total = sum(int(np.count_nonzero(row.values)) for row in errors)
    reason = f"{said}at 8 bits {vanish} of {total} biases would become 0"
    numbers: dict[str, float | str] = {"biases": total, "vanishing": vanish}
    if worst.output_steps is not None:
        reason += f", and the worst errs by {worst.output_steps:.2g} steps of its output (estimated)"
        numbers["output_steps"] = worst.output_steps
    reason += "; they are added in 32 bits"
    cut = list(saturations(view, choice.kind)) if choice.runtime is Runtime.HTP else []
    cut = [each for each in cut if each.weight.name not in view.encodings]
    if cut:
        first = cut[0]
        reason += (
            f", beyond which those of {counted(len(cut), 'layer')} are (channel {first.channel} of"
            f" {first.weight.name!r}): --emit-overrides writes weight scales at which they fit"
        )
        numbers["saturated"] = len(cut)
    return choice, Advice(Topic.BIASES, bits(width), reason, numbers)


def equalization(
    choice: Choice, view: ModelView, weights: list[ConvertedWeight], v66: bool
) -> tuple[Choice, list[Advice]]:
    """Whether the quantizer's cross-layer equalization is worthwhile."""
    if not any(weight.use.node.op_type == "Conv" for weight in weights):
        return choice, []
    pairs = len(view.cle.pairs)
    total = len(view.cle.convolutions)
    numbers: dict[str, float | str] = {"pairs": pairs, "convolutions": total}
    among = f"{counted(pairs, 'pair')} among {counted(total, 'convolution')}"
    if choice.per_channel:
        reason = (
            f"{among}, but weights with a grid for each channel need none; activations may gain: compare"
            " accuracy after dlclint equalize"
        )
        return choice, [Advice(Topic.CLE, "no", reason, numbers)]
    if not pairs:
        reason = f"no pair among {total} convolutions matches the documented chains (see rules cle/...)"
        reason += "; dlclint equalize --extended may reach more" if v66 else ""
        return choice, [Advice(Topic.CLE, "no", reason, numbers)]
    clipped = cuts(view.cle.pairs)
    if clipped.destroyed:
        worst = clipped.known[0]
        numbers |= {"relu6_above": worst.share, "relu6_kept_db": worst.kept}
        reason = (
            f"{among}, but it makes Relu of ReLU6, above which {worst.share:.1%} lies at the worst, so that"
            f" {worst.kept:.1f} dB of that output are kept; dlclint equalize takes the other pairs"
        )
        return choice, [Advice(Topic.CLE, "no", reason, numbers)]
    if clipped.unknown:
        numbers |= {"relu6_unknown": clipped.unknown}
        reason = (
            f"{among}, {clipped.unknown} of them across ReLU6, which becomes Relu; batch normalization, which"
            " would say how much that changes, is folded: dlclint equalize --relu6 replace measures it, or"
            " leaves them alone"
        )
        return choice, [Advice(Topic.CLE, "no, unless measured", reason, numbers)]
    if clipped.doubtful:
        numbers |= {"relu6_kept_by_all_db": clipped.together}
        reason = (
            f"{among}, {len(clipped.known)} of them across ReLU6, which becomes Relu; together that keeps at"
            f" most {clipped.together:.1f} dB: dlclint equalize --relu6 replace measures it, or leaves them"
            " alone"
        )
        return choice, [Advice(Topic.CLE, "no, unless measured", reason, numbers)]
    bare = sum(not pair.is_whole for pair in view.cle.pairs)
    reason = f"{among}, and one grid for all channels of a weight"
    if bare:
        reason += f"; {bare} of {pairs} lack batch normalization, so high biases stay"
    if clipped.known:
        worst = clipped.known[0]
        reason += f"; ReLU6 becomes Relu, which keeps {worst.kept:.1f} dB of its output at the worst"
    return replace(choice, cle=True), [Advice(Topic.CLE, "yes", reason, numbers)]
