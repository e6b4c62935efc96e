"""The encodings that activations get when a float model is checked as a quantized one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from dlclint.analysis.view import ModelView
from dlclint.encodings.document import FLOAT, EncodingsDocument
from dlclint.encodings.grid import fit, on_grid
from dlclint.target import DlcKind
from dlclint_schemas.record import record

DEFAULT = (-1.0, 1.0)
"""The range of an activation about which nothing is known. A verdict depends on types and widths, hardly on
ranges.
"""
_WIDTHS = (8, 16)


@record
class UnsignedGrid:
    """Scale and zero point of an unsigned grid of 8 or 16 bits."""

    scale: float
    zero: int
    bitwidth: int

    def at(self, bitwidth: int) -> UnsignedGrid:
        """The grid of the same range at another width, as a Convert op makes it."""
        if bitwidth == self.bitwidth:
            return self
        low = -self.zero * self.scale
        return unsigned_grid(low, low + (2**self.bitwidth - 1) * self.scale, bitwidth)


@dataclass(slots=True)
class ActivationGrids:
    """A grid for every activation, with counts of where the grids came from."""

    view: ModelView
    document: EncodingsDocument | None
    sources: Counter[str] = field(default_factory=Counter)
    left_float: int = 0
    widths: Counter[int] = field(default_factory=Counter)
    """Activations by bitwidth."""
    converted: int = 0
    """Activations that were converted for an op of another width."""

    def of(self, tensor: str, moved: UnsignedGrid | None = None) -> UnsignedGrid | None:
        """The grid of an activation; None if the override file keeps it float, or gives it an unusual width.

        `moved` is the grid of the data that the tensor was made of only by moving, which it then keeps.
        """
        grid = self._of(tensor, moved)
        if grid is not None:
            self.widths[grid.bitwidth] += 1
        return grid

    def _of(self, tensor: str, moved: UnsignedGrid | None) -> UnsignedGrid | None:
        file_grid = self.entry_grid(tensor)
        if file_grid == "float":
            self.left_float += 1
            return None
        if isinstance(file_grid, UnsignedGrid):
            self.sources["from the override file"] += 1
            return file_grid
        if moved is not None:
            self.sources["as what they are moved from"] += 1
            return moved
        # An estimate beyond float64 is none; as rules, this is computed without NumPy's warnings.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            estimate = self.view.activations.get(tensor)
        if estimate is not None and np.isfinite([estimate.minimum, estimate.maximum]).all():
            self.sources["estimated"] += 1
            return unsigned_grid(estimate.minimum, estimate.maximum, self.width)
        self.sources[f"by default ({DEFAULT[0]:g} to {DEFAULT[1]:g})"] += 1
        return unsigned_grid(*DEFAULT, self.width)

    @property
    def width(self) -> int:
        """The bitwidth of activations that the file does not list."""
        return self.view.target.kind.act_bitwidth

    def entry_grid(self, tensor: str) -> UnsignedGrid | str | None:
        """What the override file states: a grid, `float`, or nothing that can be used."""
        row = None if self.document is None else self.document.last_row(tensor)
        if row is None or self.document is None:
            return None
        elements, first = self.document.elements, int(self.document.tensors.first[row])
        if elements.kind[first] == FLOAT:
            return "float"
        width = elements.bitwidth[first]
        bits = self.width if np.isnan(width) else int(width)
        if bits not in _WIDTHS:
            return None
        scale, offset = elements.scale[first], elements.offset[first]
        if scale > 0 and not np.isnan(offset):
            encoding = on_grid(scale, offset, bits)
            return UnsignedGrid(float(encoding.scale), round(-float(encoding.offset)), bits)
        low, high = elements.minimum[first], elements.maximum[first]
        return unsigned_grid(float(low), float(high), bits) if low < high else None

    def words(self) -> str:
        """Where the ranges came from, as one clause."""
        parts = [f"{count} {source}" for source, count in self.sources.most_common()]
        if self.left_float:
            parts.append(f"{self.left_float} left float by the override file")
        if self.converted:
            parts.append(f"{self.converted} converted for ops of another width")
        return "activation ranges: " + (", ".join(parts) or "none")


def unsigned_grid(low: float, high: float, bitwidth: int) -> UnsignedGrid:
    """The grid of a range, as the quantizer computes it."""
    encoding = fit(min(low, high), max(low, high), bitwidth)
    return UnsignedGrid(float(encoding.scale), round(-float(encoding.offset)), bitwidth)


def kind_words(kind: DlcKind) -> str:
    """A description such as `8-bit activations, 8-bit weights per channel`."""
    how = "per channel" if kind.per_channel else "per tensor"
    return f"{kind.act_bitwidth}-bit activations, {kind.weights_bitwidth}-bit weights {how}"
