"""Encodings of weights compared with the ops that read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dlclint.analysis.roles import WeightUse, converted_weight, weight_uses
from dlclint.diagnostic import About, Confidence, Safety, Severity, Source
from dlclint.encodings import grid
from dlclint.encodings.document import FLOAT, Flags
from dlclint.encodings.edits import DocumentEdit
from dlclint.fix import Fix
from dlclint.model.op_facts import CONVOLUTIONS, Role, positions
from dlclint.rule import EncodingsContext, Finding
from dlclint.target import Runtime
from dlclint_rules.encodings.repairs import grid_edits
from dlclint_rules.encodings.reporting import (
    PER_CHANNEL,
    QUANTIZATION,
    at,
    capped,
    encodings_rule,
    in_blocks,
)
from dlclint_schemas.side_inputs import refused_by_channel

if TYPE_CHECKING:
    from dlclint.model.graph import Node


def encoded_weights(context: EncodingsContext) -> Iterator[tuple[int, WeightUse]]:
    """Row and first use of each weight or bias that has an encoding."""
    if context.view is None:
        return
    seen: set[str] = set()
    for name, use in weight_uses(context.view.model):
        if name in seen:
            continue
        seen.add(name)
        for row in context.document.rows(name)[-1:]:
            yield row, use


@encodings_rule(about=About.FORM)
def channel_count(context: EncodingsContext) -> Iterator[Finding]:
    """The number of entries is not the number of channels.

    Why: a per-channel encoding has one entry per output channel of the weight: axis 0 of Conv, axis 1 of
    ConvTranspose, the columns (or with transB the rows) of Gemm.
    What to do: export encodings and model together.
    """
    document = context.document
    tensors = document.tensors
    blocks = in_blocks(document)

    def wrong() -> Iterator[tuple[int, str, WeightUse]]:
        for row, use in encoded_weights(context):
            count = int(tensors.count[row])
            if count == 1 or blocks[row]:
                continue
            shape = list(use.tensor.shape)
            wanted = use.channels if not use.is_bias else (shape[0] if shape else None)
            axis = None if np.isnan(tensors.axis[row]) else int(tensors.axis[row])
            if axis is not None and not -len(shape) <= axis < len(shape):
                yield row, f"axis {axis} does not exist in a weight of shape {shape}", use
            elif axis is not None and use.axis is not None and axis % len(shape) != use.axis % len(shape):
                message = f"axis {axis} is not the output channels of {use.node.op_type}"
                yield row, f"{message} (axis {use.axis % len(shape)} of {shape})", use
            elif wanted is not None and count != wanted and not _grouped(use, count):
                yield row, f"{count} entries for {wanted} channels of a weight of shape {shape}", use

    def finding(hit: tuple[int, str, WeightUse]) -> Finding:
        row, message, use = hit
        help = "export the encodings again together with this model"
        if use.channels and tensors.count[row] % use.channels == 0 and not document.is_flat(row):
            help = "these look like blocks, which only 1.0.0 and 2.0.0 can say: export one of those"
        unplaced = Finding(
            f"{tensors.names[row]!r}: {message}",
            Severity.ERROR,
            PER_CHANNEL,
            help=help,
            evidence={"entries": int(tensors.count[row]), "shape": list(use.tensor.shape)},
        )
        return at(context, row, (), unplaced)

    yield from capped(context, wrong(), finding, "tensors")


def _grouped(use: WeightUse, count: int) -> bool:
    """A grouped ConvTranspose has group times as many output channels as its weight's axis 1."""
    group = int(use.node.attribute("group", 1) or 1)
    return use.node.op_type == "ConvTranspose" and use.channels is not None and count == use.channels * group


@encodings_rule(about=About.TARGET)
def per_channel_consumer(context: EncodingsContext) -> Iterator[Finding]:
    """A tensor has a per-channel encoding, which its consumer does not support.

    Why: per-channel overrides are documented for the weights of Conv2d, Conv3d, TransposeConv2d and
    DepthwiseConv2d. The tools page lists FullyConnected as a per-channel layer, the quantization page does
    not. Hexagon v66 is quantized per tensor. HTP refused PRelu slopes with a grid for each channel in every
    form that was measured.
    What to do: use one encoding per tensor.
    """
    document = context.document
    tensors = document.tensors
    if context.view is None:
        return
    known = dict(encoded_weights(context))
    blocks = in_blocks(document)
    graphs = [*context.view.model.graphs()]

    def wrong() -> Iterator[tuple[int, str, Severity]]:
        for row in np.flatnonzero(tensors.count > 1).tolist():
            if blocks[row]:
                continue
            use = known.get(row)
            if use is None:
                name = tensors.names[row]
                consumers = [node for graph in graphs for node in graph.consumers(name)]
                # A file of 2.x may list a constant without effect; in a model the encoding is computed.
                stored = document.is_flat(row) and any(graph.constant(name) is not None for graph in graphs)
                slope = next((node.op_type for node in consumers if _reads_as_slope(node, name)), "")
                if slope in refused_by_channel() and Runtime.HTP in context.target.considered:
                    yield (
                        row,
                        f"the slope of {slope}, which HTP does not take in this form (measured)",
                        Severity.WARNING,
                    )
                    continue
                if consumers and (context.nodes or not stored):
                    names = ", ".join(dict.fromkeys(node.op_type for node in consumers))
                    yield row, f"it is not a weight; {names} reads it", Severity.WARNING
            elif not use.is_bias and use.node.op_type not in CONVOLUTIONS:
                yield row, f"of {use.node.op_type}, on which the documents disagree", Severity.INFO
            elif not use.is_bias and context.target.means(Runtime.DSP):
                yield row, "Hexagon v66 is quantized per tensor", Severity.WARNING

    def finding(hit: tuple[int, str, Severity]) -> Finding:
        row, message, severity = hit
        unplaced = Finding(
            f"{tensors.names[row]!r}: per channel ({tensors.count[row]} entries): {message}",
            severity,
            PER_CHANNEL,
            Confidence.DOCUMENTED if severity is not Severity.INFO else Confidence.INFERRED,
            "give one encoding per tensor" if severity is Severity.WARNING else "",
        )
        return at(context, row, (), unplaced)

    yield from capped(context, wrong(), finding, "tensors")


def _reads_as_slope(node: Node, name: str) -> bool:
    return name in (node.input(position) for position in positions(node.op_type, Role.SLOPE))


@encodings_rule(about=About.FORM, weights=True)
def weights_clipped(context: EncodingsContext) -> Iterator[Finding]:
    """Weights are outside the range that the file gives them.

    Why: the quantizer clamps values outside the range to its end. dlclint compares the weights that the
    converter sees: with a following batch normalization folded in. Up to half a step outside is rounding, not
    clipping. A searched range does not count if clipping a few outliers leaves less noise than the larger
    step of the whole range.
    What to do: use the encodings of this model, not of another training state. If they belong to the weights
    before folding, fold the batch normalization first (AIMET: fold_all_batch_norms), and then export
    encodings and model.
    Fix: unsafe, the range is widened to the real weights; there is no fix if folding comes first, because the
    activations were also calibrated with the other weights.
    """
    document = context.document

    def clipped() -> Iterator[tuple[int, WeightUse, _Clipped]]:
        for row, use in encoded_weights(context):
            clipping = _outside(context, row, use)
            if clipping is not None:
                yield row, use, clipping

    def finding(hit: tuple[int, WeightUse, _Clipped]) -> Finding:
        row, use, (low, high, count, folded, before_folding) = hit
        first = int(document.tensors.first[row])
        last = first + int(document.tensors.count[row])
        encoding = range_of(context, first, last)
        far = float(np.max(np.maximum(encoding.minimum - low, high - encoding.maximum)))
        worst = int(np.argmax(np.maximum(encoding.minimum - low, high - encoding.maximum)))
        unplaced = Finding(
            f"{document.tensors.names[row]!r}: {count:,} of {use.tensor.count:,} weights"
            f"{' (batch normalization folded in)' if folded else ''} lie outside the range, by up to"
            f" {far:.3g} beyond {encoding.minimum[worst]:.4g} to {encoding.maximum[worst]:.4g}"
            + (", which is that of the weights before folding" if before_folding else ""),
            Severity.WARNING,
            Source(QUANTIZATION, "quantize and clamp"),
            Confidence.INFERRED if folded else Confidence.DOCUMENTED,
            "fold the batch normalization first, then export encodings and model"
            if before_folding
            else "take the encodings of this model",
            evidence={"clipped": count, "weights": use.tensor.count, "beyond": far, "channel": worst},
            fix=None if before_folding else _widened(context, row, low, high),
        )
        return at(context, row, document.field_path(first + worst, ""), unplaced)

    yield from capped(context, clipped(), finding, "tensors")


def range_of(context: EncodingsContext, first: int, last: int) -> grid.Encoding:
    elements = context.document.elements
    by_grid = grid.on_grid(
        elements.scale[first:last], elements.offset[first:last], elements.bitwidth[first:last]
    )
    low, high = elements.minimum[first:last], elements.maximum[first:last]
    bits = elements.bitwidth[first:last]
    ranged = ~np.isnan(low + high)
    scale = np.where(ranged, grid.scale_of(low, high, bits), by_grid.scale)
    return grid.Encoding(
        np.where(ranged, low, by_grid.minimum),
        np.where(ranged, high, by_grid.maximum),
        scale,
        by_grid.offset,
        bits,
    )


class _Clipped(NamedTuple):
    """Per element lowest and highest weight, and how many of all are outside the range.

    `folded` is whether a normalization was folded in, `before_folding` that the range is that of the weights
    before folding.
    """

    low: grid.Floats
    high: grid.Floats
    outside: int
    folded: bool
    before_folding: bool


def _outside(context: EncodingsContext, row: int, use: WeightUse) -> _Clipped | None:
    document = context.document
    first = int(document.tensors.first[row])
    count = int(document.tensors.count[row])
    encoding = range_of(context, first, first + count)
    if use.is_bias or in_blocks(document)[row] or not np.isfinite(encoding.minimum + encoding.maximum).all():
        return None
    if (document.elements.kind[first : first + count] == FLOAT).any() or (
        count > 1 and use.channels != count
    ):
        return None
    # Imported here because it imports onnx, and a file without its model has no weights.
    from dlclint.model.tensors import Unavailable

    try:
        values, folded = converted_weight(use)
    except Unavailable:
        return None
    if not values.size or not np.isfinite(values).all():
        return None
    lanes = _lanes(values, use, count)
    outside = _beyond(lanes, encoding)
    if not outside.any() or _is_searched(lanes, encoding):
        return None
    before = False
    if folded:
        raw = _lanes(use.tensor.numbers(), use, count)
        most = np.abs(raw).max(axis=1)
        # A symmetric grid of few bits extends one step farther below zero than above: an eighth with 4 bits.
        reaches = np.abs(encoding.minimum), np.abs(encoding.maximum)
        shares = (float(np.median(most / np.where(reach > 0, reach, 1.0))) for reach in reaches)
        before = bool(_beyond(raw, encoding).sum() * 10 <= outside.sum()) and any(
            0.9 <= share <= 1.1 for share in shares
        )
    return _Clipped(lanes.min(axis=1), lanes.max(axis=1), int(outside.sum()), folded, before)


def _lanes(values: grid.Floats, use: WeightUse, count: int) -> grid.Floats:
    """The values by element: all of them, or those of each channel."""
    if count == 1:
        return values.reshape(1, -1)
    return np.moveaxis(values, use.axis or 0, 0).reshape(count, -1)


def _beyond(lanes: grid.Floats, encoding: grid.Encoding) -> Flags:
    slack = (
        encoding.scale * (0.5 + 1e-3) + np.maximum(np.abs(encoding.minimum), np.abs(encoding.maximum)) * 1e-6
    )
    return np.asarray(
        (lanes < (encoding.minimum - slack)[:, None]) | (lanes > (encoding.maximum + slack)[:, None])
    )


def _is_searched(lanes: grid.Floats, encoding: grid.Encoding) -> bool:
    """Whether clipping leaves less noise than the whole range would, as ranges that are searched for do."""
    low, high, bits = lanes.min(axis=1), lanes.max(axis=1), encoding.bitwidth
    try:
        whole = grid.fit_alike(low, high, bits, grid.is_symmetric(encoding.offset, bits))
    except ValueError:
        return False
    clipped = _noise(lanes, encoding.scale, encoding.offset, bits)
    return clipped <= _noise(lanes, whole.scale, whole.offset, bits)


def _noise(lanes: grid.Floats, scale: grid.Floats, offset: grid.Floats, bits: grid.Floats) -> float:
    """The squared error that rounding to grids leaves, one grid for each row."""
    on_grid = grid.on_grid(scale[:, None], offset[:, None], bits[:, None])
    return float(np.square(grid.dequantize(grid.quantize(lanes, on_grid), on_grid) - lanes).sum())


def _widened(context: EncodingsContext, row: int, low: grid.Floats, high: grid.Floats) -> Fix | None:
    document = context.document
    elements = document.elements
    first = int(document.tensors.first[row])
    rows = slice(first, first + int(document.tensors.count[row]))
    if document.is_flat(row):
        return None
    encoding = range_of(context, first, rows.stop)
    low, high = np.minimum(low, encoding.minimum), np.maximum(high, encoding.maximum)
    bits = elements.bitwidth[rows]
    symmetric = elements.offset[rows] == grid.symmetric_offset(bits)
    try:
        even, free = grid.fit_symmetric(low, high, bits), grid.fit(low, high, bits)
    except ValueError:
        return None
    names = [field.name for field in fields(grid.Encoding)]
    wide = grid.Encoding(*(np.where(symmetric, getattr(even, name), getattr(free, name)) for name in names))
    edits: list[DocumentEdit] = []
    for position in range(rows.stop - first):
        edits.extend(grid_edits(document, first + position, wide, position))
    return Fix("widen the range to the real weights", Safety.UNSAFE, tuple(edits)) if edits else None
