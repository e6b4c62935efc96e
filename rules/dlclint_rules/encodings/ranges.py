"""Ranges: min and max compared with scale, offset and bitwidth, and with zero."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.encodings import grid
from dlclint.encodings.document import FLOAT, EncodingsDocument, Flags
from dlclint.model.op_facts import Role, role
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules.causes import here
from dlclint_rules.encodings.repairs import refit, tolerance
from dlclint_rules.encodings.reporting import (
    AIMET,
    ALGORITHM,
    OVERRIDES,
    Rows,
    at,
    by_tensor,
    channels,
    encodings_rule,
    said_offset,
)


def _ranged(document: EncodingsDocument) -> Flags:
    """Integer elements with a finite range and a bitwidth that has a grid."""
    elements = document.elements
    finite = np.isfinite(elements.maximum - elements.minimum)
    return np.asarray((elements.kind != FLOAT) & finite & grid.has_grid(elements.bitwidth))


@encodings_rule(about=About.ACCURACY)
def inverted_range(context: EncodingsContext) -> Iterator[Finding]:
    """min exceeds max.

    Why: no grid has such a range; the step would be negative.
    What to do: exchange them, or calibrate again.
    """
    document = context.document
    elements = document.elements
    hits = _ranged(document) & (elements.minimum > elements.maximum)

    def finding(tensor: int, rows: Rows) -> Finding:
        row = int(rows[0])
        low, high = float(elements.minimum[row]), float(elements.maximum[row])
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: min {low:g} exceeds max {high:g}"
            f"{channels(document, tensor, rows)}",
            Severity.ERROR,
            OVERRIDES,
            help="exchange them, or calibrate again",
            evidence={"min": low, "max": high},
        )
        return at(context, tensor, document.field_path(row, "minimum"), unplaced)

    yield from by_tensor(context, hits, finding)


@encodings_rule(about=About.ACCURACY)
def inconsistent(context: EncodingsContext) -> Iterator[Finding]:
    """scale and offset contradict min, max and bitwidth.

    Why: converters recompute scale and offset from min, max and bitwidth, while AIMET reads scale and offset,
    so the two use different grids.
    What to do: recompute scale and offset from the intended range.
    Fix: safe, all numbers from min, max and bitwidth by the documented algorithm.
    """
    document = context.document
    elements = document.elements
    step = grid.scale_of(elements.minimum, elements.maximum, elements.bitwidth)
    usable = _ranged(document) & (elements.minimum < elements.maximum)
    scale = elements.scale
    low_off = np.abs(elements.offset * scale - elements.minimum) / step
    scale_off = np.abs(scale - step) / step
    bad_offset = low_off > tolerance(elements.bitwidth, 0.05)
    bad_scale = scale_off > 1e-3
    # offset-sign reports a flipped sign, fractional-offset a fraction.
    told = (elements.offset > 0) | (elements.offset != np.rint(elements.offset))
    hits = usable & (bad_scale | (bad_offset & ~told))

    def finding(tensor: int, rows: Rows) -> Finding:
        row = int(rows[0])
        expected, zero = float(step[row]), float(-elements.minimum[row] / step[row])
        if bad_scale[row]:
            flaw = f"scale {scale[row]:g}, but min, max and bitwidth give {expected:g}"
        else:
            flaw = f"offset {elements.offset[row]:g}, but min / scale is {-zero:.2f}"
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: {flaw}{channels(document, tensor, rows)}",
            Severity.WARNING,
            OVERRIDES,
            help="recompute scale and offset, or run dlclint fix",
            evidence={
                "scale": float(scale[row]),
                "expected_scale": expected,
                "offset": float(elements.offset[row]),
                "min_over_scale": -zero,
            },
            fix=refit(document, tensor, rows),
        )
        name = "scale" if bad_scale[row] else "offset"
        return at(context, tensor, document.field_path(row, name), unplaced)

    yield from by_tensor(context, hits, finding)


@encodings_rule(about=About.ACCURACY, follows=here("encodings/fractional-offset", "encodings/inconsistent"))
def zero_off_grid(context: EncodingsContext) -> Iterator[Finding]:
    """Zero is not exactly representable.

    Why: zero padding, ReLU and masks need an exact 0.0, so the documented algorithm shifts a range by less
    than a step, or stretches it to zero, and the numbers that run differ from the file's. In formats without
    min and max, an offset beyond the integers puts zero outside the range.
    What to do: move min and max so that -min / scale is a whole number.
    Fix: safe, the documented algorithm applied.
    """
    document = context.document
    elements = document.elements
    error = grid.zero_error(elements.minimum, elements.maximum, elements.bitwidth)
    usable = _ranged(document) & (elements.minimum < elements.maximum)
    hits = usable & (error > tolerance(elements.bitwidth, 0.01))
    below = (elements.kind != FLOAT) & (elements.offset < -grid.steps(elements.bitwidth))

    def shifted(tensor: int, rows: Rows) -> Finding:
        row = int(rows[0])
        low, high = float(elements.minimum[row]), float(elements.maximum[row])
        outside = bool(np.isinf(error[row]))
        new = grid.fit(low, high, elements.bitwidth[row]) if low <= high else None
        becomes = f"; it becomes {new.minimum:.6g} to {new.maximum:.6g}" if new is not None else ""
        where = "outside" if outside else f"{error[row]:.2f} of a step off the grid of"
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: zero lies {where} {low:g} to {high:g}"
            f"{channels(document, tensor, rows)}{becomes}",
            Severity.WARNING,
            ALGORITHM,
            help="give the range that the algorithm makes of it, or run dlclint fix",
            evidence={"min": low, "max": high, **({} if outside else {"steps": float(error[row])})},
            fix=refit(document, tensor, rows),
        )
        return at(context, tensor, document.field_path(row, "minimum"), unplaced)

    yield from by_tensor(context, hits, shifted)

    def beyond(tensor: int, rows: Rows) -> Finding:
        row = int(rows[0])
        lowest = -float(grid.steps(elements.bitwidth[row]))
        finding = Finding(
            f"{document.tensors.names[tensor]!r}: {said_offset(document, row)}"
            f"{channels(document, tensor, rows)} lies beyond {elements.bitwidth[row]:g} bits"
            f" ({lowest:g} to 0), so zero is outside the range",
            Severity.ERROR,
            Source(AIMET, "zero point"),
            help="is the bit width or the offset meant for another tensor?",
            evidence={"offset": float(elements.offset[row]), "bitwidth": float(elements.bitwidth[row])},
        )
        return at(context, tensor, document.field_path(row, "offset"), finding)

    yield from by_tensor(context, below, beyond)


def _numbers(context: EncodingsContext) -> Flags:
    """The stored tensors that ops read as single numbers: bounds, padding, constants."""
    names = context.document.tensors.names
    single = np.zeros(len(names), bool)
    if context.view is not None:
        graph = context.view.model.graph
        for row, name in enumerate(names):
            stored = graph.constant(name)
            if stored is None:
                continue
            roles = {
                role(node.op_type, position)
                for node in graph.consumers(name)
                for position, read in enumerate(node.inputs)
                if read == name
            }
            lone = {Role.DATA} if stored.count == 1 else set()
            single[row] = bool(roles) and roles <= {Role.BOUND, Role.PAD_VALUE} | lone
    return single


@encodings_rule(about=About.ACCURACY)
def range_too_small(context: EncodingsContext) -> Iterator[Finding]:
    """The range is below the documented minimum.

    Why: the algorithm widens a range to a minimum, 0.0001 in the page's text, 0.01 in its formula, so the
    grid is coarser than the file says. Dead channels have such ranges (scale 1.19e-07), and HTA stops with
    "Bad quantization: zero scale!". The bound of a Clip, the value that Pad writes and a constant of one
    element are single numbers, whose range may be as small as the number.
    What to do: check that the tensor is not constant; remove dead channels.
    """
    document = context.document
    elements = document.elements
    by_scale = elements.scale * grid.steps(elements.bitwidth)
    span = np.where(_ranged(document), elements.maximum - elements.minimum, by_scale)
    # A range that was widened to the minimum equals it up to rounding.
    least = grid.MINIMUM_RANGE * (1 - 1e-6)
    hits = (elements.kind != FLOAT) & (span < least) & (span >= 0) & (elements.scale != 0)
    hits &= ~_numbers(context)[elements.tensor]

    def finding(tensor: int, rows: Rows) -> Finding:
        smallest = float(np.min(span[rows]))
        row = int(rows[int(np.argmin(span[rows]))])
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: the range is {smallest:.3g}"
            f"{channels(document, tensor, rows)}, below the minimum of 0.0001 (0.01 in the formula)",
            Severity.WARNING,
            Source(ALGORITHM.document, "minimum range"),
            Confidence.DOCUMENTED,
            "check for a constant tensor or dead channels",
            evidence={"range": smallest, "minimum": grid.MINIMUM_RANGE},
        )
        name = "minimum" if not np.isnan(elements.minimum[row]) else "scale"
        return at(context, tensor, document.field_path(row, name), unplaced)

    yield from by_tensor(context, hits, finding)
