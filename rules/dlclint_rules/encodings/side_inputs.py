"""Widths, signs and zero points of inputs other than data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dlclint.analysis.moving import origin
from dlclint.analysis.side_inputs import SideInput, computed_products, side_inputs
from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.encodings.document import FLOAT, INT, UNKNOWN
from dlclint.encodings.entry_grids import EntryGrid, entry_grids
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext, Finding, Place
from dlclint.target import Runtime
from dlclint_rules import sources
from dlclint_rules.encodings.repairs import recast
from dlclint_rules.encodings.reporting import at, capped, encoding_place, encodings_rule
from dlclint_schemas.precision import OBSERVED
from dlclint_schemas.side_inputs import (
    INT8,
    INT16,
    UINT8,
    UINT16,
    UINT16_SYMMETRIC,
    disputed_forms,
    second_input,
    side_input_forms,
)

if TYPE_CHECKING:
    from dlclint.model.graph import Node

_FORMS = {UINT8: "unsigned 8 bits", INT8: "signed 8 bits", UINT16: "16 bits with a zero point"}
_FORMS |= {UINT16_SYMMETRIC: "symmetric 16 bits", INT16: "signed 16 bits"}


def form_of(context: EncodingsContext, grid: EntryGrid) -> str:
    """The form of a grid among those that were measured; "" for other widths.

    Files up to 1.0.0 use symmetric, which the converters make signed.
    """
    document = context.document
    said = document.elements.symmetric[grid.element] == 1 or grid.symmetric
    if document.is_flat(grid.row):
        signed = not document.tensors.dtype[grid.row].startswith("u")
        if grid.bitwidth == 8:
            return INT8 if signed else UINT8
        said, wide = grid.symmetric, INT16 if signed else UINT16_SYMMETRIC
    else:
        if grid.bitwidth == 8:
            return INT8 if document.elements.symmetric[grid.element] == 1 and grid.symmetric else UINT8
        wide = INT16
    return "" if grid.bitwidth != 16 else wide if said else UINT16


def _hexagon(context: EncodingsContext) -> int | None:
    soc = context.target.soc
    return None if soc is None else soc.hexagon


def activation_width(
    context: EncodingsContext, grids: dict[str, EntryGrid], node: Node, data: str = ""
) -> int:
    """The width of `data`, or of a node's input or output: the file's, or else the quantizer's."""
    read = (name for name in node.inputs if name and node.graph.constant(name) is None)
    for name in (data, *read, node.output(0)):
        grid = grids.get(origin(node.graph, name, grids))
        if grid is not None:
            return grid.bitwidth
    return context.target.kind.act_bitwidth


def needing(context: EncodingsContext, hexagon: int) -> Iterator[SideInput]:
    """The scales and slopes whose 16-bit form needs a newer Hexagon than this one."""
    assert context.view is not None
    grids = entry_grids(context.document)
    for side in side_inputs(context.view):
        grid = grids.get(side.name)
        if grid is not None and grid.bitwidth == 16:
            key = (side.op, activation_width(context, grids, side.node, side.data), form_of(context, grid))
            if (side_input_forms().get(key) or 0) > hexagon:
                yield side


@encodings_rule(about=About.FORM, weights=True)
def side_input(context: EncodingsContext) -> Iterator[Finding]:
    """HTP does not support the width, sign or zero point of a normalization's scale or a slope.

    Why: HTP's LayerNorm and RMSNorm support an unsigned 8-bit scale everywhere and a signed 8-bit one
    nowhere. LayerNorm supports a 16-bit scale only with 16-bit activations, with the zero point in the
    middle, and from Hexagon v73 on ("incorrect Value 68, expected >= 73"). A slope of PRelu with unsigned 16
    bits validates and does not compile. Quantizers give such inputs the width of the activations, or make
    them symmetric like weights.
    What to do: give the scale or slope 8 bits, asymmetric; AIMET's configurations for HTP do so.
    Fix: unsafe, the entry becomes unsigned 8 bits over the parameter's own values.
    """
    if context.view is None or Runtime.HTP not in context.target.considered:
        return
    grids = entry_grids(context.document)

    def wrong() -> Iterator[tuple[SideInput, EntryGrid, str, int, int | None]]:
        assert context.view is not None
        for side in side_inputs(context.view):
            file_grid = grids.get(side.name)
            form = "" if file_grid is None else form_of(context, file_grid)
            width = activation_width(context, grids, side.node, side.data)
            key = (side.op, width, form)
            if file_grid is None or key not in side_input_forms():
                continue
            since, hexagon = side_input_forms()[key], _hexagon(context)
            # Before v73 a 16-bit scale is a 16-bit weight, which encodings/bit-width reports.
            if since is None or (hexagon is None and since > 68) or key in disputed_forms():
                yield side, file_grid, form, width, since

    def finding(hit: tuple[SideInput, EntryGrid, str, int, int | None]) -> Finding:
        side, grid, form, width, since = hit
        flat = context.document.is_flat(grid.row)
        said = "symmetric 8 bits, which become signed" if form == INT8 and not flat else _FORMS[form]
        effect = "HTP takes on no version" if since is None else f"HTP takes from Hexagon v{since} on"
        disputed = (side.op, width, form) in disputed_forms()
        if disputed:
            effect = "HTP is reported to reject (it ran when measured)"
        certain = since is None and (flat or form != INT8) and side.op == side.node.op_type
        severity = Severity.ERROR if certain else Severity.WARNING
        spelled_out = side.op != side.node.op_type
        # A scale in a separate Mul ran so; the reports are about the op that a converter may make of it.
        if (since is not None and not disputed) or (disputed and spelled_out):
            severity = Severity.INFO
        unplaced = Finding(
            f"{grid.name!r}: {side.words} has {said}, which with {width}-bit activations {effect}",
            severity,
            Source("onnxruntime/onnxruntime-qnn#756, #764; pytorch/executorch#17296", OBSERVED),
            Confidence.FIELD_REPORTED,
            "give it 8 bits, asymmetric",
            side.node,
            evidence={"bitwidth": grid.bitwidth, "act_bitwidth": width, "form": form},
            related=(_data(context, grids, side),),
            fix=_eight_bits(context, side, grid),
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, wrong(), finding, "tensors")
    yield from _by_channel(context)


def _data(context: EncodingsContext, grids: dict[str, EntryGrid], side: SideInput) -> Place:
    """Where the activations of a scale's or slope's op get their width."""
    graph, name = side.node.graph, side.data or side.node.input(0)
    return encoding_place(context, graph, origin(graph, name, grids), "the activations")


def _eight_bits(context: EncodingsContext, side: SideInput, grid: EntryGrid) -> Fix | None:
    stored = side.node.graph.constant(side.name)
    # Imported here because it imports onnx, and a file without its model has no values.
    from dlclint.model.tensors import Unavailable

    try:
        values = np.zeros(0) if stored is None else stored.numbers()
    except Unavailable:
        return None
    if not values.size or not np.isfinite(values).all():
        return None
    ends = float(values.min()), float(values.max())
    return recast(context.document, grid, ends, 8, "give it 8 bits, asymmetric, over its own values")


def _by_channel(context: EncodingsContext) -> Iterator[Finding]:
    """Scales of normalizations with a grid for each channel."""
    document = context.document
    assert context.view is not None

    def several() -> Iterator[tuple[int, SideInput]]:
        assert context.view is not None
        for side in side_inputs(context.view):
            for row in document.rows(side.name)[-1:]:
                kind = document.elements.kind[document.tensors.first[row]]
                is_scale = side.op.endswith("Normalization")
                if document.tensors.count[row] > 1 and kind in (INT, UNKNOWN) and kind != FLOAT and is_scale:
                    yield row, side

    def finding(hit: tuple[int, SideInput]) -> Finding:
        row, side = hit
        count = int(document.tensors.count[row])
        unplaced = Finding(
            f"{side.name!r}: {side.words} has {count} grids, one for each channel, and HTP takes one",
            Severity.WARNING,
            Source("onnxruntime/onnxruntime-qnn#434", "a standalone BatchNormalization"),
            Confidence.FIELD_REPORTED,
            "give it one encoding, of 8 bits and asymmetric",
            side.node,
            evidence={"entries": count},
        )
        return at(context, row, (), unplaced)

    yield from capped(context, several(), finding, "tensors")


@encodings_rule(about=About.FORM)
def second_input_cut(context: EncodingsContext) -> Iterator[Finding]:
    """The second of two computed 16-bit inputs loses half of its bits.

    Why: HTP multiplies 16-bit activations by 8-bit ones, so if both inputs of a MatMul are computed, the
    second is cut to 8 bits. From Hexagon v73 on, it keeps 16 bits if it is symmetric and the converter gets
    the option `--use_dynamic_16_bit_weights` (off by default). Einsum has no such form before v73.
    What to do: from v73 on, make the second input symmetric and pass the option; before, give it 8 bits, so
    that the file matches what runs.
    Fix: unsafe, the second input becomes symmetric if the chip keeps its 16 bits.
    """
    if context.view is None or Runtime.HTP not in context.target.considered:
        return
    grids = entry_grids(context.document)
    hexagon, kept_since = _hexagon(context), second_input().kept_since
    keeps = hexagon is None or hexagon >= kept_since
    # A QDQ model with an unsigned second input lost bits when measured; the converter may make that of a file
    # signed.
    carried = bool(context.nodes)

    def cut() -> Iterator[tuple[Node, EntryGrid, str]]:
        assert context.view is not None
        for node in computed_products(context.view):
            first, second = (grids.get(origin(node.graph, name, grids)) for name in node.inputs[:2])
            if second is None or second.bitwidth != 16:
                continue
            if first is not None and first.bitwidth != 16:
                continue
            if node.op_type == "MatMul" or not keeps:
                yield node, second, form_of(context, second)

    def finding(hit: tuple[Node, EntryGrid, str]) -> Finding:
        node, grid, form = hit
        left = second_input()
        if node.op_type == "Einsum":
            severity, effect = (
                Severity.ERROR,
                f"Einsum at 16 bits needs Hexagon v{kept_since}, and this is v{hexagon}",
            )
            help = "give its inputs 8 bits, or write it as MatMul"
        elif keeps and (form == INT16 or (form == UINT16_SYMMETRIC and not carried)):
            severity = Severity.INFO
            effect = f"MatMul keeps its 16 bits from Hexagon v{kept_since} on, if the converter is told to"
            help = "pass --use_dynamic_16_bit_weights to a converter that has it; without, 8 bits are left"
        else:
            severity = Severity.WARNING
            effect = (
                f"MatMul cuts its second input to 8 bits: {left.decibels[UINT16]:g} dB are left of"
                f" {left.on_cpu:g} (measured)"
            )
            help = (
                f"make it symmetric ({left.decibels[INT16]:g} dB from v{kept_since} on), and pass"
                " --use_dynamic_16_bit_weights to a converter that has it"
                if keeps
                else "give it 8 bits, so that the file says what runs"
            )
        maker = node.graph.producer(grid.name)
        fixed = maker is not None and maker.op_type in ("Softmax", "Sigmoid")
        unplaced = Finding(
            f"{grid.name!r}: {effect}",
            severity,
            sources.SECOND_INPUT,
            Confidence.FIELD_REPORTED,
            help,
            node,
            evidence={"bitwidth": 16, "form": form},
            fix=recast(
                context.document,
                grid,
                (grid.low, grid.high),
                16,
                "make it symmetric",
                symmetric=True,
            )
            if keeps and severity is Severity.WARNING and not fixed
            else None,
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, cut(), finding, "tensors")
