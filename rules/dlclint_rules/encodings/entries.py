"""The fields of each entry: present, of the right type, and with meaningful values."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from dlclint.analysis.moving import origin
from dlclint.analysis.roles import WeightUse, weight_uses
from dlclint.diagnostic import About, Confidence, Safety, Severity, Source
from dlclint.encodings.columns import FLOAT_DTYPES
from dlclint.encodings.document import FLOAT, PARAMS, UNKNOWN, EncodingsDocument, Flags, Layout
from dlclint.encodings.edits import DocumentEdit, RemoveMembers, SetValue
from dlclint.encodings.entry_grids import entry_grids
from dlclint.encodings.values import quoted_value
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext, Finding, Place
from dlclint.target import Runtime
from dlclint_rules.encodings.consumers import encoded_weights
from dlclint_rules.encodings.reporting import (
    AIMET,
    FORMAT,
    QUANTIZATION,
    Rows,
    at,
    by_tensor,
    capped,
    channels,
    encodings_rule,
    entry,
    reported,
)
from dlclint_rules.encodings.side_inputs import needing
from dlclint_schemas.precision import OBSERVED
from dlclint_schemas.quantization import widths

_TWO_BITS = 2
_SMALL_FLOATS = (4.0, 8.0)
"""Bits of the float types that AIMET's format has in addition to those that ops compute in."""
ENC_TYPES = ("PER_TENSOR", "PER_CHANNEL", "PER_BLOCK", "LPBQ", "VECTOR")


@encodings_rule(about=About.FILE)
def field_type(context: EncodingsContext) -> Iterator[Finding]:
    """A field's value has the wrong type, or is not one that the field can have.

    Why: text instead of a number ends the conversion. is_symmetric is text in the legacy layout: AIMET
    compares with "True", so it silently reads `true` and "true" as not symmetric. A scale that is not above
    zero defines no grid.
    What to do: write the type that the layout defines.
    Fix: safe for is_symmetric as boolean or in lower case: it becomes the intended text.
    """
    yield from reported(context, "field-type", Source(FORMAT))
    document = context.document
    elements = document.elements
    yield from _symmetry_spelling(context)
    bad_scale = elements.scale <= 0

    def scale(tensor: int, rows: Rows) -> Finding:
        value = elements.scale[rows[0]]
        finding = Finding(
            f"{document.tensors.names[tensor]!r}: scale {value:g}{channels(document, tensor, rows)}"
            " is not above zero",
            Severity.ERROR,
            Source(AIMET, "scale"),
            help="recompute it: (max - min) / (2**bitwidth - 1)",
            evidence={"scale": float(value)},
        )
        return at(context, tensor, document.field_path(int(rows[0]), "scale"), finding)

    yield from by_tensor(context, bad_scale, scale)
    yield from _enc_types(context)
    yield from _nested_blocks(context)


def _symmetry_spelling(context: EncodingsContext) -> Iterator[Finding]:
    document = context.document
    tensors = document.tensors
    legacy = [i for i, section in enumerate(document.sections) if section.layout is Layout.LEGACY]
    listed = [i for i, section in enumerate(document.sections) if section.layout is Layout.LIST]
    if not document.odd_symmetry:
        return

    def finding(tensor: int) -> Finding:
        section, first = int(tensors.section[tensor]), int(tensors.first[tensor])
        edits: list[DocumentEdit] = []
        said = ""
        where = document.field_path(first, "symmetric")
        for row in range(first, first + int(tensors.count[tensor]) if section in legacy else first + 1):
            path = document.field_path(row, "symmetric")
            spelled = document.spelling(tensor, path)
            right = _right_spelling(spelled, section in listed)
            if spelled and spelled != right:
                if not said:
                    said, where = spelled, path
                if right:
                    edits.append(SetValue(tensor, path, right))
        key = where[-1]
        silent = section in legacy and said.lower().strip('"') == "true"
        effect = "AIMET reads it as not symmetric" if silent else "this layout writes it otherwise"
        meant = '"True" or "False" as text' if section in legacy else "true or false without quotes"
        unplaced = Finding(
            f"{tensors.names[tensor]!r}: {key} is {said}, {effect}",
            Severity.WARNING if edits else Severity.ERROR,
            Source(FORMAT, str(key)),
            Confidence.FIELD_REPORTED,
            f"write {meant}",
            fix=Fix(f"write {key} as the layout has it", Safety.SAFE, tuple(edits)) if edits else None,
        )
        return at(context, tensor, where, unplaced)

    yield from capped(context, document.odd_symmetry, finding, "tensors")


def _right_spelling(spelled: str, listed: bool) -> str:
    meant = spelled.strip('"').lower()
    if meant not in ("true", "false"):
        return ""
    return meant if listed else f'"{meant.capitalize()}"'


def _enc_types(context: EncodingsContext) -> Iterator[Finding]:
    document = context.document
    tensors = document.tensors

    def wrong() -> Iterator[tuple[int, str, str]]:
        unknown = tensors.enc_type.where(lambda text: bool(text) and text not in ENC_TYPES)
        for tensor in np.flatnonzero(unknown).tolist():
            message = f"enc_type {tensors.enc_type[tensor]!r} is not one of {', '.join(ENC_TYPES)}"
            yield tensor, "enc_type", message
        several = tensors.enc_type.where(lambda text: text == "PER_TENSOR") & (tensors.count > 1)
        for tensor in np.flatnonzero(several).tolist():
            message = f"enc_type is PER_TENSOR, but scale has {tensors.count[tensor]} values"
            yield tensor, "enc_type", message
        single = document.in_sections(lambda section: section.layout is Layout.FLAT) & (tensors.count == 1)
        for tensor in np.flatnonzero(single & ~np.isnan(tensors.axis)).tolist():
            if isinstance(document.entry(tensor).get("y_scale"), (int, float)):
                yield tensor, "axis", "axis is given, but y_scale is one number; AIMET refuses that"
        for key, column in (("axis", tensors.axis), ("block_size", tensors.block_size)):
            for row in np.flatnonzero(~np.isnan(column)).tolist():
                value = column[row]
                if value != np.rint(value) or (key == "block_size" and value < 1):
                    yield row, key, f"{key} {value:g} is not an integer that it can be"

    def finding(hit: tuple[int, str, str]) -> Finding:
        tensor, key, message = hit
        unplaced = Finding(f"{tensors.names[tensor]!r}: {message}", Severity.ERROR, Source(FORMAT, key))
        return at(context, tensor, (key,), unplaced)

    yield from capped(context, wrong(), finding, "tensors")


def _nested_blocks(context: EncodingsContext) -> Iterator[Finding]:
    """LPBQ of 1.0.0 whose integer scales are a list for each channel."""
    document = context.document
    key = "per_block_int_scale"
    lpbq = document.tensors.enc_type.where(lambda name: name == "LPBQ")

    def nested() -> Iterator[int]:
        for tensor in np.flatnonzero(lpbq).tolist():
            value = document.entry(tensor).get(key)
            if isinstance(value, list) and any(isinstance(element, list) for element in value):
                yield tensor

    def finding(tensor: int) -> Finding:
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: {key} is nested; AIMET writes it as one list",
            Severity.INFO,
            Source(FORMAT, "LPBQ"),
            help="write the blocks of all channels one after the other",
        )
        return at(context, tensor, (key,), unplaced)

    yield from capped(context, nested(), finding, "tensors")


@encodings_rule(about=About.FILE)
def dtype(context: EncodingsContext) -> Iterator[Finding]:
    """The data type is not in the layout, or is a float of an undocumented width.

    Why: converters and AIMET compare dtype letter by letter: int and float in the legacy layout, INT and
    FLOAT in 1.0.0, names such as uint8 in 2.x. Floats are 16 or 32 bits wide. AIMET's format has narrower
    ones in 1.0.0 as well, but they need a scale, which only 2.0.0 has for them.
    What to do: write the name that the layout defines.
    Fix: safe, the layout's spelling of the same type.
    """
    document = context.document
    elements, tensors = document.elements, document.tensors
    listed = {i for i, section in enumerate(document.sections) if section.layout is Layout.LIST}
    names = tensors.dtype.where(lambda name: bool(name) and name not in FLOAT_DTYPES)
    said = document.has("dtype") & ~document.in_layout(Layout.FLAT)
    unknown = (elements.kind == UNKNOWN) & (said | names[elements.tensor])

    def finding(tensor: int, rows: Rows) -> Finding:
        path = document.field_path(int(rows[0]), "dtype")
        spelled = document.spelling(tensor, path)
        meant = spelled.strip('"').lower()
        edits: list[DocumentEdit] = []
        right = ""
        if meant in ("int", "float") and not document.is_flat(tensor):
            right = f'"{meant.upper() if int(tensors.section[tensor]) in listed else meant}"'
            edits = [SetValue(tensor, document.field_path(row, "dtype"), right) for row in rows.tolist()]
        result = Finding(
            f"{tensors.names[tensor]!r}: {path[-1]} {spelled} is not known in this layout",
            Severity.ERROR,
            Source(FORMAT, str(path[-1])),
            help=f"write {right}" if right else "see the format's list of types",
            fix=Fix(f"write {right}", Safety.SAFE, tuple(edits)) if edits else None,
        )
        return at(context, tensor, path, result)

    yield from by_tensor(context, unknown, finding)
    allowed = sorted(widths("float"))
    odd = (elements.kind == FLOAT) & ~np.isnan(elements.bitwidth) & ~np.isin(elements.bitwidth, allowed)
    odd &= ~document.in_layout(Layout.FLAT)  # which names the type, and has narrow ones

    def width(tensor: int, rows: Rows) -> Finding:
        bits = elements.bitwidth[rows[0]]
        # The format has them: AIMET's specification limits bw to 2 to 32, whatever the dtype.
        small = int(tensors.section[tensor]) in listed and float(bits) in _SMALL_FLOATS
        unplaced = Finding(
            f"{tensors.names[tensor]!r}: a float of {bits:g} bits; the documented widths are {allowed}"
            + (", and 1.0.0 has no scale for a smaller one" if small else ""),
            Severity.WARNING if small else Severity.ERROR,
            Source(QUANTIZATION, "bit widths, float"),
            help="write output_dtype, such as float8e4m3fn, and y_scale in 2.0.0, or 16 or 32"
            if small
            else "write 16 or 32, or dtype int",
            evidence={"bitwidth": float(bits)},
        )
        return at(context, tensor, document.field_path(int(rows[0]), "bitwidth"), unplaced)

    yield from by_tensor(context, odd, width)


@encodings_rule(about=About.FILE)
def float_with_range(context: EncodingsContext) -> Iterator[Finding]:
    """A float entry contains a range, scale or offset.

    Why: a float tensor has no grid. An entry with both contradicts itself, and the file does not show which
    one is meant.
    What to do: remove the numbers, or make the entry an integer one.
    Fix: safe, the numbers are removed.
    """
    document = context.document
    has_field = [document.has(field) for field in ("min", "max", "scale", "offset")]
    hits = (document.elements.kind == FLOAT) & np.logical_or.reduce(has_field)
    hits &= ~document.in_layout(Layout.FLAT)

    def finding(tensor: int, rows: Rows) -> Finding:
        edits: list[DocumentEdit] = []
        fields: tuple[str, ...] = ()
        for row in rows.tolist():
            keys = document.signatures[int(document.elements.signature[row])]
            present = tuple(key for key in ("min", "max", "scale", "offset") if key in keys)
            fields = fields or present
            path = document.field_path(row, "")
            edits.append(RemoveMembers(tensor, path, present))
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: a float entry with {', '.join(fields)}",
            Severity.WARNING,
            Source(FORMAT, "float entries"),
            help="remove the numbers, or write dtype int",
            fix=Fix("remove the numbers of a float entry", Safety.SAFE, tuple(edits)),
        )
        return at(context, tensor, (*document.field_path(int(rows[0]), ""), fields[0]), unplaced)

    yield from by_tensor(context, hits, finding)


@encodings_rule(about=About.TARGET)
def bit_width(context: EncodingsContext) -> Iterator[Finding]:
    """The target does not support the bit width.

    Why: activations are 8 or 16 bits, weights 4, 8 or 16, biases 8 or 32, except for overrides to int32; the
    quantizer fails for a width that the runtime does not support. Hexagon v66 does not support 16-bit
    activations ("Layer parameter value is invalid ... error code=3110"). 16-bit weights need 16-bit
    activations and Hexagon v73; HTP does not support them with 8-bit activations. A DLC from qairt-converter
    with 16-bit encodings fails on the CPU.
    What to do: use a documented width.
    """
    document = context.document
    elements, tensors = document.elements, document.tensors
    integer = elements.kind != FLOAT
    bits = elements.bitwidth
    whole = ~np.isnan(bits) & integer
    params = document.in_sections(lambda section: section.name == PARAMS)[elements.tensor]
    unsure = document.in_layout(Layout.FLAT)
    weights = widths("weights") | widths("bias")
    activations = widths("activations") | {32}
    ok = np.where(
        unsure,
        np.isin(bits, list(weights | activations)),
        np.where(params, np.isin(bits, list(weights)), np.isin(bits, list(activations))),
    )

    def finding(tensor: int, rows: Rows) -> Finding:
        value = float(bits[rows[0]])
        impossible = value != round(value) or not 2 <= value <= 32
        # Files of 2.x do not state which tensors are weights.
        meant = weights if params[rows[0]] else activations
        documented = sorted(weights | activations if unsure[rows[0]] else meant)
        if value == _TWO_BITS and not _is_legacy(document, tensor):
            unplaced = Finding(
                f"{tensors.names[tensor]!r}: 2 bits{channels(document, tensor, rows)}, which AIMET's format"
                f" has and the converters' documents do not: {', '.join(map(str, documented))}",
                Severity.INFO,
                Source(FORMAT, "bw"),
                help="try the converter of your SDK release",
                evidence={"bitwidth": value},
            )
            return at(context, tensor, _width_path(document, int(rows[0])), unplaced)
        unplaced = Finding(
            f"{tensors.names[tensor]!r}: {shown_bits(value)} bits{channels(document, tensor, rows)};"
            f" the documented widths are {', '.join(map(str, documented))}",
            Severity.ERROR if impossible else Severity.WARNING,
            Source(QUANTIZATION, "bit widths"),
            # AIMET's format has 2 bits from 1.0.0 on, and 4 to 32 before.
            help="write the file in 1.0.0 or newer, which has 2 bits"
            if value == _TWO_BITS
            else "use a documented width",
            evidence={"bitwidth": value},
        )
        return at(context, tensor, _width_path(document, int(rows[0])), unplaced)

    yield from by_tensor(context, whole & ~ok, finding)
    yield from _wide_on_hexagon(context, whole & (bits == 16), params)
    yield from _beside_eight(context)


def _wide_on_hexagon(context: EncodingsContext, sixteen: Flags, params: Flags) -> Iterator[Finding]:
    """16 bits where the chip's Hexagon version does not run them."""
    document = context.document
    target = context.target
    old = [runtime for runtime in (Runtime.AIP, Runtime.DSP) if target.means(runtime)]
    if old:
        runtime = old[0].value

        def on_v66(tensor: int, rows: Rows) -> Finding:
            unplaced = Finding(
                f"{document.tensors.names[tensor]!r}: 16 bits, which Hexagon v66 ({runtime}) does not run",
                Severity.ERROR,
                Source("qualcomm/qidk#36", "error code=3110"),
                Confidence.FIELD_REPORTED,
                "use 8 bits, or a chip with Hexagon v68 or later",
                evidence={"bitwidth": 16},
            )
            return at(context, tensor, _width_path(document, int(rows[0])), unplaced)

        yield from by_tensor(context, sixteen & ~params, on_v66)
    if Runtime.CPU in target.chosen:
        yield from by_tensor(context, sixteen & ~params, _on_cpu(context))
    hexagon = target.soc.hexagon if target.soc is not None and target.means(Runtime.HTP) else None
    if hexagon is not None and 68 <= hexagon < 73 and (sixteen & ~params).any():

        def before_v73(tensor: int, rows: Rows) -> Finding:
            finding = Finding(
                f"{document.tensors.names[tensor]!r}: a weight of 16 bits{channels(document, tensor, rows)};"
                f" with 16-bit activations that needs Hexagon v73, and {target.soc} has v{hexagon}",
                Severity.ERROR,
                Source("microsoft/onnxruntime#21848", "16bit Weight require minimum arch V73"),
                Confidence.FIELD_REPORTED,
                "use 8-bit weights",
                evidence={"bitwidth": 16, "hexagon": hexagon},
            )
            return at(context, tensor, _width_path(document, int(rows[0])), finding)

        wide = params
        if context.view is not None:
            # Files of 2.x do not state which tensors are weights, and biases, slopes and most scales need no
            # v73.
            names = {name for name, use in weight_uses(context.view.model) if not use.is_bias}
            names |= {side.name for side in needing(context, hexagon)}
            wide = np.array([name in names for name in document.tensors.names], bool)[
                document.elements.tensor
            ]
        yield from by_tensor(context, sixteen & wide, before_v73)


def _on_cpu(context: EncodingsContext) -> Callable[[int, Rows], Finding]:
    """16 bits where the DLC runs on the CPU."""
    document = context.document

    def finding(tensor: int, rows: Rows) -> Finding:
        unplaced = Finding(
            f"{document.tensors.names[tensor]!r}: 16 bits, with which a DLC of qairt-converter fails on cpu",
            Severity.WARNING,
            Source("80-63442-2 Rev BL, Qairt Converter", "quantization-aware training, 16-bit encodings"),
            help="use 8 bits, or --export_format DLC_STRIP_QUANT, which makes a float DLC for CPU and GPU",
            evidence={"bitwidth": 16},
        )
        return at(context, tensor, _width_path(document, int(rows[0])), unplaced)

    return finding


def _beside_eight(context: EncodingsContext) -> Iterator[Finding]:
    """16-bit weights of ops whose activations have 8 bits."""
    document, kind = context.document, context.target.kind
    if not context.target.means(Runtime.HTP):
        return
    grids = entry_grids(document)

    def beside() -> Iterator[tuple[int, WeightUse, int, tuple[Place, ...]]]:
        for row, use in encoded_weights(context):
            element = int(document.tensors.first[row])
            integer = document.elements.kind[element] != FLOAT
            if use.is_bias or not integer or document.elements.bitwidth[element] != 16:
                continue
            graph = use.node.graph
            read = (name for name in use.node.inputs if name and graph.constant(name) is None)
            activation_grids = (
                grids[moved] for name in read if (moved := origin(graph, name, grids)) in grids
            )
            first = next(activation_grids, None)
            known = first.bitwidth if first is not None else kind.act_bitwidth if kind.quantize else None
            if known == 8:
                told = () if first is None else (entry(context, first.row, "gives the activation 8 bits"),)
                yield row, use, known, told

    def finding(hit: tuple[int, WeightUse, int, tuple[Place, ...]]) -> Finding:
        row, use, width, told = hit
        unplaced = Finding(
            f"{document.tensors.names[row]!r}: a weight of 16 bits with {width}-bit activations; HTP takes"
            " 16-bit weights only with 16-bit activations",
            Severity.ERROR,
            Source("microsoft/onnxruntime#21848, #22821", OBSERVED),
            Confidence.FIELD_REPORTED,
            "use 8-bit weights, or 16-bit activations",
            use.node,
            evidence={"bitwidth": 16, "act_bitwidth": width},
            related=told,
        )
        return at(context, row, _width_path(document, int(document.tensors.first[row])), unplaced)

    yield from capped(context, beside(), finding, "weights")


def _is_legacy(document: EncodingsDocument, tensor: int) -> bool:
    return document.section_of(tensor).layout is Layout.LEGACY


def shown_bits(value: float) -> str:
    """A bit width without an unnecessary fraction."""
    return quoted_value(int(value)) if value == round(value) else str(value)


def _width_path(document: EncodingsDocument, row: int) -> tuple[str | int, ...]:
    tensor = int(document.elements.tensor[row])
    return document.field_path(row, "dtype" if document.is_flat(tensor) else "bitwidth")
