"""Numbers that repair an entry: fitted again to its own range, or made symmetric."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dlclint.diagnostic import Safety
from dlclint.encodings import grid
from dlclint.encodings.document import EncodingsDocument, Layout
from dlclint.encodings.edits import DocumentEdit, SetValue, number
from dlclint.encodings.entry_grids import EntryGrid
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext
from dlclint_rules.encodings.reporting import Rows

SAME_STEP = 1.01
"""A step may grow by at most a hundredth: values that round to within half a step still do."""


def tolerance(bitwidth: npt.NDArray[np.float64], of_a_step: float) -> npt.NDArray[np.float64]:
    """In steps: numbers printed as float32 are off by about 1e-7 of their size, 2**bitwidth steps."""
    return np.asarray(of_a_step + grid.steps(bitwidth) * 1e-6)


def refit(document: EncodingsDocument, tensor: int, rows: Rows) -> Fix | None:
    """All numbers of entries with min, max and bitwidth, by the documented algorithm.

    Numbers that already are on the grid keep their digits. Entries marked symmetric become symmetric.
    """
    elements = document.elements
    low, high, bits = elements.minimum[rows], elements.maximum[rows], elements.bitwidth[rows]
    if (elements.symmetric[rows] == 1).all():
        return made_symmetric(document, tensor, rows)
    try:
        fitted = grid.fit(low, high, bits)
    except ValueError:
        return None
    edits: list[DocumentEdit] = []
    slack = fitted.scale * tolerance(bits, 1e-3)
    for position, row in enumerate(rows.tolist()):
        values = {
            "minimum": (fitted.minimum[position], low[position], slack[position]),
            "maximum": (fitted.maximum[position], high[position], slack[position]),
            "scale": (fitted.scale[position], elements.scale[row], 1e-6 * fitted.scale[position]),
            "offset": (fitted.offset[position], elements.offset[row], 0.0),
        }
        for name, (new, old, near) in values.items():
            if abs(new - old) > near:
                path = document.field_path(row, name)
                like = document.spelling(tensor, path) if name == "offset" else "0."
                edits.append(SetValue(tensor, path, number(float(new), like)))
    return (
        Fix("recompute the numbers from min, max and bitwidth", Safety.SAFE, tuple(edits)) if edits else None
    )


def made_symmetric(document: EncodingsDocument, tensor: int, rows: Rows) -> Fix | None:
    """Offset -2**(bitwidth - 1), and the smallest step that still covers the range.

    One entry for a whole tensor whose step would grow by more than a hundredth is marked asymmetric instead,
    which changes no number.
    """
    elements = document.elements
    bits = elements.bitwidth[rows]
    old = grid.on_grid(elements.scale[rows], elements.offset[rows], bits)
    low = np.where(np.isnan(elements.minimum[rows]), old.minimum, elements.minimum[rows])
    high = np.where(np.isnan(elements.maximum[rows]), old.maximum, elements.maximum[rows])
    if not np.isfinite([low, high, bits]).all() or (low > high).any() or ((bits < 2) | (bits > 32)).any():
        return None
    half = np.exp2(bits - 1)
    need = np.maximum(np.maximum(-low / half, high / (half - 1)), grid.MINIMUM_RANGE / grid.steps(bits))
    scales = np.where(elements.scale[rows] > 0, elements.scale[rows], need)
    # The grid covers a range up to half a step: an end that is at most so far out keeps the step.
    fits = (low >= -(half + 0.5) * scales * (1 + 1e-6)) & (high <= (half - 0.5) * scales * (1 + 1e-6))
    # A step much larger than the range needs does not belong to this range.
    fits &= scales <= need * SAME_STEP
    scale = np.where(fits, scales, need)
    new = grid.on_grid(scale, -half, bits)
    if not new.fits_float32:
        return None
    growth = float(np.max(scale / np.where(high > low, grid.scale_of(low, high, bits), scale)))
    several = document.tensors.count[tensor] > 1 or document.tensors.enc_type[tensor] == "PER_CHANNEL"
    if growth > SAME_STEP and not several and elements.symmetric[rows[0]] == 1:
        path = document.field_path(int(rows[0]), "symmetric")
        spelled = '"False"' if document.section_of(tensor).layout is Layout.LEGACY else "false"
        return Fix("call it asymmetric, as its numbers are", Safety.SAFE, (SetValue(tensor, path, spelled),))
    edits: list[DocumentEdit] = []
    for position, row in enumerate(rows.tolist()):
        edits.extend(grid_edits(document, row, new, position))
    title = f"make it symmetric (the step grows by {max(growth - 1, 0.0):.1%})"
    safety = Safety.SAFE if growth <= SAME_STEP else Safety.UNSAFE
    return Fix(title, safety, tuple(edits)) if edits else None


def grid_edits(
    document: EncodingsDocument, row: int, encoding: grid.Encoding, position: int
) -> Iterator[DocumentEdit]:
    """Edits that give an element the numbers of an encoding, for the fields that its layout has."""
    tensor = int(document.elements.tensor[row])
    layout = document.section_of(tensor).layout
    if layout is Layout.FLAT:
        yield from _flat_edits(document, row, encoding, position)
        return
    old = {"scale": document.elements.scale[row], "offset": document.elements.offset[row]}
    values = {"scale": float(encoding.scale[position]), "offset": float(encoding.offset[position])}
    if layout is Layout.LEGACY:
        old |= {"minimum": document.elements.minimum[row], "maximum": document.elements.maximum[row]}
        values |= {"minimum": float(encoding.minimum[position]), "maximum": float(encoding.maximum[position])}
    for name, value in values.items():
        if value != old[name]:
            path = document.field_path(row, name)
            like = document.spelling(tensor, path) if name == "offset" else "0."
            yield SetValue(tensor, path, number(value, like))


def _flat_edits(
    document: EncodingsDocument, row: int, encoding: grid.Encoding, position: int
) -> Iterator[DocumentEdit]:
    """The same in 2.x, which counts the zero point from its type's lowest integer, and omits 0."""
    tensor = int(document.elements.tensor[row])
    scale, offset, bits = (
        float(column[position]) for column in (encoding.scale, encoding.offset, encoding.bitwidth)
    )
    if scale != document.elements.scale[row]:
        yield SetValue(tensor, document.field_path(row, "scale"), number(scale, "0."))
    if offset != document.elements.offset[row]:
        signed = not document.tensors.dtype[tensor].startswith("u")
        zero = -offset - (2.0 ** (bits - 1) if signed else 0.0)
        yield SetValue(tensor, document.field_path(row, "offset"), number(zero, "0"))


def regridded(
    document: EncodingsDocument, current: EntryGrid, ends: tuple[float, float], title: str
) -> Fix | None:
    """A whole tensor's grid fitted to another range, with its width and asymmetric; never safe."""
    try:
        fitted = grid.fit([ends[0]], [ends[1]], [current.bitwidth])
    except ValueError:
        return None
    return _regridded(document, current, fitted, title)


def regridded_as(document: EncodingsDocument, current: EntryGrid, other: EntryGrid) -> Fix | None:
    """A whole tensor's grid replaced by another tensor's of the same width; never safe."""
    same = grid.on_grid([other.scale], [other.offset], [other.bitwidth])
    return _regridded(document, current, same, f"give it the grid of {other.name}")


def _regridded(
    document: EncodingsDocument, current: EntryGrid, encoding: grid.Encoding, title: str
) -> Fix | None:
    if not encoding.fits_float32:
        return None
    edits = list(grid_edits(document, current.element, encoding, 0))
    layout = document.section_of(current.row).layout
    is_symmetric = float(encoding.offset[0]) == float(grid.symmetric_offset(current.bitwidth))
    if layout is not Layout.FLAT and document.elements.symmetric[current.element] == 1 and not is_symmetric:
        path = document.field_path(current.element, "symmetric")
        spelled = '"False"' if layout is Layout.LEGACY else "false"
        edits.append(SetValue(current.row, path, spelled))
    return Fix(title, Safety.UNSAFE, tuple(edits)) if edits else None


def recast(
    document: EncodingsDocument,
    current: EntryGrid,
    ends: tuple[float, float],
    bitwidth: int,
    title: str,
    symmetric: bool = False,
) -> Fix | None:
    """A whole tensor's grid fitted to a range with another width or symmetry; never safe.

    In 2.x a symmetric grid is signed and an asymmetric one unsigned.
    """
    fit = grid.fit_symmetric if symmetric else grid.fit
    try:
        encoding = fit([ends[0]], [ends[1]], [bitwidth])
    except ValueError:
        return None
    flat = document.is_flat(current.row)
    name = "dtype" if flat else "bitwidth"
    kind = f"{'int' if symmetric else 'uint'}{bitwidth}"
    edits: list[DocumentEdit] = []
    if flat:
        zero = 0 if symmetric else -int(encoding.offset[0])
        edits.append(
            SetValue(
                current.row, document.field_path(current.element, "scale"), repr(float(encoding.scale[0]))
            )
        )
        edits.append(SetValue(current.row, document.field_path(current.element, "offset"), str(zero)))
    else:
        edits += grid_edits(document, current.element, encoding, 0)
        if document.elements.symmetric[current.element] != int(symmetric):
            truth = str(symmetric)
            layout = document.section_of(current.row).layout
            spelled = f'"{truth}"' if layout is Layout.LEGACY else truth.lower()
            edits.append(SetValue(current.row, document.field_path(current.element, "symmetric"), spelled))
    text = f'"{kind}"' if flat else str(bitwidth)
    edits.append(SetValue(current.row, document.field_path(current.element, name), text))
    return Fix(title, Safety.UNSAFE, tuple(edits))


def widened(document: EncodingsDocument, current: EntryGrid) -> Fix | None:
    """The same range with 16 bits, for a whole tensor with fewer; never safe."""
    if current.bitwidth >= 16:
        return None
    return recast(document, current, (current.low, current.high), 16, "give it 16 bits")


def rescaled(context: EncodingsContext, row: int, scale: grid.Floats, title: str) -> Fix | None:
    """New scales for the elements of an entry, offsets and widths kept; None if the number differs."""
    document = context.document
    first, count = int(document.tensors.first[row]), int(document.tensors.count[row])
    if len(scale) not in (1, count):
        return None
    wide = np.broadcast_to(scale, count)
    rows = slice(first, first + count)
    offset = document.elements.offset[rows]
    encoding = grid.on_grid(wide, np.where(np.isnan(offset), 0.0, offset), document.elements.bitwidth[rows])
    if not encoding.fits_float32:
        return None
    edits: list[DocumentEdit] = []
    for position in range(count):
        edits.extend(grid_edits(document, first + position, encoding, position))
    return Fix(title, Safety.UNSAFE, tuple(edits)) if edits else None
