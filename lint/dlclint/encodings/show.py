"""Override files as tables, and the differences between two."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

import numpy as np

from dlclint.encodings import grid
from dlclint.encodings.document import FLOAT, INT, EncodingsDocument, Layout
from dlclint_schemas.record import record

_NAMES = {FLOAT: "float", INT: "int"}


@record
class EntryRow:
    """An entry in the same words whatever its format. Numbers are ranges over its channels."""

    name: str
    section: str
    dtype: str
    elements: int
    symmetric: str
    minimum: tuple[float, float]
    maximum: tuple[float, float]
    scale: tuple[float, float]
    offset: tuple[float, float]


def rows(document: EncodingsDocument, pattern: str = "*") -> Iterator[EntryRow]:
    """The entries whose name matches a glob, in order."""
    elements, tensors = document.elements, document.tensors
    own = grid.on_grid(elements.scale, elements.offset, elements.bitwidth)
    low = np.where(np.isnan(elements.minimum), own.minimum, elements.minimum)
    high = np.where(np.isnan(elements.maximum), own.maximum, elements.maximum)
    # The numbers of a float type are not on a grid of equal steps.
    gridless = elements.kind == FLOAT
    gridless &= np.isnan(elements.bitwidth) | document.in_layout(Layout.FLAT)
    low, high = np.where(gridless, np.nan, low), np.where(gridless, np.nan, high)
    offset = np.where(gridless & (elements.offset == 0), np.nan, elements.offset)
    for row, name in enumerate(tensors.names):
        if not fnmatchcase(name, pattern):
            continue
        first = int(tensors.first[row])
        part = slice(first, first + int(tensors.count[row]))
        bits = elements.bitwidth[first]
        kind = _NAMES.get(int(elements.kind[first]), "int")
        dtype = tensors.dtype[row] or f"{kind}{'?' if np.isnan(bits) else format(bits, 'g')}"
        said = int(elements.symmetric[first])
        yield EntryRow(
            name,
            document.section_of(row).name,
            dtype,
            int(tensors.count[row]),
            {1: "yes", 0: "no"}.get(said, "-"),
            _span(low[part]),
            _span(high[part]),
            _span(elements.scale[part]),
            _span(offset[part]),
        )


def _span(values: grid.Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if len(known) else (float("nan"), float("nan"))


def spelled(span: tuple[float, float]) -> str:
    """A number, or two joined by dots, or "-"."""
    low, high = span
    if low != low:
        return "-"
    return f"{low:.6g}" if low == high else f"{low:.6g}..{high:.6g}"


def differences(one: EncodingsDocument, other: EncodingsDocument) -> Iterator[str]:
    """The differences between two files, tensor by tensor; spelling does not matter."""
    left = {row.name: row for row in rows(one)}
    right = {row.name: row for row in rows(other)}
    for name in left:
        if name not in right:
            yield f"- {name}"
    for name in right:
        if name not in left:
            yield f"+ {name}"
    for name, row in left.items():
        if name in right:
            changed = [part for part in _PARTS if _part(row, part) != _part(right[name], part)]
            if changed:
                said = ", ".join(f"{p} {_part(row, p)} -> {_part(right[name], p)}" for p in changed)
                yield f"~ {name}: {said}"
            elif not _same(one, other, name):
                yield f"~ {name}: scale or offset of some channels"


_PARTS = ("width", "elements", "scale", "offset", "minimum", "maximum")


def _part(row: EntryRow, part: str) -> str:
    if part == "width":
        return row.dtype.removeprefix("u")
    value = getattr(row, part)
    return spelled(value) if isinstance(value, tuple) else str(value)


def _same(one: EncodingsDocument, other: EncodingsDocument, name: str) -> bool:
    unequal = []
    for document in (one, other):
        row = document.rows(name)[-1]
        part = slice(int(document.tensors.first[row]), None)
        part = slice(part.start, part.start + int(document.tensors.count[row]))
        unequal.append((document.elements.scale[part], document.elements.offset[part]))
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*unequal, strict=True))
