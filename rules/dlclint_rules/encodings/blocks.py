"""Encodings by block: plain, and low-power with integer scales."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dlclint.analysis.moving import origin
from dlclint.analysis.roles import WeightUse
from dlclint.analysis.weights.entries import weight_entries
from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.encodings.document import leaves
from dlclint.encodings.entry_grids import entry_grids
from dlclint.rule import EncodingsContext, Finding
from dlclint.target import Runtime
from dlclint_rules.causes import here
from dlclint_rules.encodings.consumers import encoded_weights
from dlclint_rules.encodings.reporting import at, capped, encodings_rule, in_blocks
from dlclint_schemas.precision import OBSERVED, block_weights
from dlclint_schemas.record import record
from dlclint_schemas.releases import release_number

LPBQ = Source("pytorch/executorch#12663, #13676", "block scales of 1 to 16")
SCALES = "per_block_int_scale"
_FLOAT = 0
"""In place of the bits of an activation that stays float."""


def _is_low_power(context: EncodingsContext, row: int) -> bool:
    """Whether the blocks of an entry have integer scales, relative to a scale for each channel."""
    document = context.document
    if document.tensors.enc_type[row] == "LPBQ":
        return True
    keys = document.signatures[int(document.elements.signature[document.tensors.first[row]])]
    return SCALES in keys or _double(document.entry(row)) is not None


def _double(entry: Any) -> dict[str, Any] | None:
    """The y_scale of 2.1.0 that is itself quantized, by integers."""
    scale = entry.get("y_scale") if isinstance(entry, dict) else None
    if not isinstance(scale, dict) or "x" not in scale or "x_scale" not in scale:
        return None
    is_float = str(scale.get("input_dtype", "")).startswith("float")
    return None if is_float else scale


@encodings_rule(about=About.FORM, follows=here("encodings/field-type", "encodings/missing-field"))
def block_quantization(context: EncodingsContext) -> Iterator[Finding]:
    """An encoding is per block.

    Why: HTP runs low-power block quantization (LPBQ), whose blocks have integer scales. Support for plain
    block quantization depends on release, chip and activations: releases before QAIRT 2.47 refuse it ("BQ is
    not supported", "validateOpConfig failed 3110"); QNN 2.51 accepted int4 and int8 blocks of Conv and MatMul
    with 16-bit activations from Hexagon v69 on, and refused them on v68 and with 8-bit or float activations,
    although 80-63442-10 lists float16 activations. Blocks of float numbers (NVFP4) are in none of these
    sources.
    What to do: export with LPBQ, or per channel, if the release or the chip is older.
    """
    document = context.document
    tensors = document.tensors
    uses = dict(encoded_weights(context))
    widths = {name: grid.bitwidth for name, grid in entry_grids(document).items()}
    widths |= {name: _FLOAT for name, entry in weight_entries(document).items() if entry.is_float}

    def finding(row: int) -> Finding:
        name = tensors.names[row]
        if _is_low_power(context, row):
            on_htp = Runtime.HTP in context.target.considered
            unplaced = Finding(
                f"{name!r}: low-power block quantization, which "
                + ("HTP runs" if on_htp else "is documented for HTP alone"),
                Severity.INFO if on_htp else Severity.WARNING,
                Source("qualcomm/aimet#4069", "LPBQ"),
                Confidence.FIELD_REPORTED,
                _for_low_power(context, row) if on_htp else "use one encoding per channel",
            )
        else:
            severity, why, help = _plain(context, row, _activation_width(context, uses.get(row), widths))
            unplaced = Finding(
                f"{name!r}: plain block quantization, {why}",
                severity,
                Source("qualcomm/aimet#4069; microsoft/onnxruntime#650", OBSERVED),
                Confidence.FIELD_REPORTED,
                help,
            )
        return at(context, row, (), unplaced)

    yield from capped(context, np.flatnonzero(in_blocks(document)).tolist(), finding, "tensors")


def _for_low_power(context: EncodingsContext, row: int) -> str:
    """What the converter needs for LPBQ."""
    if context.nodes:
        return ""
    file = "" if context.document.is_flat(row) else "a 2.0.0 file and "
    return f"needs {file}the second quantizer where the converter knows it"


def _activation_width(context: EncodingsContext, use: WeightUse | None, widths: dict[str, int]) -> int | None:
    """Bits of the activations of a weight's op, from the file or the options; 0: float; None: unknown."""
    if use is not None:
        graph = use.node.graph
        for name in (*use.node.inputs, *use.node.outputs):
            width = widths.get(origin(graph, name, widths)) if graph.constant(name) is None else None
            if width is not None:
                return width
    kind = context.target.kind
    return kind.act_bitwidth if kind.quantize else None


def _plain(context: EncodingsContext, row: int, width: int | None) -> tuple[Severity, str, str]:
    """Severity, words and remedy for plain block quantization of a tensor with activations of a width."""
    known, target = block_weights(), context.target
    instead = "use LPBQ, or one encoding per channel"
    if Runtime.HTP not in target.considered:
        return Severity.WARNING, "which is documented for HTP alone", instead
    hexagon = None if target.soc is None else target.soc.hexagon
    if hexagon is not None and hexagon < known.hexagon:
        return (
            Severity.ERROR,
            f"which needs Hexagon v{known.hexagon}, and {target.soc} has v{hexagon}",
            instead,
        )
    tensors = context.document.tensors
    if tensors.dtype[row].startswith("float"):
        why = f"in {tensors.dtype[row]}, which no source known to dlclint lists for HTP"
        return Severity.WARNING, why, instead
    bits = context.document.elements.bitwidth[tensors.first[row]]
    if bits not in known.bitwidths:
        measured = " and ".join(str(taken) for taken in sorted(known.bitwidths))
        return Severity.WARNING, f"at {bits:g} bits, where HTP was measured with {measured}", instead
    if width == _FLOAT:
        why = "with float activations, which 80-63442-10 lists (float16) and QNN 2.51 refused (measured)"
        return Severity.WARNING, why, f"use {known.act_bitwidth}-bit activations, or LPBQ"
    if width is not None and width != known.act_bitwidth:
        why = f"which HTP takes with {known.act_bitwidth}-bit activations, and these have {width}"
        return (
            Severity.ERROR,
            why,
            f"use {known.act_bitwidth}-bit activations, LPBQ, or one encoding per channel",
        )
    why = f"which HTP takes from SDK {known.sdk} and Hexagon v{known.hexagon} on, with 16-bit activations"
    if target.release.number < release_number(known.sdk):
        return (
            Severity.WARNING,
            f"{why}; this is SDK {target.release.name}",
            f"use a newer one; else {instead}",
        )
    severity = Severity.WARNING if width is None else Severity.INFO
    return severity, why, f"check the release; for an older one {instead}"


@record
class _Blocks:
    """The integer scales of an entry, and the lengths that they should have."""

    row: int
    scales: list[Any]
    channels: int | None
    most: int
    path: tuple[str, ...]


def _low_power(context: EncodingsContext) -> Iterator[_Blocks]:
    document = context.document
    for row in np.flatnonzero(in_blocks(document)).tolist():
        if not _is_low_power(context, row):
            continue
        entry = document.entry(row)
        double = _double(entry)
        if double is not None:
            channels = leaves(double["x_scale"])
            yield _Blocks(row, leaves(double["x"]), len(channels), 16, ("y_scale", "x"))
            continue
        bits, packed = entry.get("bw"), entry.get("compressed_bw", 4)
        wide = isinstance(bits, int) and isinstance(packed, int) and 0 < packed < bits <= 32
        channels = leaves(entry.get("scale", entry.get("per_channel_float_scale", [])))
        most = 1 << (bits - packed) if wide else 16
        yield _Blocks(row, leaves(entry.get(SCALES, [])), len(channels) or None, most, (SCALES,))


@encodings_rule(about=About.FORM)
def block_scales(context: EncodingsContext) -> Iterator[Finding]:
    """The integer scales of blocks are out of range, or their number is not the number of blocks.

    Why: HTP stores the scale of a block of LPBQ in 4 bits, for 1 to 16. Other scales wrap or are cut, which
    changes the weights of the block. Each block of each output channel has one scale, and the size of a block
    divides the input channels.
    What to do: export again with scales that are clipped to 1 to 16, and with a block size that divides the
    input channels.
    """
    document = context.document
    uses = dict(encoded_weights(context))

    def wrong() -> Iterator[tuple[_Blocks, str, dict[str, Any]]]:
        for blocks in _low_power(context):
            numbers = [value for value in blocks.scales if isinstance(value, (int, float))]
            bad = [value for value in numbers if not 1 <= value <= blocks.most or value != int(value)]
            if len(numbers) < len(blocks.scales) or bad:
                worst = max(bad, key=abs) if bad else "no number"
                said = f"{worst:g}" if bad else worst
                count = len(bad) or len(blocks.scales) - len(numbers)
                total, most = len(blocks.scales), blocks.most
                yield (
                    blocks,
                    f"{count} of {total} block scales are outside 1 to {most}, such as {said}",
                    {"outside": count, "scales": total, "most": most},
                )
            problem = _lengths(context, blocks, uses.get(blocks.row))
            if problem:
                yield blocks, problem, {"scales": len(blocks.scales)}

    def finding(hit: tuple[_Blocks, str, dict[str, Any]]) -> Finding:
        blocks, message, evidence = hit
        unplaced = Finding(
            f"{document.tensors.names[blocks.row]!r}: {message}",
            Severity.ERROR,
            LPBQ,
            Confidence.FIELD_REPORTED,
            "export again, with block scales clipped to the range and one for each block of each channel",
            evidence=evidence,
        )
        return at(context, blocks.row, blocks.path, unplaced)

    yield from capped(context, wrong(), finding, "entries")


def _lengths(context: EncodingsContext, blocks: _Blocks, use: WeightUse | None) -> str:
    """What is wrong with the number of scales; "" where it is correct, or unknown."""
    count, size = len(blocks.scales), context.document.tensors.block_size[blocks.row]
    if not count:
        return "there are no block scales"
    if blocks.channels and count % blocks.channels:
        return f"{count} block scales cannot be shared by {blocks.channels} channels evenly"
    if use is None or use.axis is None or np.isnan(size) or size < 1 or len(use.tensor.shape) < 2:
        return ""
    shape, axis = list(use.tensor.shape), use.axis % len(use.tensor.shape)
    stated = context.document.tensors.axis[blocks.row]
    inner = next(i for i in range(len(shape)) if i != axis)
    if not np.isnan(stated) and 0 <= stated < len(shape):
        inner = int(stated)
    if inner == axis:
        return f"axis {inner} is that of the output channels; blocks lie along the input channels"
    if shape[inner] % int(size):
        return f"blocks of {size:g} do not divide the {shape[inner]} input channels of shape {shape}"
    wanted = shape[axis] * (shape[inner] // int(size))
    if count != wanted:
        parts = f"{shape[axis]} channels times {shape[inner] // int(size)} blocks of {size:g}"
        return f"{count} block scales, where a weight of shape {shape} has {wanted} ({parts})"
    if blocks.channels is not None and blocks.channels not in (1, shape[axis]):
        return f"{blocks.channels} channel scales for {shape[axis]} channels of a weight of shape {shape}"
    return ""
