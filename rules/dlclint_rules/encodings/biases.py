"""Scales of biases, which the accumulator determines: input scale times weight scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from dlclint.analysis.matching.terms import copied_from
from dlclint.analysis.moving import origin
from dlclint.analysis.precision import has_bias
from dlclint.analysis.roles import (
    WeightUse,
    absorbed_chain,
    bias_name,
    channel_axis,
    converted_weight,
    vector,
)
from dlclint.analysis.weights.entries import WeightEntry, weight_entries
from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.encodings import grid
from dlclint.encodings.entry_grids import entry_grids
from dlclint.encodings.grid import ACCUMULATOR
from dlclint.model.op_facts import CONVOLUTIONS
from dlclint.rule import EncodingsContext, Finding, Place
from dlclint.target import Runtime
from dlclint_rules import places
from dlclint_rules.causes import here
from dlclint_rules.encodings.repairs import rescaled
from dlclint_rules.encodings.reporting import at, capped, encoding_place, encodings_rule
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

if TYPE_CHECKING:
    from dlclint.model.graph import Node


@record
class Biased:
    """An op with a bias whose input and weight have grids.

    `product` is the scale at which HTP adds the bias, [1] or [channels]: input scale times weight scale.
    `has_scale`: the file gives the weight's scale, which the quantizer computes otherwise. `row` is the entry
    in question.
    """

    node: Node
    bias: str
    weight: str
    input_scale: float
    weight_scale: grid.Floats
    product: grid.Floats
    row: int
    has_scale: bool


def _biased(context: EncodingsContext, computed: bool = False) -> Iterator[Biased]:
    """Ops with a stored bias whose input and weight have grids, in the order of the nodes.

    `computed`: also those whose weights have no entry, with the scales of their own values.
    """
    if context.view is None or Runtime.HTP not in context.target.considered:
        return
    document = context.document
    grids, weights = entry_grids(document), weight_entries(document)
    for node in context.view.nodes():
        bias = copied_from(node.graph, _bias_of(node, weights))[1]
        if not bias or node.graph.constant(bias) is None:
            continue
        read = grids.get(origin(node.graph, node.input(0), grids))
        weight = weights.get(node.input(1))
        if read is None or (weight is None and not computed):
            continue
        scale = _own_scale(context, node) if weight is None else weight.scale
        if scale is None or (weight is not None and weight.is_float):
            continue
        row = read.row if weight is None else document.rows(node.input(1))[-1]
        yield Biased(
            node, bias, node.input(1), read.scale, scale, read.scale * scale, row, weight is not None
        )


def _own_scale(context: EncodingsContext, node: Node) -> grid.Floats | None:
    """The scale that the quantizer gives a weight without an entry: one per channel with that option.

    No range is smaller than the documented minimum.
    """
    kind = context.target.kind
    stored = node.graph.constant(node.input(1))
    if not kind.quantize or stored is None or len(stored.shape) < 2:
        return None
    axis = channel_axis(node, 1)
    # Imported here because it imports onnx, and a file without its model has no weights.
    from dlclint.model.tensors import Unavailable

    try:
        values, _ = converted_weight(WeightUse(node, stored, False, axis))
    except Unavailable:
        return None
    if not values.size or not np.isfinite(values).all():
        return None
    by_channel = kind.per_channel and node.op_type in CONVOLUTIONS
    lanes = np.moveaxis(values, axis, 0).reshape(values.shape[axis] if by_channel else 1, -1)
    most = np.abs(lanes).max(axis=1)
    try:
        return np.asarray(grid.fit_symmetric(-most, most, float(kind.weights_bitwidth)).scale)
    except ValueError:
        return None


def _bias_of(node: Node, weights: Mapping[str, WeightEntry]) -> str:
    """The bias of an op; an Add after a MatMul is not one where the file gives it fewer than 32 bits."""
    if has_bias(node):
        return node.input(2)
    if node.op_type != "MatMul" or node.domain:
        return ""
    name = bias_name(node)
    entry = weights.get(name)
    return name if entry is None or entry.bitwidth == 32 else ""


def _text(scale: grid.Floats) -> str:
    low, high = float(scale.min()), float(scale.max())
    return f"{low:.3g}" if high <= low * 1.001 else f"{low:.3g} to {high:.3g}"


@encodings_rule(about=About.ACCURACY, follows=here("encodings/range-too-small", "encodings/channel-count"))
def bias_scale(context: EncodingsContext) -> Iterator[Finding]:
    """A 32-bit bias has a scale that is not input scale times weight scale.

    Why: HTP adds the bias to an accumulator whose step is input scale times weight scale. It ignores the
    declared encoding and quantizes the bias again, so the bias that a simulation used is not the one that
    runs ("HTP backend disregards the encodings of the bias tensor and recomputes its own").
    What to do: give the bias the product of the two scales, or no entry.
    Fix: unsafe, the scale becomes the product.
    """
    document = context.document
    weights = weight_entries(document)

    def differing() -> Iterator[tuple[Biased, int, float]]:
        seen: set[str] = set()
        for biased in _biased(context):
            weight = weights.get(biased.bias)
            if weight is None or weight.bitwidth != 32 or weight.scale is None or biased.bias in seen:
                continue
            if len(weight.scale) > 1 and len(biased.product) > 1 and len(weight.scale) != len(biased.product):
                continue  # encodings/channel-count reports it
            ratio = weight.scale / biased.product
            worst = float(ratio[int(np.argmax(np.abs(np.log(ratio))))])
            if abs(np.log(worst)) > threshold("bias_scale_slack") and not _is_shared(biased):
                seen.add(biased.bias)
                yield biased, document.rows(biased.bias)[-1], worst

    def finding(hit: tuple[Biased, int, float]) -> Finding:
        biased, row, ratio = hit
        entry = weights[biased.bias]
        assert entry.scale is not None
        size = f"{ratio:.3g} times too large" if ratio > 1 else f"{1 / ratio:.3g} times too small"
        unplaced = Finding(
            f"{biased.bias!r}: scale {_text(entry.scale)}, where input scale times weight scale is"
            f" {_text(biased.product)}: {size}, and HTP ignores it",
            Severity.WARNING,
            Source("microsoft/onnxruntime#26709", "the bias is recomputed"),
            Confidence.FIELD_REPORTED,
            "give it the product, or no entry",
            biased.node,
            evidence={"ratio": ratio, "product": float(biased.product.min())},
            related=_factors(context, biased),
            fix=rescaled(context, row, biased.product, "give the bias input scale times weight scale"),
        )
        return at(context, row, document.field_path(int(document.tensors.first[row]), "scale"), unplaced)

    yield from capped(context, differing(), finding, "biases")


def _factors(context: EncodingsContext, biased: Biased) -> tuple[Place, ...]:
    """The sources of the scales of an op's input and weight."""
    graph, grids = biased.node.graph, entry_grids(context.document)
    return (
        encoding_place(context, graph, origin(graph, biased.node.input(0), grids), "the op's input"),
        encoding_place(context, graph, biased.weight, "its weight"),
    )


def _is_shared(biased: Biased) -> bool:
    """Whether another op reads the same bias, which encodings/shared-bias reports."""
    return len(biased.node.graph.consumers(biased.bias)) > 1


@encodings_rule(about=About.ACCURACY)
def shared_bias(context: EncodingsContext) -> Iterator[Finding]:
    """Ops share a bias though they add it at different scales.

    Why: HTP adds a bias at input scale times weight scale. If two ops read one stored bias and their products
    differ, no scale is correct for both: OSNet kept 56.6 instead of 81.5 mAP. AIMET refuses such a model
    ("Cannot determine single analytical bias scale").
    What to do: give each op its own bias.
    """
    by_bias: dict[str, list[Biased]] = {}
    for biased in _biased(context):
        by_bias.setdefault(biased.bias, []).append(biased)

    def unlike() -> Iterator[tuple[list[Biased], float]]:
        for items in by_bias.values():
            first = items[0]
            values = vector(first.node.graph, first.bias)
            if values is not None and not values.any():
                continue  # zeros are the same at every scale, and exporters share them
            ratios = [
                float(np.max(np.abs(np.log(biased.product / first.product))))
                for biased in items[1:]
                if len(biased.product) == len(first.product)
            ]
            if ratios and max(ratios) > threshold("bias_scale_slack"):
                yield items, float(np.exp(max(ratios)))

    def finding(hit: tuple[list[Biased], float]) -> Finding:
        items, ratio = hit
        first = items[0]
        row = (context.document.rows(first.bias) or [first.row])[-1]
        unplaced = Finding(
            f"{first.bias!r}: {len(items)} ops share this bias and add it at scales of"
            f" {_text(np.concatenate([biased.product for biased in items]))}, which differ {ratio:.3g} times",
            Severity.WARNING,
            Source("onnxruntime/onnxruntime-qnn#739", "a shared bias"),
            Confidence.FIELD_REPORTED,
            "store a bias for each op",
            first.node,
            evidence={"ops": len(items), "ratio": ratio},
            related=places.nodes((biased.node for biased in items), "adds it"),
        )
        return at(context, row, (), unplaced)

    yield from capped(context, unlike(), finding, "biases")


@encodings_rule(about=About.ACCURACY, follows=here("encodings/range-too-small"), weights=True)
def bias_saturates(context: EncodingsContext) -> Iterator[Finding]:
    """A bias does not fit 32 bits at input scale times weight scale.

    Why: a channel with weights close to zero (dead or pruned) has a tiny scale, so its bias has more steps
    than the 32-bit accumulator can count, and is cut: one such channel with a bias of 3.0 left 0.46 dB of a
    layer's output, and 44.6 dB with a floor for the weight scale (measured).
    What to do: raise the weight scale of the channel to the floor that the message gives. This costs nothing,
    because the weights are close to zero. Or prune the channel.
    Fix: unsafe, the weight scale of these channels is raised to the floor.
    """

    def lost() -> Iterator[tuple[Biased, grid.Floats, grid.Floats]]:
        for biased in _biased(context, computed=True):
            values = vector(biased.node.graph, biased.bias)
            folded = any(node.op_type == "BatchNormalization" for node in absorbed_chain(biased.node)[:1])
            if values is None or folded or not np.isfinite(values).all():
                continue
            values = np.abs(values.reshape(-1))
            if len(biased.product) not in (1, len(values)):
                continue
            steps = values / biased.product
            if (steps >= ACCUMULATOR).any():
                yield biased, values, steps

    def finding(hit: tuple[Biased, grid.Floats, grid.Floats]) -> Finding:
        biased, values, steps = hit
        channel = int(np.argmax(steps))
        need = values / biased.input_scale / (ACCUMULATOR - 1)
        floor = float(need.max())
        document, row = context.document, biased.row
        each = np.broadcast_to(biased.weight_scale, steps.shape)
        beyond = int((steps >= ACCUMULATOR).sum())
        raised = np.maximum(biased.weight_scale, need if len(biased.weight_scale) > 1 else floor)
        left = ACCUMULATOR / steps[channel]
        # A model that carries a bias as 32-bit integers has lost the excess already.
        is_cut = bool(context.nodes) and left > 1 - 1e-6
        own = "" if biased.has_scale else " that its own values give it"
        effect = (
            "the bias is stored as the largest 32-bit integer: it was cut when the model was quantized"
            if is_cut
            else f"the bias of {values[channel]:.3g} is {steps[channel]:.3g} steps of the accumulator, which"
            f" counts to {ACCUMULATOR:.3g}: {left:.2g} of the bias is left"
        )
        unplaced = Finding(
            f"{biased.weight!r}: with scale {each[channel]:.3g}{own} in channel {channel} {effect}"
            + (f" ({beyond} channels so)" if beyond > 1 else ""),
            Severity.WARNING,
            Source("microsoft/onnxruntime#22020, #25278", "a bias clipped at int32"),
            Confidence.FIELD_REPORTED,
            "quantize the float model again, with a larger weight scale in this channel"
            if is_cut
            else f"give the channel a weight scale of {floor:.3g} or more"
            + ("" if biased.has_scale else ", with a separate entry"),
            biased.node,
            evidence={"channel": channel, "steps": float(steps[channel]), "floor": floor, "channels": beyond},
            related=(
                places.source(biased.node.graph, biased.bias, "the bias"),
                *_factors(context, biased)[:1],
            ),
            fix=rescaled(context, row, raised, f"raise the weight scale to {floor:.3g} where it is smaller")
            if biased.has_scale
            else None,
        )
        if not biased.has_scale:
            return at(context, row, (), unplaced)
        element = int(document.tensors.first[row]) + (channel if int(document.tensors.count[row]) > 1 else 0)
        return at(context, row, document.field_path(element, "scale"), unplaced)

    yield from capped(context, lost(), finding, "weights")
