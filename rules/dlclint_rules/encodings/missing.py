"""Fields that entries lack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import numpy as np

from dlclint.diagnostic import About, Confidence, Safety, Severity, Source
from dlclint.encodings import grid
from dlclint.encodings.document import FLOAT, INT, EncodingsDocument, Flags, Layout
from dlclint.encodings.edits import DocumentEdit, InsertMembers, RenameKey, SetValue
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules.encodings.reporting import (
    AIMET,
    FORMAT,
    OVERRIDES,
    Rows,
    at,
    by_tensor,
    capped,
    channels,
    encodings_rule,
    reported,
)

_REQUIRED = {
    Layout.LEGACY: ("bitwidth",),
    Layout.LIST: ("bw", "dtype", "enc_type"),
    Layout.FLAT: ("output_dtype",),
}
_FOR_INTEGERS = {
    Layout.LEGACY: (),
    Layout.LIST: ("is_sym", "scale", "offset"),
    Layout.FLAT: (),
}
_OTHER_SPELLINGS = {"bitwidth": ("bw", "bits"), "dtype": ("type",), "is_symmetric": ("is_sym",)}
_LPBQ = {"per_channel_float_scale", "per_block_int_scale"}
_DECISIVE = frozenset(
    {"min", "max", "scale", "offset", "bitwidth", "dtype", "is_symmetric", "y_scale", *_LPBQ, None}
).union(
    *_REQUIRED.values(),
    *_FOR_INTEGERS.values(),
    *_OTHER_SPELLINGS.values(),
)
"""The fields that decide what an entry lacks, and None, which elements have that are not objects."""


@encodings_rule(about=About.FILE)
def missing_field(context: EncodingsContext) -> Iterator[Finding]:
    """An entry lacks a field.

    Why: the converter stops at a missing bitwidth ("Bitwidth must be present"), and an integer range needs
    both ends. In practice, entries with only bitwidth and dtype are accepted: they only choose the type and
    width, and the range comes from calibration.
    What to do: add the field; a warning or note says what happens without it.
    Fix: safe if the entry's own numbers determine it (min and max from scale and offset), or if the field
    only has its name in another layout.
    """
    yield from reported(context, "missing-field", Source(FORMAT, "name"))
    document = context.document
    elements = document.elements
    alike: dict[frozenset[str], list[int]] = {}
    for number, fields in enumerate(document.signatures):
        alike.setdefault(fields & _DECISIVE, []).append(number)
    for keys, numbers in alike.items():
        table = np.zeros(len(document.signatures), bool)
        table[numbers] = True
        here = table[elements.signature]
        for tensor_layout in {section.layout for section in document.sections}:
            chosen = here & document.in_layout(tensor_layout)
            if not chosen.any() or None in keys:
                continue
            for field, severity, why, kind in _missing(document, tensor_layout, keys):
                hits = chosen & (elements.kind == kind) if kind is not None else chosen
                if field not in _REQUIRED[tensor_layout]:
                    hits &= document.elements.kind != FLOAT
                yield from by_tensor(
                    context, hits, partial(_lacks, context, field=field, severity=severity, why=why)
                )
    yield from _missing_in_blocks(context)


def _missing(
    document: EncodingsDocument, layout: Layout, keys: frozenset[str]
) -> Iterator[tuple[str, Severity, str, int | None]]:
    """Field, severity, consequence, and the kind of entry that needs it (None: all)."""
    for field in _REQUIRED[layout]:
        if field not in keys:
            yield field, Severity.ERROR, "it is required", None
    for field in _FOR_INTEGERS[layout]:
        if field not in keys:
            yield field, Severity.ERROR, "integer entries require it", INT
    if layout is Layout.FLAT and not keys & {"y_scale", "per_channel_float_scale", "per_block_int_scale"}:
        yield "y_scale", Severity.ERROR, "integer entries require it", INT
    if layout is not Layout.LEGACY:
        return
    if not keys & {"min", "max"}:
        if keys & {"scale", "offset"}:
            why = "scale and offset are always recomputed from min, max and bitwidth"
            yield "min", Severity.ERROR, why, None
        elif "bitwidth" in keys:
            why = "the entry only chooses type and width, the range comes from calibration"
            # With a dtype it has the form of the document's own examples.
            yield "min", Severity.INFO if "dtype" in keys else Severity.WARNING, why, None
    elif len(keys & {"min", "max"}) == 1:
        yield ({"min", "max"} - keys).pop(), Severity.ERROR, "an integer range needs both ends", None
    for field, others in _OTHER_SPELLINGS.items():
        if field not in _REQUIRED[layout] and field not in keys and keys & set(others):
            yield field, Severity.WARNING, "without it the entry is incomplete", None
            keys |= {field}
    if document.version in ("0.5.0", "0.6.1") and "dtype" not in keys:
        yield "dtype", Severity.WARNING, f"version {document.version} requires it", None
    if document.version == "0.6.1" and keys & {"min", "max"}:
        for field in ("is_symmetric", "offset", "scale"):
            if field not in keys:
                yield field, Severity.INFO, "AIMET's loader refuses integer entries without it", None


def _lacks(
    context: EncodingsContext, tensor: int, rows: Rows, field: str, severity: Severity, why: str
) -> Finding:
    document = context.document
    name = document.tensors.names[tensor]
    path = document.field_path(int(rows[0]), "")
    keys = document.signatures[int(document.elements.signature[rows[0]])]
    other = next((key for key in _OTHER_SPELLINGS.get(field, ()) if key in keys), "")
    spelled = f" ({other} is not read here)" if other else ""
    missing = "min and max" if field == "min" and "max" not in keys else field
    finding = Finding(
        f"{name!r}: no {missing}{channels(document, tensor, rows)}{spelled}: {why}",
        severity,
        _lack_source(field, severity),
        Confidence.DOCUMENTED if severity is not Severity.WARNING else Confidence.FIELD_REPORTED,
        f"call it {field}" if other else f"add {missing}",
        fix=_fix_lack(document, rows, field, other),
    )
    return at(context, tensor, path, finding)


def _lack_source(field: str, severity: Severity) -> Source:
    if field in ("min", "max", "bitwidth"):
        return OVERRIDES
    if severity is Severity.INFO or field in ("dtype", "is_symmetric"):
        return Source(AIMET, "required fields")
    return Source(FORMAT, field)


def _fix_lack(document: EncodingsDocument, rows: Rows, field: str, other: str) -> Fix | None:
    elements = document.elements
    tensor = int(elements.tensor[rows[0]])
    edits: list[DocumentEdit] = []
    title = f"rename {other} to {field}" if other else f"add {field} from the entry's own numbers"
    own = grid.on_grid(elements.scale[rows], elements.offset[rows], elements.bitwidth[rows])
    for position, row in enumerate(rows.tolist()):
        path = document.field_path(row, "")
        if other:
            edits.append(RenameKey(tensor, (*path, other), field))
        elif field == "min" and np.isfinite(own.minimum[position] + own.maximum[position]):
            span = {"max": float(own.maximum[position]), "min": float(own.minimum[position])}
            edits.append(InsertMembers(tensor, path, json.dumps(span)[1:-1]))
        elif field == "dtype":
            # Before 0.5.0 there was no dtype, and every entry was an integer one.
            edits.append(SetValue(tensor, (*path, "dtype"), '"int"'))
    return Fix(title, Safety.SAFE, tuple(edits)) if edits else None


def _missing_in_blocks(context: EncodingsContext) -> Iterator[Finding]:
    """Fields that only some encoding types need: block_size, axis and those of LPBQ."""
    document = context.document
    tensors = document.tensors

    def rows(mask: Flags) -> list[int]:
        numbers: list[int] = np.flatnonzero(mask).tolist()
        return numbers

    def lacks(*fields: str) -> Flags:
        """The tensors without any element that has one of the fields."""
        have: Flags = np.logical_or.reduce([document.has(field) for field in fields])
        return ~have[tensors.first]

    def lacking() -> Iterator[tuple[int, str, str]]:
        blocks = tensors.enc_type.where(("PER_BLOCK", "LPBQ").__contains__)
        for tensor in rows(blocks & lacks("block_size")):
            yield tensor, "block_size", f"enc_type {tensors.enc_type[tensor]} requires it"
        lpbq = tensors.enc_type.where(lambda name: name == "LPBQ")
        for field in ("compressed_bw", "per_block_int_scale"):
            for tensor in rows(lpbq & lacks(field)):
                yield tensor, field, "enc_type LPBQ requires it"
        flat = document.in_sections(lambda section: section.layout is Layout.FLAT)
        several = (tensors.count > 1) | ~np.isnan(tensors.block_size)
        for tensor in rows(flat & several & np.isnan(tensors.axis)):
            yield tensor, "axis", "an encoding of several channels or blocks needs it"
        for field in sorted(_LPBQ):
            for tensor in rows(flat & ~lacks(*_LPBQ) & lacks(field)):
                yield tensor, field, "LPBQ needs both scales"

    def finding(hit: tuple[int, str, str]) -> Finding:
        tensor, field, why = hit
        unplaced = Finding(
            f"{tensors.names[tensor]!r}: no {field}: {why}",
            Severity.ERROR,
            Source(FORMAT, field),
            help=f"add {field}",
        )
        return at(context, tensor, (), unplaced)

    yield from capped(context, lacking(), finding, "tensors")
