"""What the quantizer would make of the weights of a chain, one scale for each weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dlclint.analysis.cle.layers import Cells, Cells32, Floats
from dlclint.analysis.cle.scaling import input_factors, output_factors
from dlclint.analysis.weights.noise import decibels, rounding_noise
from dlclint.encodings import grid
from dlclint_schemas.record import record

_PIECE = 1 << 17
"""Cells that are looked at together."""


@record
class Figures:
    """A weight of a chain as the quantizer meets it.

    `spread` is the largest over the smallest range of its output channels, dead ones apart. `sqnr` is
    the signal to quantization noise of the whole weight in dB, `chain_sqnr` the same with every cell
    counting by what its neighbours make of it: times the energy of what comes before its input channel
    and after its output channel. That is what equalization is for: a channel of small weights is lost
    in the noise, and matters all the same where the next convolution multiplies it by large ones.
    """

    spread: float
    sqnr: float
    chain_sqnr: float


def chain_figures(chain: Sequence[Cells], factors: Sequence[Floats], bitwidth: int) -> tuple[Figures, ...]:
    """Figures of each weight of a chain that is scaled by the factors of its links."""
    scales = []
    rows, columns = [], []
    for position, cells in enumerate(chain):
        outputs = output_factors(factors, position, cells.outputs)
        inputs = input_factors(factors, position, cells.inputs)
        scales.append((outputs, inputs))
        rows.append(_energy(cells, inputs, 2) * np.square(outputs))
        columns.append(_energy(cells, outputs, 1) * np.square(inputs))
    found = []
    for position, (cells, (outputs, inputs)) in enumerate(zip(chain, scales, strict=True)):
        before = rows[position - 1] if position else np.ones(cells.inputs)
        after = columns[position + 1] if position + 1 < len(chain) else np.ones(cells.outputs)
        found.append(_figures(cells, outputs, inputs, _even(after), _even(before), bitwidth))
    return tuple(found)


def _even(weights: Floats) -> Floats:
    """The same proportions, the largest 1: products of energies may be beyond float32."""
    return np.asarray(weights / max(float(weights.max(initial=0.0)), np.finfo(np.float64).tiny))


def _energy(cells: Cells, other: Floats, axis: int) -> Floats:
    """Sum of squares of each output (axis 2) or input channel (axis 1), the other side being scaled."""
    group, height, width = cells.low.shape
    weights = np.square(other).reshape(group, width if axis == 2 else height)
    summed = np.einsum("ghw,gw->gh" if axis == 2 else "ghw,gh->gw", cells.square, weights)
    return np.asarray(summed, np.float64).reshape(-1)


def _figures(
    cells: Cells, outputs: Floats, inputs: Floats, after: Floats, before: Floats, bitwidth: int
) -> Figures:
    """`after` and `before` are the weights of output and input channels."""
    low, high, smallest, largest = 0.0, 0.0, np.inf, 0.0
    for rows, scale in _scaled_rows(cells, outputs, inputs):
        low = min(low, float((rows(cells.low) * scale).min()))
        high = max(high, float((rows(cells.high) * scale).max()))
        ranges = (rows(cells.magnitude) * scale).max(axis=1)
        smallest = min(smallest, float(ranges.min(initial=np.inf, where=ranges > 0)))
        largest = max(largest, float(ranges.max()))
    step = float(grid.fit(low, high, bitwidth).scale)
    importance = _scaled_rows(cells, after, before)
    sums = np.zeros(4)
    for (rows, scale), (_, weights) in zip(_scaled_rows(cells, outputs, inputs), importance, strict=True):
        squares = rows(cells.square) * scale * scale / np.float32(cells.size)
        # A cell that lies within half a step of zero becomes zero, and its error is the cell itself.
        rounded = rows(cells.magnitude) * scale >= step / 2
        noise = np.where(rounded, rounding_noise(step, squares), squares)
        weighed = (float((values * weights).sum(dtype=np.float64)) for values in (squares, noise))
        sums += (squares.sum(dtype=np.float64), noise.sum(), *weighed)
    spread = largest / smallest if largest > 0 else 1.0
    return Figures(spread, float(decibels(sums[0], sums[1])), float(decibels(sums[2], sums[3])))


def _scaled_rows(
    cells: Cells, outputs: Floats, inputs: Floats
) -> Iterator[tuple[Callable[[Cells32], Cells32], Cells32]]:
    """Some output channels at a time: what takes them out of an array of cells, and their factors.

    Pieces that fit the cache are several times as fast as whole weights, and need no memory to speak of.
    """
    group, height, width = cells.low.shape
    columns = inputs.reshape(group, width).astype(np.float32)
    per_row = outputs.astype(np.float32)[:, np.newaxis]
    at_once = max(1, _PIECE // width)
    for start in range(0, group * height, at_once):
        part = slice(start, start + at_once)
        own = columns if group == 1 else columns[np.arange(group * height)[part] // height]
        yield _Rows(part, width), per_row[part] * own


@record
class _Rows:
    """Takes a run of output channels out of an array of cells."""

    part: slice
    width: int

    def __call__(self, values: Cells32) -> Cells32:
        return values.reshape(-1, self.width)[self.part]
