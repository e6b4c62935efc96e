"""Offsets: sign, fraction, symmetry."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dlclint.diagnostic import About, Confidence, Safety, Severity, Source
from dlclint.encodings import grid
from dlclint.encodings.document import FLOAT, EncodingsDocument, Layout
from dlclint.encodings.edits import DocumentEdit, SetValue, number
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules.causes import here
from dlclint_rules.encodings.repairs import made_symmetric, refit
from dlclint_rules.encodings.reporting import (
    FORMAT,
    OVERRIDES,
    PER_CHANNEL,
    Rows,
    at,
    by_tensor,
    channels,
    encodings_rule,
    in_blocks,
    said_offset,
)


def _integers(document: EncodingsDocument) -> npt.NDArray[np.bool_]:
    return np.asarray((document.elements.kind != FLOAT) & ~np.isnan(document.elements.offset))


@encodings_rule(about=About.FILE)
def offset_sign(context: EncodingsContext) -> Iterator[Finding]:
    """The offset is positive: its sign is flipped.

    Why: in files up to 1.0.0, a number is scale * (q + offset), so an offset is between -(2**bitwidth - 1)
    and 0; in 2.x, y_zero_point is its negative, so it is not negative for unsigned types. PPQ and old
    TensorFlow AIMET write the positive zero point, and fastforward writes the negative one into 2.x. SNPE's
    own first example drops the sign, and recomputes offset from min and max.
    What to do: flip the sign.
    Fix: safe if min and max confirm it; otherwise unsafe.
    """
    document = context.document
    elements = document.elements
    hits = _integers(document) & (elements.offset > 0)

    def finding(tensor: int, rows: Rows) -> Finding:
        row = int(rows[0])
        flat = document.is_flat(tensor)
        value = -elements.offset[row] if flat else elements.offset[row]
        has_range = not np.isnan([elements.minimum[row], elements.maximum[row]]).any()
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: {said_offset(document, row)}"
            f"{channels(document, tensor, rows)} has the sign flipped",
            Severity.WARNING if has_range else Severity.ERROR,
            OVERRIDES if has_range else Source(FORMAT, "offset"),
            Confidence.DOCUMENTED if has_range else Confidence.INFERRED,
            "offset is 0 or negative: min / scale" if not flat else "y_zero_point is minus the offset",
            evidence={"offset": float(value), "bitwidth": float(elements.bitwidth[row])},
            fix=_flipped(document, tensor, rows),
        )
        return at(context, tensor, document.field_path(row, "offset"), unplaced)

    yield from by_tensor(context, hits, finding)


def _flipped(document: EncodingsDocument, tensor: int, rows: Rows) -> Fix | None:
    elements = document.elements
    if not np.isnan(elements.minimum[rows] + elements.maximum[rows] + elements.bitwidth[rows]).any():
        return refit(document, tensor, rows)
    if np.isnan(elements.bitwidth[rows]).any():
        return None
    flat = document.is_flat(tensor)
    steps = grid.steps(elements.bitwidth[rows])
    if flat and not document.tensors.dtype[tensor].startswith("u"):
        return None
    if (elements.offset[rows] > steps).any():
        return None
    edits = _offset_edits(document, tensor, rows, elements.offset[rows] if flat else -elements.offset[rows])
    return Fix("flip the sign of the offset", Safety.UNSAFE, edits)


def _offset_edits(
    document: EncodingsDocument, tensor: int, rows: Rows, values: npt.NDArray[np.float64]
) -> tuple[DocumentEdit, ...]:
    edits: list[DocumentEdit] = []
    for row, value in zip(rows.tolist(), values.tolist(), strict=True):
        path = document.field_path(row, "offset")
        edits.append(SetValue(tensor, path, number(value, document.spelling(tensor, path))))
    return tuple(edits)


@encodings_rule(about=About.FILE)
def fractional_offset(context: EncodingsContext) -> Iterator[Finding]:
    """The offset is not an integer.

    Why: an offset that is not an integer puts zero between two integers, so padding and ReLU become inexact;
    AIMET's loader refuses it. (-128.0 is a whole number and valid, and so is the grid of two bits that
    AIMET's specification names: -1.5, -0.5, 0.5 and 1.5 steps, y_zero_point -0.5 in 2.x, zero_point_shift 0.5
    in 1.0.0.)
    What to do: round it, which moves the range by less than half a step.
    Fix: safe if it can be recomputed from min and max; otherwise unsafe.
    """
    document = context.document
    elements = document.elements
    offset = elements.offset
    # A grid of two bits may not contain zero.
    half = offset == grid.half_grid_offset(elements.bitwidth)
    hits = _integers(document) & (offset != np.rint(offset)) & ~half

    def finding(tensor: int, rows: Rows) -> Finding:
        row = int(rows[0])
        safe = not np.isnan(elements.minimum[rows] + elements.maximum[rows] + elements.bitwidth[rows]).any()
        flat = document.is_flat(tensor)
        rounded = np.rint(offset[rows])
        shifted = bool(document.has("zero_point_shift")[row])
        fix = (
            refit(document, tensor, rows)
            if safe
            else None
            if flat or shifted
            else Fix("round the offset", Safety.UNSAFE, _offset_edits(document, tensor, rows, rounded))
        )
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: {said_offset(document, row)}"
            f"{channels(document, tensor, rows)} is not an integer"
            + (" with its zero_point_shift" if shifted else ""),
            Severity.WARNING if safe else Severity.ERROR,
            Source(FORMAT, "zero_point_shift" if shifted else "offset"),
            help="remove zero_point_shift: 2 bits alone have one, of 0.5"
            if shifted
            else "round it; a converter recomputes it where min and max are given",
            evidence={"offset": float(offset[row])},
            fix=fix,
        )
        return at(context, tensor, document.field_path(row, "offset"), unplaced)

    yield from by_tensor(context, hits, finding)


@encodings_rule(about=About.TARGET, follows=here("encodings/fractional-offset"))
def symmetric_offset(context: EncodingsContext) -> Iterator[Finding]:
    """A symmetric encoding has an offset other than -2**(bitwidth - 1).

    Why: the converter stops: "Invalid offset overridden for symmetric encodings got [-127], expected -128."
    This applies per tensor too. AIMET's strict_symmetric and unsigned_symmetric settings write -127 and 0.
    What to do: export with both settings off, or fix the file.
    Fix: safe if the step does not change (offset, min and max are set), or if one entry for a complete tensor
    can be declared asymmetric, which changes no number; unsafe per channel if the step must grow.
    """
    document = context.document
    elements = document.elements
    expected = grid.symmetric_offset(elements.bitwidth)
    hits = _integers(document) & (elements.symmetric == 1)
    hits &= ~grid.is_symmetric(elements.offset, elements.bitwidth)
    hits &= ~np.isnan(elements.bitwidth)
    hits &= elements.offset <= 0

    def finding(tensor: int, rows: Rows) -> Finding:
        row = int(rows[0])
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: symmetric with {said_offset(document, row)}"
            f"{channels(document, tensor, rows)}, expected {expected[row]:g}",
            Severity.ERROR,
            Source("qualcomm/aimet#2468", "Invalid offset overridden for symmetric encodings"),
            Confidence.FIELD_REPORTED,
            "export without strict_symmetric and unsigned_symmetric, or run dlclint fix",
            evidence={"offset": float(elements.offset[row]), "expected": float(expected[row])},
            fix=made_symmetric(document, tensor, rows),
        )
        return at(context, tensor, document.field_path(row, "offset"), unplaced)

    yield from by_tensor(context, hits, finding)


@encodings_rule(about=About.TARGET)
def per_channel_asymmetric(context: EncodingsContext) -> Iterator[Finding]:
    """A per-channel encoding is not symmetric.

    Why: per-channel overrides must be symmetric: is_symmetric "True" and offset -2**(bitwidth - 1); in 2.x a
    zero point of 0 for signed types.
    What to do: quantize weights symmetrically per channel, or asymmetrically per tensor.
    Fix: unsafe, ranges become symmetric and wider; the title says by how much.
    """
    document = context.document
    elements, tensors = document.elements, document.tensors
    typed = tensors.enc_type.where(lambda name: name == "PER_CHANNEL")
    several = ((tensors.count > 1) | typed) & ~in_blocks(document)
    expected = grid.symmetric_offset(elements.bitwidth)
    even = grid.is_symmetric(elements.offset, elements.bitwidth)
    asymmetric = ~even | (elements.symmetric == 0)
    hits = _integers(document) & ~np.isnan(elements.bitwidth) & several[elements.tensor] & asymmetric
    hits &= ~((elements.symmetric == 1) & ~even)  # symmetric-offset reports it

    def finding(tensor: int, rows: Rows) -> Finding:
        row = int(rows[0])
        edits = made_symmetric(document, tensor, rows) if not document.is_flat(tensor) else None
        if edits is not None:
            said: list[DocumentEdit] = []
            layout = document.section_of(tensor).layout
            spelled = '"True"' if layout is Layout.LEGACY else "true"
            for r in rows.tolist():
                if elements.symmetric[r] != 1:
                    said.append(SetValue(tensor, document.field_path(r, "symmetric"), spelled))
            edits = Fix(edits.title, Safety.UNSAFE, (*edits.make(), *dict.fromkeys(said)))
        value = elements.offset[row]
        flaw = said_offset(document, row) if not even[row] else "is_symmetric false"
        wanted = (
            "y_zero_point 0 of a signed type" if document.is_flat(tensor) else f"offset {expected[row]:g}"
        )
        unplaced = Finding(
            f"{tensors.names[tensor]!r}: per channel with {flaw}{channels(document, tensor, rows)};"
            f" it must be symmetric, {wanted}",
            Severity.ERROR,
            PER_CHANNEL,
            help="use symmetric weights per channel, or one asymmetric encoding per tensor",
            evidence={"offset": float(value), "expected": float(expected[row])},
            fix=edits,
        )
        return at(context, tensor, document.field_path(row, "offset"), unplaced)

    yield from by_tensor(context, hits, finding)
