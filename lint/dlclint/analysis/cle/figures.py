"""What the quantizer would make of the weights of a chain, one scale for each weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlclint.analysis.cle.layers import Cells, Floats
from dlclint.analysis.cle.scaling import input_factors, output_factors, output_ranges
from dlclint.analysis.weights.noise import decibels, rounding_noise
from dlclint.encodings import grid


@dataclass(frozen=True, slots=True)
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
        found.append(_figures(cells, outputs, inputs, after, before, bitwidth))
    return tuple(found)


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
    group, height, width = cells.low.shape
    scale = outputs.reshape(group, height, 1) * inputs.reshape(group, 1, width)
    scale = scale.astype(np.float32)  # figures in dB need no more, and take half the time
    ranges = output_ranges(cells, inputs) * outputs
    alive = ranges[ranges > 0]
    spread = float(alive.max() / alive.min()) if alive.size else 1.0
    low, high = float((cells.low * scale).min()), float((cells.high * scale).max())
    step = float(grid.fit(low, high, bitwidth).scale)
    squares = cells.square * scale * scale / np.float32(cells.size)
    # A cell that lies within half a step of zero becomes zero, and its error is the cell itself.
    rounded = cells.magnitude * scale >= step / 2
    noise = np.where(rounded, rounding_noise(step, squares), squares)

    def weighed(values: Floats) -> float:
        of_rows = (values * before.reshape(group, 1, width)).sum(axis=2)
        return float((of_rows.reshape(-1) * after).sum())

    return Figures(
        spread,
        float(decibels(squares.sum(), noise.sum())),
        float(decibels(weighed(squares), weighed(noise))),
    )
