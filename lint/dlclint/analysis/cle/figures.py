"""What the quantizer makes of the weights of a chain, with one scale for each weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlclint.analysis.cle.cells import Cells, Scratch, WeightCell
from dlclint.analysis.cle.measuring import MeasuredWeight, Weight
from dlclint.analysis.cle.scaling import Scaled, input_factors, output_factors
from dlclint.analysis.weights.noise import decibels, rounding_noise
from dlclint.analysis.weights.reading import for_each
from dlclint.analysis.weights.statistics import Floats
from dlclint.encodings import grid
from dlclint_schemas.record import record

_LARGEST = 1e18
"""The largest scale whose square float32 holds; with a larger one, squares of products become 0 in float32.
"""


@record
class Figures:
    """A weight of a chain as the quantizer sees it.

    `spread` is the largest divided by the smallest range of its output channels, without dead ones. `sqnr` is
    the signal to quantization noise of the whole weight in dB, `chain_sqnr` the same with every cell weighted
    by its neighbors: by the energy of what comes before its input channel and after its output channel. That
    is what equalization improves: a channel of small weights is lost in the noise, but still matters where
    the next convolution multiplies it by large ones.
    """

    spread: float
    sqnr: float
    chain_sqnr: float


def chain_figures(
    chain: Sequence[Weight], scaled: Scaled, bitwidth: int
) -> tuple[tuple[Figures, ...], tuple[Figures, ...]]:
    """Figures of each weight of a chain before and after it is scaled; reads each weight once.

    Raises:
        CannotScale: a weight cannot be read again.
    """
    even = tuple(np.ones(factor.shape) for factor in scaled.factors)
    states = [_states(chain, even, [weight.even for weight in chain], bitwidth)]
    if scaled.changes:
        states.append(_states(chain, scaled.factors, scaled.measured, bitwidth))
    figures = for_each(
        [(weight.cells, both) for weight, both in zip(chain, zip(*states, strict=True), strict=True)],
        [weight.cells.nbytes for weight in chain],
        lambda cells: _figures(*cells),
    )
    return tuple(cells[0] for cells in figures), tuple(cells[-1] for cells in figures)


@record
class _State:
    """A weight under factors for its channels, and the weights of channels in the chain.

    `outputs` include the factor of the batch normalization. `energy` is the sum of squares, `step` that of
    the quantizer's grid, `after` and `before` are the weights of output and input channels.
    """

    outputs: Floats
    inputs: Floats
    after: Floats
    before: Floats
    energy: float
    step: float
    spread: float


def _states(
    chain: Sequence[Weight], factors: Sequence[Floats], measured: Sequence[MeasuredWeight], bitwidth: int
) -> list[_State]:
    scales = [
        (
            output_factors(factors, position, weight.cells.outputs) * weight.factor,
            input_factors(factors, position, weight.cells.inputs),
        )
        for position, weight in enumerate(chain)
    ]
    rows = [
        survey.output_energy * np.square(outputs)
        for survey, (outputs, _) in zip(measured, scales, strict=True)
    ]
    columns = [
        survey.input_energy * np.square(inputs) for survey, (_, inputs) in zip(measured, scales, strict=True)
    ]
    states = []
    for position, (measured_weight, (outputs, inputs)) in enumerate(zip(measured, scales, strict=True)):
        before = rows[position - 1] if position else np.ones(len(inputs))
        after = columns[position + 1] if position + 1 < len(chain) else np.ones(len(outputs))
        ends = measured_weight.low * outputs, measured_weight.high * outputs
        low, high = np.minimum(*ends), np.maximum(*ends)
        ranges = np.maximum(-low, high)
        largest = float(ranges.max())
        spread = largest / float(ranges[ranges > 0].min()) if largest > 0 else 1.0
        step = grid.step_of_range(float(low.min()), float(high.max()), bitwidth)
        energy = float(rows[position].sum())
        states.append(_State(outputs, inputs, _even(after), _even(before), energy, step, spread))
    return states


def _even(weights: Floats) -> Floats:
    """The same proportions, scaled to a maximum of 1: products of energies may exceed float32."""
    largest = max(float(weights.max(initial=0.0)), float(np.finfo(np.float64).tiny))
    return np.asarray(weights / largest)


def _figures(cells: Cells, states: Sequence[_State]) -> list[Figures]:
    """A weight's figures in each state, all from one pass."""
    noises = [_Noise(cells, state) for state in states]
    for piece in cells.pieces():
        for noise in noises:
            noise.take(piece)
    return [
        Figures(
            state.spread,
            float(decibels(noise.signal, noise.noise)),
            float(decibels(noise.chain_signal, noise.chain_noise)),
        )
        for noise, state in zip(noises, states, strict=True)
    ]


class _Noise:
    """Adds up signal and quantization noise of a weight in one state."""

    def __init__(self, cells: Cells, state: _State) -> None:
        # Relative to the root mean square of the weight, so that no square exceeds float32.
        unit = np.sqrt(state.energy / cells.tensor.count) or 1.0
        scales = np.abs(state.outputs) / unit, state.inputs
        self.outputs, self.inputs = (np.minimum(scale, _LARGEST).astype(np.float32) for scale in scales)
        self.half = np.float32(state.step / unit / 2)
        self.limit = np.float32(rounding_noise(state.step / unit, np.inf) * cells.size)
        self.before, self.after = state.before.astype(np.float32), state.after
        self.scratch = Scratch()
        self.signal = self.noise = self.chain_signal = self.chain_noise = 0.0

    def take(self, piece: WeightCell) -> None:
        """Add a piece."""
        by_output, by_input = piece.by_output(self.outputs), piece.by_input(self.inputs)
        square, noise, other = (
            self.scratch(name, piece.square.shape) for name in ("square", "noise", "other")
        )
        np.multiply(piece.square, np.square(by_output), out=square)
        square *= np.square(by_input)
        # A cell within half a step of zero becomes zero, and its error is the cell itself.
        np.multiply(piece.magnitude, by_output, out=other)
        other *= by_input
        np.multiply(square, other < self.half, out=other)
        np.minimum(square, np.full_like(by_input, self.limit), out=noise)  # many times as fast as a number
        np.maximum(noise, other, out=noise)
        before, after = piece.by_input(self.before).transpose(0, 2, 1), self.after[piece.outputs]
        self.signal += float(square.sum(axis=2).sum(dtype=np.float64))
        self.noise += float(noise.sum(axis=2).sum(dtype=np.float64))
        self.chain_signal += float((square @ before).reshape(-1) @ after)
        self.chain_noise += float((noise @ before).reshape(-1) @ after)
