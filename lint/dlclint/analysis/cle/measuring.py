"""The measurements of a scaled weight by channel, and the few cells that determine its ranges.

A range is the largest cell of a channel, and which cell that is depends on how the other axis is scaled.
`Peaks` keeps every cell that was the largest at some time: scaling is computed only on those, and measuring
the whole weight with the result either confirms that no other cell exceeds them, so that the result is exact,
or adds those that do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dlclint.analysis.cle.cells import CannotScale, Cells, Cells32, Scratch, WeightCell
from dlclint.analysis.weights.statistics import Floats
from dlclint_schemas.record import record

Indices = npt.NDArray[np.int64]

_PARTS = 8
"""Parts of an output channel, if it is divisible, that each contribute their largest cell: fewer passes."""


@record
class MeasuredWeight:
    """A weight whose channels are scaled, each axis with the factors of the other applied.

    `low` and `high` are the smallest and largest value (or 0), and `output_energy` the sum of squares, of
    each output channel when input channels are scaled; `input_energy` is that of each input channel when
    output channels are scaled.
    """

    low: Floats
    high: Floats
    output_energy: Floats
    input_energy: Floats


class Peaks:
    """The cells of a weight that are, or were, the largest of their channel on either axis."""

    def __init__(self, cells: Cells) -> None:
        self._outputs = _Axis(cells.outputs)
        self._inputs = _Axis(cells.inputs)
        self.magnitudes: npt.NDArray[np.float32] = np.zeros(0, np.float32)

    def __len__(self) -> int:
        return len(self.magnitudes)

    @property
    def outputs(self) -> Indices:
        """The output channel of each cell."""
        return self._outputs.channels

    @property
    def inputs(self) -> Indices:
        """The input channel of each cell."""
        return self._inputs.channels

    def add(self, outputs: Indices, inputs: Indices, magnitudes: Cells32) -> None:
        """Add cells by their channels; duplicates do no harm."""
        rows = np.concatenate([self._outputs.channels, outputs])
        columns = np.concatenate([self._inputs.channels, inputs])
        cells, first = np.unique(rows * self._inputs.count + columns, return_index=True)
        self.magnitudes = np.concatenate([self.magnitudes, magnitudes])[first]
        self._outputs.put(cells // self._inputs.count)
        self._inputs.put(cells % self._inputs.count)

    def output_ranges(self, inputs: Floats) -> Cells32:
        """Largest magnitude of each output channel when input channels are multiplied by `inputs`."""
        scaled = self.magnitudes * inputs.astype(np.float32)[self._inputs.channels]
        return self._outputs.largest(scaled)

    def input_ranges(self, outputs: Floats) -> Cells32:
        """Largest magnitude of each input channel when output channels are multiplied by `outputs`."""
        scaled = self.magnitudes * np.abs(outputs).astype(np.float32)[self._outputs.channels]
        return self._inputs.largest(scaled)


class _Axis:
    """The channels that some cells are in, with the cells of each channel grouped."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.put(np.zeros(0, np.int64))

    def put(self, channels: Indices) -> None:
        self.channels = channels
        self._order = np.argsort(channels, kind="stable")
        self._present, self._starts = np.unique(channels[self._order], return_index=True)

    def largest(self, values: Cells32) -> Cells32:
        """The largest value of each channel; 0 where it has none."""
        maxima = np.zeros(self.count, np.float32)
        if len(self._present):
            maxima[self._present] = np.maximum.reduceat(values[self._order], self._starts)
        return maxima


@dataclass(frozen=True)
class Weight:
    """A weight as the converter sees it, with its unscaled measurements and its peaks.

    `factor` is what the batch normalization after it multiplies each output channel by.
    """

    cells: Cells
    factor: Floats
    even: MeasuredWeight
    peaks: Peaks

    def output_ranges(self, inputs: Floats) -> Floats:
        """Largest magnitude of each output channel when input channels are multiplied by `inputs`."""
        return np.asarray(self.peaks.output_ranges(inputs) * np.abs(self.factor))

    def input_ranges(self, outputs: Floats) -> Floats:
        """Largest magnitude of each input channel when output channels are multiplied by `outputs`."""
        return np.asarray(self.peaks.input_ranges(outputs * self.factor), np.float64)


def survey(cells: Cells, factor: Floats) -> Weight:
    """Read a weight for the first time.

    Raises:
        CannotScale: it cannot be read, or holds non-finite values.
    """
    peaks = Peaks(cells)
    even, _ = measured_weight(cells, peaks, factor, np.ones(cells.inputs))
    if (
        not np.isfinite(even.output_energy * np.square(factor)).all()
        or not np.isfinite(even.input_energy).all()
    ):
        raise CannotScale(f"its weight {cells.name!r} holds NaN, infinity or numbers beyond 1e17")
    return Weight(cells, factor, even, peaks)


def measured_weight(
    cells: Cells, peaks: Peaks, outputs: Floats, inputs: Floats, first: bool = False, last: bool = False
) -> tuple[MeasuredWeight, bool]:
    """Read a weight whose channels are multiplied by `outputs` and `inputs`.

    Cells larger than all known ones of their channel are added to `peaks`; the second value is whether there
    were none. `first` and `last` mean that the ranges of input or output channels are not needed.

    Raises:
        CannotScale: the weight cannot be read.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scan = _Scan(cells, peaks, outputs, inputs)
        if first:
            scan.known_inputs[:] = np.inf
        if last:
            scan.known_outputs[:] = np.inf
        for piece in cells.pieces():
            scan.take(piece)
    if scan.found:
        rows, columns, magnitudes = zip(*scan.found, strict=True)
        peaks.add(np.concatenate(rows), np.concatenate(columns), np.concatenate(magnitudes))
    return scan.result(), not scan.found


class _Scan:
    """The results of one pass so far."""

    def __init__(self, cells: Cells, peaks: Peaks, outputs: Floats, inputs: Floats) -> None:
        self.outputs, self.inputs = np.abs(outputs).astype(np.float32), inputs.astype(np.float32)
        self.low, self.high = np.zeros(cells.outputs), np.zeros(cells.outputs)
        self.output_energy, self.input_energy = np.zeros(cells.outputs), np.zeros(cells.inputs)
        self.output_squares, self.input_squares = _Squares(outputs), _Squares(inputs)
        self.known_outputs = peaks.output_ranges(inputs)
        self.known_inputs = peaks.input_ranges(outputs)
        self.scratch = Scratch()
        self.found: list[tuple[Indices, Indices, Cells32]] = []

    def result(self) -> MeasuredWeight:
        """The measurements of the whole weight."""
        return MeasuredWeight(
            self.low,
            self.high,
            self.output_energy * self.input_squares.unit,
            self.input_energy * self.output_squares.unit,
        )

    def take(self, piece: WeightCell) -> None:
        """Reduce one piece while it is in the cache."""
        by_input = piece.by_input(self.inputs)
        low = high = np.multiply(piece.low, by_input, out=self.scratch("scaled", piece.low.shape))
        if piece.high is not piece.low:
            high = np.multiply(piece.high, by_input, out=self.scratch("high", piece.high.shape))
        lowest, highest = low.min(axis=2).reshape(-1), high.max(axis=2).reshape(-1)
        np.minimum(self.low[piece.outputs], lowest, out=self.low[piece.outputs])
        np.maximum(self.high[piece.outputs], highest, out=self.high[piece.outputs])
        self._outputs(piece, by_input, np.maximum(-lowest, highest))
        self._inputs(piece)
        squares = piece.by_input(self.input_squares.parts).transpose(0, 2, 1)
        self.output_energy[piece.outputs] += (piece.square @ squares).reshape(-1)
        squares = piece.by_output(self.output_squares.parts).transpose(0, 2, 1)
        self.input_energy[piece.inputs] += (squares @ piece.square).reshape(-1)

    def _outputs(self, piece: WeightCell, by_input: Cells32, largest: Cells32) -> None:
        """The largest cells of the output channels whose range is larger than known."""
        known = self.known_outputs[piece.outputs]
        channels = np.flatnonzero(largest > known)
        if not len(channels):
            return
        _, height, width = piece.low.shape
        group, row = np.divmod(channels, height)
        scaled = piece.magnitude[group, row] * by_input[group, 0]
        parts = math.gcd(width, _PARTS)
        column = scaled.reshape(len(channels), parts, -1).argmax(axis=2)
        column += np.arange(parts) * (width // parts)
        self._add(piece, group.repeat(parts), row.repeat(parts), column.reshape(-1))
        np.maximum(known, largest, out=known)

    def _inputs(self, piece: WeightCell) -> None:
        """The largest cells of the input channels whose range is larger than known."""
        scaled = self.scratch("scaled", piece.low.shape)
        np.multiply(piece.magnitude, piece.by_output(self.outputs), out=scaled)
        largest = scaled.max(axis=1)
        known = self.known_inputs[piece.inputs].reshape(largest.shape)
        more = largest > known
        if not more.any():
            return
        # A search for equal values takes a fraction of the time of an argmax over this axis.
        _, height, width = scaled.shape
        places = np.flatnonzero(scaled == np.where(more, largest, np.nan)[:, np.newaxis, :])
        place_of = np.empty(more.size, np.int64)
        place_of[places // (height * width) * width + places % width] = places
        places = place_of[np.flatnonzero(more)]
        self._add(piece, places // (height * width), places // width % height, places % width)
        np.maximum(known, largest, out=known)

    def _add(self, piece: WeightCell, group: Indices, row: Indices, column: Indices) -> None:
        _, height, width = piece.low.shape
        magnitudes = piece.magnitude[group, row, column]
        alive = magnitudes > 0
        outputs = piece.outputs.start + group * height + row
        inputs = piece.inputs.start + group * width + column
        self.found.append((outputs[alive], inputs[alive], magnitudes[alive]))


class _Squares:
    """Squares of factors as float32, relative to the largest one, which is `unit`."""

    def __init__(self, factors: Floats) -> None:
        squares = np.square(factors)
        self.unit = float(squares.max(initial=0.0)) or 1.0
        self.parts = (squares / self.unit).astype(np.float32)
