"""Rules on the values of the weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dlclint.analysis.spectra import is_transform
from dlclint.analysis.weights.biases import converted_bias
from dlclint.analysis.weights.clipping import best_clipping
from dlclint.analysis.weights.entries import WeightEntry
from dlclint.analysis.weights.noise import (
    channel_sqnr,
    decibels,
    per_channel_scale,
    per_tensor_scale,
    rounding_noise,
    sqnr,
)
from dlclint.analysis.weights.store import ConvertedWeight, distinct
from dlclint.diagnostic import Confidence, Severity, Source, size_text
from dlclint.encodings import grid
from dlclint.model.op_facts import CONVOLUTIONS, MATRICES, RECURRENT
from dlclint.model.tensors import Unavailable
from dlclint.rule import Finding, ModelContext
from dlclint.target import Runtime
from dlclint_rules.causes import here
from dlclint_rules.quantization.reporting import (
    QUANTIZATION,
    in_weights,
    is_per_tensor,
    is_quantized,
    option,
    quantization_rule,
    worst_evidence,
)
from dlclint_schemas.quantization import widths
from dlclint_schemas.thresholds import threshold

MINIMUM_RANGE = Source(QUANTIZATION, "algorithm, minimum range")


def _weights(context: ModelContext) -> list[ConvertedWeight]:
    """The weights that become integers, except per-block ones, which only the file describes.

    In a QDQ model that is not quantized again, they are those that it carries as integers.
    """
    return [
        weight
        for weight in distinct(context.view.as_float.weights.converted())
        if (
            context.target.quantize
            if (entry := _entry(context, weight)) is None
            else not (entry.is_float or entry.in_blocks)
        )
    ]


def _entry(context: ModelContext, weight: ConvertedWeight) -> WeightEntry | None:
    """What the override file of the model, or the model itself, states about the weight."""
    return context.view.encodings.get(weight.name)


def _bits(context: ModelContext, weight: ConvertedWeight) -> int:
    entry = _entry(context, weight)
    return context.target.kind.weights_bitwidth if entry is None else entry.bitwidth


def _by_channel(context: ModelContext, weight: ConvertedWeight) -> bool:
    """Whether each channel of the weight gets a separate grid."""
    entry = _entry(context, weight)
    if entry is not None and entry.scale is not None:
        return entry.by_channel
    return context.target.kind.per_channel and weight.use.node.op_type in CONVOLUTIONS


def _scale(context: ModelContext, weight: ConvertedWeight, bits: int) -> float | grid.Floats:
    entry = _entry(context, weight)
    if entry is not None and entry.scale is not None and bits == entry.bitwidth:
        if len(entry.scale) == 1:
            return float(entry.scale[0])
        if len(entry.scale) == len(weight.minimum):
            return entry.scale
    return per_channel_scale(weight, bits) if _by_channel(context, weight) else per_tensor_scale(weight, bits)


def _step_of_whole(context: ModelContext, weight: ConvertedWeight, bits: int) -> float | grid.Floats:
    """The step of a weight with one grid; its own where the entry is too wide, whatever the channels need."""
    scale, own = _scale(context, weight, bits), per_tensor_scale(weight, bits)
    is_wide = np.max(scale) >= own * 10.0 ** (threshold("channel_spread_gain") / 20.0)
    return own if is_wide else scale  # encodings/weight-range-wasted reports the entry


def _of_quantizer(context: ModelContext, weights: list[ConvertedWeight]) -> list[ConvertedWeight]:
    """The weights whose range the quantizer determines, without an entry."""
    return [w for w in weights if (entry := _entry(context, w)) is None or entry.scale is None]


def _dead(weight: ConvertedWeight) -> npt.NDArray[np.intp]:
    """Channels that round to zero even on the 16-bit grid of the whole weight."""
    magnitude = np.maximum(np.abs(weight.minimum), np.abs(weight.maximum))
    return np.flatnonzero(magnitude <= magnitude.max() / grid.steps(16) / 2)


def _is_transform(weight: ConvertedWeight) -> bool:
    use = weight.use
    shape = [size for size in use.tensor.shape if size != 1]
    return is_transform(use.tensor, len(shape) == 2 and use.channels == shape[1] and use.axis in (1, -1))


@quantization_rule(weights=True)
def range_too_small(context: ModelContext) -> Iterator[Finding]:
    """A weight's range is below the documented minimum.

    Why: the quantizer widens a range to a minimum, 0.0001 in the page's text, 0.01 in its formula, so the
    grid is coarser than the values need; all of them may become zero.
    What to do: find out why the weight is so small; scale it up and the next layer down, or remove the layer.
    """
    if not is_quantized(context):
        return
    bits, minimum = context.target.kind.weights_bitwidth, grid.MINIMUM_RANGE
    rows: list[tuple[ConvertedWeight, float]] = []
    weights = _of_quantizer(context, _weights(context))
    for weight in weights:
        low, high = np.minimum(weight.minimum, 0.0), np.maximum(weight.maximum, 0.0)
        if _by_channel(context, weight):
            spans = 2.0 * np.maximum(-low, high)
            spans = np.delete(spans, _dead(weight))
        else:
            spans = np.array([high.max() - low.min()])
        spans = spans[(spans < minimum) & (spans > 0.0)]
        if len(spans):
            rows.append((weight, float(spans.min())))
    if not rows:
        return
    rows.sort(key=lambda row: row[1])
    worst, span = rows[0]
    formula = grid.MINIMUM_RANGE_IN_FORMULA
    signal = _signal_of(worst, span)
    left, left_by_formula = (
        float(decibels(signal, rounding_noise(width / grid.steps(bits), signal)))
        for width in (minimum, formula)
    )
    yield Finding(
        in_weights(
            f"range below the minimum of {minimum:g} ({formula:g} in the page's formula), so a coarser grid,",
            f"range {span:.3g}, at {bits} bits {left:.1f} dB ({left_by_formula:.1f} dB by the formula)",
            rows,
            len(weights),
            "{:.3g}",
        ),
        Severity.WARNING,
        MINIMUM_RANGE,
        help="scale the weight up and the next layer down, or drop the layer",
        node=worst.use.node,
        tensor=worst.name,
        evidence={"weights": len(rows), "range": span, "sqnr_db": left, **worst_evidence(rows)},
    )


def _signal_of(weight: ConvertedWeight, span: float) -> float:
    """Mean square of the weight, or of the channels that are at most as wide as `span`."""
    widths_of = 2.0 * np.maximum(-weight.minimum, weight.maximum)
    narrow = weight.mean_square[(widths_of <= span) & (weight.mean_square > 0)]
    return float((narrow if len(narrow) else weight.mean_square).mean())


@quantization_rule(follows=here("model/non-finite-weights"), weights=True)
def long_tail(context: ModelContext) -> Iterator[Finding]:
    """A few outliers make a weight's grid coarse.

    Why: by default, the grid covers the true minimum and maximum. If few values are far out, a range that
    cuts them off loses less than the finer step gains. The message gives the gain for the range with the
    least mean square error.
    What to do: pass --param_quantizer enhanced, which searches for such a range.
    """
    if not is_quantized(context):
        return
    bits, least = context.target.kind.weights_bitwidth, threshold("long_tail_gain")
    weights = _of_quantizer(context, _weights(context))
    weights = [weight for weight in weights if not _by_channel(context, weight)]
    tails = []
    for weight in weights:
        try:
            clipped = best_clipping(weight, bits, least)
        except Unavailable:
            continue
        if clipped is not None:
            tails.append((weight, clipped))
    if not tails:
        return
    tails.sort(key=lambda row: -row[1].gain)
    worst, best = tails[0]
    yield Finding(
        in_weights(
            f"outliers cost {least:.3g} dB or more at {bits} bits",
            f"{worst.low:.3g} to {worst.high:.3g} gives {best.full_sqnr:.1f} dB, {best.low:.3g} to"
            f" {best.high:.3g} gives {best.clipped_sqnr:.1f} dB with {best.outside} of"
            f" {worst.statistics.count} values cut off",
            [(weight, clipped.gain) for weight, clipped in tails],
            len(weights),
            "+{:.1f} dB",
        ),
        Severity.WARNING,
        option("snpe-dlc-quant", "--param_quantizer"),
        Confidence.INFERRED,
        "pass --param_quantizer enhanced (qairt-quantizer: --param_quantizer_calibration sqnr)",
        worst.use.node,
        worst.name,
        evidence={
            "weights": len(tails),
            "gain_db": best.gain,
            "outside": best.outside,
            **worst_evidence([(w, c.gain) for w, c in tails]),
        },
    )


@quantization_rule(follows=here("model/non-finite-weights"), weights=True)
def channel_spread(context: ModelContext) -> Iterator[Finding]:
    """The channels of a weight need ranges too different for one grid.

    Why: with one grid for the complete weight, the widest channel determines the step, and each narrow
    channel keeps only a few steps. The message gives the SQNR of the channels with either grid, averaged in
    dB, because the following layers rescale narrow channels; it is predicted from the weight's own ranges.
    What to do: --use_per_channel_quantization for convolutions, --use_per_row_quantization for MatMul and
    fully connected layers; DSP v66 quantizes per tensor: equalize (--algorithms cle, or `dlclint equalize`).
    For LSTM, GRU and RNN no grid for each row is documented: use wider weights, or float.
    """
    if not is_quantized(context):
        return
    least = threshold("channel_spread_gain")
    weights = [weight for weight in _weights(context) if not _by_channel(context, weight)]
    rows: list[tuple[ConvertedWeight, float]] = []
    for weight in weights:
        bits = _bits(context, weight)
        whole = channel_sqnr(weight, _step_of_whole(context, weight, bits))
        gain = channel_sqnr(weight, per_channel_scale(weight, bits)) - whole
        if np.isfinite(gain) and gain >= least and whole < threshold("channel_sqnr"):
            rows.append((weight, gain))
    if not rows:
        return
    rows.sort(key=lambda row: -row[1])
    worst, gain = rows[0]
    bits = _bits(context, worst)
    step = _step_of_whole(context, worst, bits)
    whole = channel_sqnr(worst, step)
    narrow = int(np.count_nonzero(worst.maximum - worst.minimum < threshold("channel_steps") * step))
    yield Finding(
        in_weights(
            f"one grid for all channels costs {least:.3g} dB or more at {bits} bits",
            f"{whole:.1f} dB on average over the channels, {whole + gain:.1f} dB with a grid for each;"
            f" {narrow} of {len(worst.minimum)} channels span less than {threshold('channel_steps'):g} steps",
            rows,
            len(weights),
            "{:.1f} dB",
        ),
        Severity.WARNING,
        option("snpe-dlc-quant", "--use_per_channel_quantization"),
        Confidence.INFERRED,
        _spread_help(context, [weight for weight, _ in rows]),
        worst.use.node,
        worst.name,
        evidence={
            "weights": len(rows),
            "per_tensor_db": whole,
            "per_channel_db": whole + gain,
            "narrow_channels": narrow,
            **worst_evidence(rows),
        },
    )


def _spread_help(context: ModelContext, weights: list[ConvertedWeight]) -> str:
    encoded = [weight for weight in weights if weight.name in context.view.encodings]
    if encoded and is_per_tensor(context.target):
        return (
            "DSP v66 quantizes weights per tensor: equalize the float model (dlclint equalize), and make its"
            " encodings then"
        )
    if encoded:
        whose = "their encodings hold" if len(encoded) > 1 else "its encoding holds"
        return f"{whose} {'these' if len(encoded) > 1 else 'this'} to one grid: give one encoding per channel"
    ops = {weight.use.node.op_type for weight in weights}
    convolutions, matrices = bool(ops & set(CONVOLUTIONS)), bool(ops & set(MATRICES))
    recurrent = " and ".join(sorted(ops & set(RECURRENT)))
    if recurrent and not convolutions and not matrices:
        return f"no grid for each row is documented for {recurrent}: give it wider weights, or keep it float"
    if is_per_tensor(context.target):
        return "DSP v66 quantizes weights per tensor: equalize with --algorithms cle or dlclint equalize"
    options = ["--use_per_channel_quantization"] * convolutions + ["--use_per_row_quantization"] * matrices
    return (
        f"pass {' and '.join(options)} to the quantizer"
        + ("" if context.target.means(Runtime.HTP) else "; on DSP v66, which is per tensor, equalize instead")
        + (f"; for {recurrent} no grid for each row is documented" if recurrent else "")
    )


@quantization_rule(follows=here("model/non-finite-weights", "quantization/long-tail"), weights=True)
def bit_width(context: ModelContext) -> Iterator[Finding]:
    """The chosen width is too narrow for some weights.

    Why: at 8 bits, normal weights keep about 38 dB, at 4 bits 14 dB. If less than 20 dB remain, the noise has
    more than a hundredth of the signal's power. With 4 bits, two values share a byte, and each channel starts
    on a new byte.
    What to do: use a wider --weights_bitwidth, for only these weights with an override file, or a grid for
    each channel; 4 bits need quantization-aware training.
    """
    if not is_quantized(context):
        return
    least = threshold("weight_sqnr")
    weights = _weights(context)
    rows = []
    for weight in weights:
        left = sqnr(weight, _scale(context, weight, _bits(context, weight)))
        if 0.0 < left < least:
            rows.append((weight, left))
    if rows:
        rows.sort(key=lambda row: row[1])
        worst, left = rows[0]
        bits = _bits(context, worst)
        wider = min((width for width in widths("weights") if width > bits), default=None)
        better = "" if wider is None else f", {sqnr(worst, _scale(context, worst, wider)):.1f} dB at {wider}"
        yield Finding(
            in_weights(
                f"less than {least:g} dB left at {bits} bits",
                f"{left:.1f} dB{better}",
                rows,
                len(weights),
                "{:.1f} dB",
            ),
            Severity.WARNING,
            option("snpe-dlc-quant", "--weights_bitwidth"),
            Confidence.INFERRED,
            _width_help(context, worst),
            worst.use.node,
            worst.name,
            evidence={"weights": len(rows), "sqnr_db": left, "bitwidth": bits, **worst_evidence(rows)},
        )
    if context.target.kind.weights_bitwidth == 4 and weights:
        yield _packing(context, weights)


def _width_help(context: ModelContext, weight: ConvertedWeight) -> str:
    entry, bits = _entry(context, weight), _bits(context, weight)
    if entry is not None and entry.scale is not None:
        fitted = per_channel_scale if entry.by_channel else per_tensor_scale
        left = sqnr(weight, fitted(weight, bits))
        if left >= threshold("weight_sqnr"):
            return f"make its encoding again: the range of its own values keeps {left:.1f} dB at {bits} bits"
    return "give them more bits (--weights_bitwidth, or an override file for these alone)"


def _packing(context: ModelContext, weights: list[ConvertedWeight]) -> Finding:
    unique = {weight.name: weight for weight in weights}.values()
    whole = sum(weight.statistics.count for weight in unique)
    packed = sum(
        len(weight.minimum) * -(-weight.values // 2)
        if _by_channel(context, weight)
        else -(-weight.statistics.count // 2)
        for weight in unique
    )
    return Finding(
        f"weights take {size_text(packed)} at 4 bits if packed, {size_text(whole)} at 8; the"
        " quantization page names --pack_4_bit_weights for it, the tools page lists no such option",
        Severity.INFO,
        Source(QUANTIZATION, "packed 4-bit weights"),
        help="see whether your snpe-dlc-quant --help knows --pack_4_bit_weights",
        evidence={"bytes_at_8_bits": whole, "bytes_packed": packed},
    )


@quantization_rule(weights=True)
def dead_channel(context: ModelContext) -> Iterator[Finding]:
    """Output channels of a weight are zero.

    Why: they cost time and memory and compute nothing. With a grid for each channel, their range is empty
    (scales of 1.19e-07, and "Bad quantization: zero scale!" on HTA). A channel counts as dead if it rounds to
    zero even on a 16-bit grid over the complete weight, including a folded batch normalization. Rows of zeros
    in a Fourier transform, such as the sine of frequency 0, do not count. In a QDQ model only the integers
    are known: one grid for all channels may have rounded one to zero.
    What to do: prune the channels, or check the training that produced them.
    """
    if not is_quantized(context):
        return  # per-channel statistics of every weight would double the time of a plain check
    weights = _weights(context)
    rows = [
        (weight, float(len(dead)))
        for weight in weights
        if len(dead := _dead(weight)) and not _is_transform(weight)
    ]
    if not rows:
        return
    rows.sort(key=lambda row: -row[1])
    worst, count = rows[0]
    target = context.target
    harmful = _by_channel(context, worst) or target.means(Runtime.AIP)
    first = [int(channel) for channel in _dead(worst)[:10]]
    yield Finding(
        in_weights("dead output channels", f"{count:g} of {len(worst.minimum)}", rows, len(weights), "{:g}"),
        Severity.WARNING if harmful else Severity.INFO,
        Source("qualcomm/aimet#739; hisrg/SNPE#1", "degenerate ranges"),
        Confidence.FIELD_REPORTED,
        "prune them" + _with_bias(worst) + _unless_rounded(context, worst),
        worst.use.node,
        worst.name,
        evidence={"weights": len(rows), "dead": int(count), "first": first, **worst_evidence(rows)},
    )


def _with_bias(weight: ConvertedWeight) -> str:
    """What pruning also changes: the bias of a dead channel is a constant output."""
    values = converted_bias(weight)
    dead = _dead(weight)
    if values is None or len(values) != len(weight.minimum) or not values[dead].any():
        return ""
    return ", and move the constant that their bias makes into the next layer"


def _unless_rounded(context: ModelContext, weight: ConvertedWeight) -> str:
    """What to do where the grid of a QDQ model may have made a channel zero."""
    if (
        context.view.carried is None
        or weight.name not in context.view.encodings
        or _by_channel(context, weight)
    ):
        return ""
    return (
        "; where they are not zero in the float model, one grid rounded them away: give one for each channel"
    )
