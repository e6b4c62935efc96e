"""Rules on the effect of the graph on ranges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from dlclint.analysis.masks import coarse_mask, find_masks
from dlclint.analysis.roles import fold_factors, layer_name
from dlclint.analysis.shared import short
from dlclint.diagnostic import About, Confidence, Safety, Severity, Source, counted
from dlclint.encodings import grid
from dlclint.model.graph import Node
from dlclint.model.op_facts import QOPERATORS, QUANTIZERS, WEIGHTED_OPS
from dlclint.rule import Finding, ModelContext, Place
from dlclint.target import Runtime
from dlclint_rules import places, repairs
from dlclint_rules.causes import here
from dlclint_rules.quantization.reporting import (
    QUANTIZATION,
    is_per_tensor,
    option,
    others,
    quantization_rule,
)
from dlclint_schemas.thresholds import threshold

RELATED = 1000
"""Nodes that a finding names in addition to its own."""


@quantization_rule()
def already_quantized(context: ModelContext) -> Iterator[Finding]:
    """The model to quantize is already quantized.

    Why: the quantizer needs a float model. The converter strips QuantizeLinear and DequantizeLinear (unless
    --keep_quant_nodes) and stores their encodings, which snpe-dlc-quant ignores without --override_params;
    ops that compute in integers have no float form.
    What to do: export the float model; for QDQ, pass --override_params to keep its encodings.
    """
    if not context.target.quantize:
        return
    counts = Counter(
        node.op_type
        for graph in context.view.model.graphs()
        for node in graph.nodes
        if not node.domain and node.op_type in QUANTIZERS | QOPERATORS
    )
    if not counts:
        return
    integer = any(op in QOPERATORS for op in counts)
    said = ", ".join(f"{count} {op}" for op, count in counts.most_common())
    nodes = [n for g in context.view.model.graphs() for n in g.nodes if not n.domain and n.op_type in counts]
    as_integers = [node for node in nodes[1:] if node.op_type in QOPERATORS or "Dynamic" in node.op_type]
    yield Finding(
        f"the model already contains {said}, and the target is a quantized DLC",
        Severity.WARNING,
        option("snpe-onnx-to-dlc", "--keep_quant_nodes"),
        help="export the float model"
        + ("" if integer else ", or pass --override_params to use the encodings it carries"),
        node=nodes[0],
        evidence=dict(counts),
        related=tuple(Place("is quantized too", node, holds=True) for node in as_integers[:RELATED]),
    )


@quantization_rule(about=About.ACCURACY)
def standalone_batchnorm(context: ModelContext) -> Iterator[Finding]:
    """A batch normalization does not follow a layer into which it could be folded.

    Why: it is then quantized separately, with one 8-bit grid for the factors of all channels, and its input
    needs its own encoding. Users report that accuracy drops.
    What to do: put it after a convolution, or give its tensors 16 bits with an override file.
    """
    if not context.target.quantize:
        return
    rows: list[tuple[Node, float]] = []
    total = 0
    for node in context.view.as_float.nodes():
        if node.op_type != "BatchNormalization" or node.domain:
            continue
        total += 1
        producer = node.graph.producer(node.input(0))
        alone = node.graph.consumers(node.input(0)) == (node,) and node.input(0) not in node.graph.outputs
        if producer is not None and producer.op_type in WEIGHTED_OPS and alone:
            continue
        rows.append((node, _spread(node)))
    if not rows:
        return
    rows.sort(key=lambda row: -row[1])
    node, spread = rows[0]
    least = threshold("batchnorm_spread")
    known = f": largest factor {spread:.3g} times the median" if spread else ""
    named = (f"{short(layer_name(n))} {s:.3g}" if s else short(layer_name(n)) for n, s in rows[1:])
    yield Finding(
        f"{len(rows)} of {total} batch normalizations are standalone; worst {short(layer_name(node))}{known}"
        f"{others(named, len(rows))}",
        Severity.WARNING if spread >= least else Severity.INFO,
        Source("blog.csdn.net/wb3533366/134684724", "standalone batch normalization"),
        Confidence.FIELD_REPORTED,
        "reorder the layers"
        if is_per_tensor(context.target)
        else "give its factors 16 bits by an override file, or reorder the layers",
        node,
        evidence={"standalone": len(rows), "spread": spread},
        related=(places.source(node.graph, node.input(0), "its input"),),
    )


def _spread(norm: Node) -> float:
    """Largest factor by the median one; 0 where the statistics are not stored."""
    factors = fold_factors(norm)
    if factors is None or not factors.size or not np.isfinite(factors).all():
        return 0.0
    middle = float(np.median(np.abs(factors)))
    return float(np.abs(factors).max()) / middle if middle else 0.0


@quantization_rule(
    fix=[Safety.SAFE, Safety.UNSAFE],
    about=About.ACCURACY,
    follows=here("model/non-finite-weights"),
    weights=True,
)
def mask_constant(context: ModelContext) -> Iterator[Finding]:
    """A mask's constant swallows the range of attention scores.

    Why: masks of -3.4e38, -65504 or minus infinity are added to the scores before Softmax, so the tensor's
    range extends to that number, and its grid cannot distinguish the scores. In float16, such a number is
    infinite, and a row that is completely masked becomes NaN.
    What to do: use a mask of -100, which masks as well (exp(-100) is 4e-44) and leaves the scores their bits.
    Fix safety: safe, but unsafe if the number multiplies an input of floats, which masks less for values
    between zero and one.
    """
    target = context.target
    halved = target.kind.float_bitwidth == 16 or Runtime.GPU_FLOAT16 in target.runtimes
    if not target.quantize and not halved:
        return
    bits = target.kind.act_bitwidth
    levels = float(grid.steps(bits))
    least = coarse_mask(bits) if target.quantize else threshold("float16_max") + 1
    advice = threshold("mask_advice")
    for mask in find_masks(context.view.as_float, least):
        step = abs(mask.value) / levels
        node = mask.readers[0]
        count = len(mask.softmaxes)
        effect = (
            f"its range is {step * levels:.3g}, so at {bits} bits one step is {step:.3g}; with {advice:g} it"
            f" is {abs(advice) / levels:.2g}"
            if target.quantize
            else f"beyond {threshold('float16_max'):g} it is infinite in float16"
        )
        yield Finding(
            f"mask of {mask.value:.4g} reaches {counted(count, 'Softmax node')}: {effect}",
            Severity.WARNING,
            Source(QUANTIZATION, "algorithm"),
            Confidence.INFERRED,
            f"use a mask of {advice:g}, which masks as well",
            node,
            mask.name,
            evidence={"value": mask.value, "softmaxes": count, **({"step": step} if target.quantize else {})},
            related=places.nodes(mask.readers[1:], "adds it too")
            + places.nodes(mask.softmaxes[:1], "the first Softmax that it reaches"),
            fix=None if context.view.carried else repairs.masks.bounded_mask(mask, least, advice),
        )
