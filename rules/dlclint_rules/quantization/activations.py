"""Rules on biases and activations, some of them by estimated ranges."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dlclint.analysis.masks import find_masks
from dlclint.analysis.norms import SumOfSquares, means_of_squares, sums_of_squares
from dlclint.analysis.shared import ESTIMATED, ends_text, short
from dlclint.analysis.weights.biases import BiasError, bias_errors, saturations
from dlclint.analysis.weights.store import home
from dlclint.diagnostic import About, Confidence, Severity, Source, counted
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext
from dlclint.target import Runtime, Target
from dlclint_rules import places
from dlclint_rules.quantization.reporting import in_weights, is_quantized, option, others, quantization_rule
from dlclint_schemas.precision import OBSERVED
from dlclint_schemas.thresholds import threshold


@quantization_rule(weights=True)
def bias_bits(context: ModelContext) -> Iterator[Finding]:
    """The error of an 8-bit bias is too large for its layer.

    Why: by default, biases have 8 bits, with one grid for all channels of a layer, though they are added to a
    32-bit accumulator. If a folded batch normalization leaves large biases, the error shifts every value of a
    channel and does not average out. If the range of the output can be estimated, the message gives the error
    in steps of the output, and the finding is a warning. Otherwise it gives the number of biases that round
    to zero, and the effect on the output is unknown.
    What to do: pass --bias_bitwidth 32.
    """
    kind = context.target.kind
    if not kind.quantize or kind.bias_bitwidth != 8 or kind.per_channel:
        return
    weight_entries = context.view.encodings
    errors = [
        row
        for row in bias_errors(context.view.as_float)
        if (entry := weight_entries.get(row.name)) is None or entry.bitwidth == 8
    ]
    bad = [row for row in errors if _is_bad(row)]
    if not bad:
        return
    bad.sort(key=lambda row: (-(row.output_steps or 0.0), -row.vanishing_share))
    worst = bad[0]
    alive = int((worst.values != 0).sum())
    texts = [f"{worst.vanishing} of {alive} become 0", f"error up to {worst.error:.3g}"]
    if worst.output_steps is not None:
        texts[1] += f", {worst.output_steps:.2g} steps of the output (estimated range)"
    if worst.accumulator_steps is not None:
        texts.append(f"{worst.accumulator_steps:.3g} accumulator steps (estimated range)")
    yield Finding(
        in_weights(
            "8 bits are too few for the bias",
            ", ".join(texts),
            [(row.weight, 100 * row.vanishing_share) for row in bad],
            len(errors),
            "{:.0f} % become 0",
            "layer",
            "with a bias",
        ),
        # Where the output's range is unknown, the effect on the output is too.
        Severity.INFO if worst.output_steps is None else Severity.WARNING,
        option("snpe-dlc-quant", "--bias_bitwidth"),
        Confidence.INFERRED,
        "pass --bias_bitwidth 32",
        worst.weight.use.node,
        evidence={
            "layers": len(bad),
            "vanishing": worst.vanishing,
            "error": worst.error,
            **({} if worst.output_steps is None else {"output_steps": worst.output_steps}),
            **({} if worst.accumulator_steps is None else {"accumulator_steps": worst.accumulator_steps}),
        },
    )


@quantization_rule(about=About.ACCURACY, weights=True)
def bias_saturates(context: ModelContext) -> Iterator[Finding]:
    """A bias will not fit 32 bits at input scale times weight scale.

    Why: with a scale for each channel, a channel with weights close to zero (dead or pruned) gets a tiny
    scale, so its bias has more steps than the 32-bit accumulator can count, and is cut: one such channel with
    a bias of 3.0 left 0.46 dB of a layer's output, and 44.6 dB with a floor for the weight scale (measured).
    The weight's scale is computed from its values, the input's from its known or estimated range; if neither
    is available, the message gives the range below which the bias is cut. With an override file,
    encodings/bias-saturates checks its scales.
    What to do: raise the channel's weight scale to the floor that the message gives, with an override file.
    This costs nothing, because the weights are close to zero. Or prune the channel.
    """
    if not is_quantized(context) or Runtime.HTP not in context.target.considered:
        return
    view = context.view.as_float
    weight_entries = context.view.encodings
    saturated = [
        each for each in saturations(view, context.target.kind) if each.weight.name not in weight_entries
    ]
    if not saturated:
        return
    saturated.sort(key=lambda each: (each.span is None, -each.limit))
    worst = saturated[0]
    floor, node = float(worst.floors.max()), worst.weight.use.node
    more = f" ({worst.channels} channels so)" if worst.channels > 1 else ""
    if len(saturated) > 1:
        more += f"; {counted(len(saturated) - 1, 'more layer')} like it"
    is_estimated = worst.span is not None and worst.span.basis == ESTIMATED
    effect = f"is cut where the range of {short(node.input(0))} is below {worst.limit:.3g}"
    if worst.span is not None:
        left = worst.span.reach / worst.limit
        effect = f"is cut to {left:.2g} of it at the input's range, {ends_text(worst.span)}"
    yield Finding(
        f"{short(worst.weight.name)}: with scale {worst.scale:.3g} in channel {worst.channel}, which its own"
        f" values give it, the bias of {worst.value:.3g} {effect}{more}",
        Severity.INFO if worst.span is None else Severity.WARNING,
        Source("microsoft/onnxruntime#22020, #25278", "a bias clipped at int32"),
        Confidence.INFERRED if is_estimated else Confidence.FIELD_REPORTED,
        f"give the channel a weight scale of {floor:.3g} or more, by an override file"
        + (" (for an input range of 1)" if worst.span is None else ""),
        node,
        worst.weight.name,
        evidence={
            "biases": len(saturated),
            "channel": worst.channel,
            "limit": worst.limit,
            "floor": floor,
            "channels": worst.channels,
        },
        related=tuple(
            places.source(node.graph, name, role)
            for name, role in ((worst.name, "the bias"), (node.input(0), "the op's input"))
            if name
        ),
    )


def _is_bad(row: BiasError) -> bool:
    if row.output_steps is not None:
        return row.output_steps > threshold("bias_error")
    return row.vanishing_share > threshold("vanishing_bias_share")


@quantization_rule(about=About.ACCURACY, weights=True)
def fp16_overflow(context: ModelContext) -> Iterator[Finding]:
    """A number does not fit float16.

    Why: beyond 65504 a float16 is infinite, and infinity times zero or minus infinity is not a number. The
    runtime gpu_float16 and DLCs with --float_bitwidth 16 compute in float16. The rule reports activations if
    their range can be estimated from batch normalization statistics; these ranges are estimates. A sum of
    squares (ReduceL2, ReduceSumSquare, LpNormalization, ReduceSum of x * x) overflows long before its root
    would: users report that a ReduceL2 did on target. If nothing is known about the values, the message gives
    the root mean square at which the sum overflows. A mean of squares, as in a decomposed root mean square
    normalization, overflows if one value exceeds 256; normalizations that are one op do not (measured).
    What to do: scale the weight down and the next layer up. Divide the squared tensor by a constant, and
    multiply the root by it, or omit the multiplication if both sides of a division are scaled.
    (quantization/mask-constant reports attention masks.)
    """
    target = context.target
    halved = target.kind.float_bitwidth == 16 or Runtime.GPU_FLOAT16 in target.runtimes
    if not halved:
        return
    limit = threshold("float16_max")
    masks = {home(mask.graph, mask.name) for mask in find_masks(context.view, limit)}  # mask-constant's
    rows = []
    for graph in context.view.model.graphs():
        stored = [*graph.initializers, *(n.output(0) for n in graph.nodes if n.op_type == "Constant")]
        for name in stored:
            tensor_statistics = context.view.weights.statistics(graph, name)
            if (
                tensor_statistics is None
                or tensor_statistics.magnitude <= limit
                or home(graph, name) in masks
            ):
                continue
            if graph.consumers(name):
                extreme = (
                    tensor_statistics.minimum
                    if -tensor_statistics.minimum > tensor_statistics.maximum
                    else tensor_statistics.maximum
                )
                rows.append((graph.consumers(name)[0], name, extreme))
    rows.sort(key=lambda row: -abs(row[2]))
    if rows:
        yield _overflow(
            f"numbers beyond {limit:g}, the largest float16, in {len(rows)} stored tensor",
            rows,
            Confidence.DOCUMENTED,
            f"bring it into range before conversion, or {_without_float16(target)}",
        )
    far = []
    for name, estimate in context.view.activations.items():
        extreme = max(estimate.minimum, estimate.maximum, key=abs)
        producer = context.view.model.graph.producer(name)
        if producer is None or any(home(producer.graph, read) in masks for read in producer.inputs):
            continue
        if abs(extreme) > limit:
            far.append((producer, name, extreme))
    far.sort(key=lambda row: -abs(row[2]))
    if far:
        yield _overflow(
            f"estimated range beyond {limit:g}, the largest float16, in {len(far)} activation",
            far,
            Confidence.INFERRED,
            f"measure its range on real data, or {_without_float16(target)}",
        )
    yield from _overflowing_sums(context, limit)
    yield from _overflowing_squares(context, limit)


def _without_float16(target: Target) -> str:
    """Runtimes that compute without float16 there: HTP has no float32."""
    if {Runtime.CPU, Runtime.GPU} & set(target.considered):
        return "stay with float32" + (" on the CPU or GPU" if target.means(Runtime.HTP) else "")
    if Runtime.GPU_FLOAT16 in target.runtimes:
        return "run it on the GPU in float32"
    return "quantize it, because HTP computes in no other float"


def _overflowing_sums(context: ModelContext, limit: float) -> Iterator[Finding]:
    """Sums of squares: those that overflow as far as is known, and those about which nothing is known."""
    over: list[tuple[SumOfSquares, float]] = []
    open_: list[tuple[SumOfSquares, float]] = []
    for sum_of_squares in sums_of_squares(context.view):
        reaches = sum_of_squares.expected if sum_of_squares.least <= limit else sum_of_squares.least
        if sum_of_squares.most is not None and sum_of_squares.most <= limit:
            continue
        if reaches is None:
            open_.append((sum_of_squares, math.sqrt(limit / sum_of_squares.count)))
        elif reaches > limit:
            over.append((sum_of_squares, reaches))
    over.sort(key=lambda row: -row[1])
    open_.sort(key=lambda row: row[1])
    if over:
        sum_of_squares, value = over[0]
        sure = sum_of_squares.least > limit
        estimated = "" if sure else "about (estimated) "
        yield _sum_finding(
            context.target,
            over,
            f"the squares of {sum_of_squares.count} values sum up to {estimated}{value:.4g}, beyond"
            f" {limit:g}, the largest float16",
            Severity.WARNING,
            Confidence.DOCUMENTED if sure else Confidence.INFERRED,
            value / limit,
            {"sum": value, "limit": limit},
        )
    if open_:
        sum_of_squares, value = open_[0]
        yield _sum_finding(
            context.target,
            open_,
            f"the sum of {sum_of_squares.count} squares is beyond {limit:g}, the largest float16, where their"
            f" root mean square exceeds {value:.3g}; their size is unknown",
            Severity.INFO,
            Confidence.INFERRED,
            1.0,
            {"root_mean_square": value, "limit": limit},
        )


def _overflowing_squares(context: ModelContext, limit: float) -> Iterator[Finding]:
    """Means of squares, where only the squares can be too large."""
    largest = math.sqrt(limit)
    means = list(means_of_squares(context.view))
    over = [each for each in means if each.largest is not None and each.largest > largest]
    over.sort(key=lambda each: -(each.largest or 0.0))
    rows = over or [each for each in means if each.largest is None]
    if not rows:
        return
    worst = rows[0]
    said = "their size is unknown"
    if worst.largest is not None:
        said = f"they reach {'about (estimated) ' if worst.estimated else ''}{worst.largest:.4g}"
    factor = 2 ** max(4, math.ceil(math.log2((worst.largest or largest) / largest)))
    more = f"; {counted(len(rows) - 1, 'more mean')} like it" if len(rows) > 1 else ""
    yield Finding(
        f"{worst.node.op_type} of the squares of {short(worst.tensor)}: from {largest:.0f} on a square is"
        f" beyond {limit:g}, the largest float16, and {said}{more}",
        Severity.WARNING if over else Severity.INFO,
        Source(OBSERVED, "means of squares in float16: 66 dB at a deviation of 30, 22 at 200, 12 at 300"),
        Confidence.INFERRED,
        f"divide {short(worst.tensor)} by {factor} ahead of the squares and multiply the root of the mean by"
        " it, or export it as one normalization, which HTP computes at every size",
        worst.node,
        worst.node.output(0),
        evidence={
            "tensors": len(rows),
            "limit": largest,
            **({} if worst.largest is None else {"largest": worst.largest}),
        },
    )


def _sum_finding(
    target: Target,
    rows: list[tuple[SumOfSquares, float]],
    said: str,
    severity: Severity,
    confidence: Confidence,
    excess: float,
    evidence: dict[str, float],
) -> Finding:
    sum_of_squares, _ = rows[0]
    # Divided by the root of the count, the sum is the mean of the squares.
    factor = 2 ** math.ceil(math.log2(sum_of_squares.count * max(1.0, excess)) / 2)
    more = f"; {counted(len(rows) - 1, 'more sum')} like it" if len(rows) > 1 else ""
    where = "the squares" if sum_of_squares.node.op_type == "ReduceSum" else sum_of_squares.node.op_type
    undone = " and multiply the root of the sum by it"
    if sum_of_squares.node.op_type == "ReduceL2":
        undone = " and multiply its output by it"
    elif sum_of_squares.node.op_type == "LpNormalization":
        undone = ", which leaves its output as it is"
    return Finding(
        f"{sum_of_squares.node.op_type} of {short(sum_of_squares.tensor)}: {said}{more}",
        severity,
        Source("onnxruntime/onnxruntime-qnn#589", "ReduceL2 overflows in float16"),
        confidence,
        f"divide {short(sum_of_squares.tensor)} by {factor} ahead of {where}{undone}, or"
        f" {_without_float16(target)}",
        sum_of_squares.node,
        sum_of_squares.node.output(0),
        evidence={"tensors": len(rows), "count": sum_of_squares.count, "factor": factor, **evidence},
    )


def _overflow(
    subject: str, rows: list[tuple[Node, str, float]], confidence: Confidence, help: str
) -> Finding:
    node, name, extreme = rows[0]
    return Finding(
        f"{subject}{'s' * (len(rows) > 1)}; worst {short(name)}: {extreme:.4g}"
        f"{others((f'{short(n)} {v:.4g}' for _, n, v in rows[1:]), len(rows))}",
        Severity.WARNING,
        Source("IEEE 754 binary16", "largest finite number"),
        confidence,
        help,
        node,
        name,
        evidence={"tensors": len(rows), "value": extreme, "limit": threshold("float16_max")},
    )
