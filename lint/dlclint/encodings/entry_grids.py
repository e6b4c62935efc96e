"""The grid that an entry of an override file states, by tensor name."""

from __future__ import annotations

import numpy as np

from dlclint.encodings import grid
from dlclint.encodings.document import FLOAT, EncodingsDocument
from dlclint_schemas.record import record


@record
class EntryGrid:
    """A grid for a whole tensor: `low` and `high` are the numbers of its outermost integers.

    `row` is the entry's row among the tensors of the file, `element` among the elements.
    """

    name: str
    row: int
    element: int
    low: float
    high: float
    scale: float
    offset: float
    bitwidth: int

    @property
    def steps(self) -> int:
        """The number of values of the grid: 256 for 8 bits."""
        return 1 << self.bitwidth

    @property
    def symmetric(self) -> bool:
        """Whether zero is the middle of the integers, according to the numbers, not the flags."""
        return round(self.offset) == -(1 << (self.bitwidth - 1))

    def same(self, other: EntryGrid) -> bool:
        """Whether two grids have the same numbers, up to rounding."""
        return (
            self.bitwidth == other.bitwidth
            and abs(self.scale - other.scale) <= 1e-3 * max(self.scale, other.scale)
            and abs(self.offset - other.offset) < 1
        )


def entry_grids(document: EncodingsDocument) -> dict[str, EntryGrid]:
    """The grid of every tensor with one integer grid, by name; for a repeated name the last."""
    tensors, elements = document.tensors, document.elements
    first = tensors.first
    bits = elements.bitwidth[first]
    usable = (tensors.count == 1) & (elements.kind[first] != FLOAT) & grid.has_grid(bits)
    with np.errstate(all="ignore"):
        encoding = grid.on_grid(elements.scale[first], elements.offset[first], bits)
        stated = ~np.isnan(elements.minimum[first] + elements.maximum[first])
        low = np.where(stated, elements.minimum[first], encoding.minimum)
        high = np.where(stated, elements.maximum[first], encoding.maximum)
        scale = np.where(np.isnan(encoding.scale), grid.scale_of(low, high, bits), encoding.scale)
        offset = np.where(np.isnan(encoding.offset), np.rint(low / scale), encoding.offset)
        usable &= np.isfinite(high - low) & (high > low) & (scale > 0) & np.isfinite(scale + offset)
    grids = {}
    for row in np.flatnonzero(usable).tolist():
        name = tensors.names[row]
        grids[name] = EntryGrid(
            name,
            row,
            int(first[row]),
            float(low[row]),
            float(high[row]),
            float(scale[row]),
            float(offset[row]),
            int(bits[row]),
        )
    return grids


@record
class StoredGrid:
    """The grid of an entry for a stored tensor: one number each, or one for each channel.

    Integers are 0 to 2**bitwidth - 1. `symmetric`: zero is the middle of every channel's grid. `signed`: the
    tools store it as signed integers, which up to 1.0.0 they do for entries marked symmetric and from 2.0.0
    on for a signed `output_dtype`.
    """

    scale: grid.Floats
    zero: grid.Floats
    bitwidth: int
    symmetric: bool
    signed: bool


def stored_grid(document: EncodingsDocument, row: int, bitwidth: int) -> StoredGrid | None:
    """The grid of an entry that is neither float nor per block; None where it has no complete one.

    `bitwidth` applies to an entry that has none.
    """
    elements, first = document.elements, int(document.tensors.first[row])
    part = slice(first, first + int(document.tensors.count[row]))
    width = elements.bitwidth[first]
    bits = int(width) if grid.has_grid(width) else bitwidth
    scale, offset = elements.scale[part], elements.offset[part]
    said = bool(elements.symmetric[first] == 1)
    if not (np.all(scale > 0) and np.isfinite(offset).all()):
        low, high = elements.minimum[part], elements.maximum[part]
        if not (np.isfinite(low).all() and np.isfinite(high).all() and np.all(low <= high)):
            return None
        encoding = (grid.fit_symmetric if said else grid.fit)(low, high, bits)
        scale, offset = encoding.scale, encoding.offset
    zero = -np.asarray(offset, np.float64)
    symmetric = bool(np.all(zero == 2.0 ** (bits - 1)))
    signed = not document.tensors.dtype[row].startswith("u") if document.is_flat(row) else said
    return StoredGrid(np.asarray(scale, np.float64), zero, bits, symmetric, signed)
