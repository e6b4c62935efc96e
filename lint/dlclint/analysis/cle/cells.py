"""A convolution's weight in the form that equalization needs: cell by cell, read piece by piece.

A cell is the kernel between one input and one output channel. Scales multiply whole cells, so the arithmetic
needs only the smallest and largest value and the sum of squares of each. They are computed again from the
file whenever they are needed and never held for a whole weight: those of a 1x1 convolution would take three
times the memory of the weight itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dlclint.analysis.weights.statistics import Floats, value_pieces
from dlclint.model.tensors import Array, Tensor, Unavailable
from dlclint_schemas.record import record

Cells32 = npt.NDArray[np.float32]

_PIECE = 1 << 17
"""Weights that are reduced at once: few enough that intermediate results stay in a cache."""


class CannotScale(Exception):
    """Why a convolution cannot be scaled; the argument completes the sentence "left alone: ..."."""


@record
class Block:
    """A part of a weight as stored: whole groups, or some channels of one.

    `values` has shape [group, out, in, kernel] and is valid until the next block is requested; `outputs` and
    `inputs` are the channels that it spans.
    """

    values: Array
    outputs: slice
    inputs: slice


@record
class WeightCell:
    """The cells of a block, arrays of shape [group, out, in]; valid until the next piece is requested.

    For each cell: smallest and largest value (the same array if cells hold one weight), largest magnitude and
    sum of squares.
    """

    low: Cells32
    high: Cells32
    magnitude: Cells32
    square: Cells32
    outputs: slice
    inputs: slice

    def by_output(self, channels: Array) -> Array:
        """Numbers of all output channels, those of this piece in shape [group, out, 1]."""
        return channels[self.outputs].reshape(len(self.low), -1, 1)

    def by_input(self, channels: Array) -> Array:
        """Numbers of all input channels, those of this piece in shape [group, 1, in]."""
        return channels[self.inputs].reshape(len(self.low), 1, -1)


class Scratch:
    """Arrays by name that are reused for every piece.

    New arrays of that size return to the system whenever they are freed, and mapping them again takes longer
    than the arithmetic in them.
    """

    def __init__(self) -> None:
        self._held: dict[str, Cells32] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> Cells32:
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.empty(size, np.float32)
        return held[:size].reshape(shape)


@record
class Cells:
    """A stored weight.

    `transposed` means that it is stored as [in, out / group, ...], like that of ConvTranspose, and not as
    [out, in / group, ...].
    """

    name: str
    tensor: Tensor
    group: int
    transposed: bool

    @property
    def size(self) -> int:
        """Number of weights in a cell."""
        return math.prod(self.tensor.shape[2:])

    @property
    def nbytes(self) -> int:
        """Bytes of the weight in the file."""
        return self.tensor.nbytes

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return self.group * self.tensor.shape[1] if self.transposed else self.tensor.shape[0]

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return self.tensor.shape[0] if self.transposed else self.group * self.tensor.shape[1]

    def blocks(self) -> Iterator[Block]:
        """The stored weight in storage order, as float32 (float64 if it is double).

        Raises:
            CannotScale: the weight cannot be read.
        """
        count, width = self.tensor.shape[:2]
        height, row = count // self.group, width * self.size
        start = 0
        for rows in self._rows(row, max(1, _PIECE // row)):
            stop = start + len(rows) // row
            for first, last in _runs(start, stop, height):
                groups = slice(first // height, -(-last // height))
                values = rows[(first - start) * row : (last - start) * row]
                values = values.reshape(groups.stop - groups.start, -1, width, self.size)
                across = slice(groups.start * width, groups.stop * width)
                if self.transposed:
                    yield Block(values.transpose(0, 2, 1, 3), across, slice(first, last))
                else:
                    yield Block(values, slice(first, last), across)
            start = stop

    def _rows(self, row: int, at_once: int) -> Iterator[Array]:
        """The values flat, a whole number of rows at a time."""
        buffer: Array = np.empty(0, np.float32)
        filled = 0
        try:
            for piece in value_pieces(self.tensor, size=at_once * row):
                if not filled and len(piece) % row == 0:
                    yield piece
                    continue
                if not buffer.size:
                    buffer = np.empty(min(at_once * row, self.tensor.count), piece.dtype)
                taken = 0
                while taken < len(piece):
                    some = min(len(piece) - taken, len(buffer) - filled)
                    buffer[filled : filled + some] = piece[taken : taken + some]
                    taken, filled = taken + some, filled + some
                    if filled == len(buffer):
                        yield buffer
                        filled = 0
        except Unavailable as error:
            raise CannotScale(f"its weight {self.name!r} cannot be read: {error}") from None
        if filled:
            yield buffer[:filled]

    def pieces(self) -> Iterator[WeightCell]:
        """The cells, in the order of the blocks; overflow and non-finite values raise no error.

        Raises:
            CannotScale: the weight cannot be read.
        """
        scratch = Scratch()
        for block in self.blocks():
            *shape, size = block.values.shape
            cells = tuple(shape)
            magnitude, square = scratch("magnitude", cells), scratch("square", cells)
            with np.errstate(over="ignore", invalid="ignore"):
                if size == 1:
                    low = high = block.values[..., 0].astype(np.float32, copy=False)
                    np.square(low, out=square)
                    np.abs(low, out=magnitude)
                else:
                    # Kernels first: a reduction over the last axis of nine numbers is slow.
                    kernels = scratch("kernels", (size, *cells))
                    np.copyto(kernels, np.moveaxis(block.values, 3, 0), casting="same_kind")
                    low = kernels.min(axis=0, out=scratch("low", cells))
                    high = kernels.max(axis=0, out=scratch("high", cells))
                    np.einsum("k...,k...->...", kernels, kernels, out=square)
                    np.maximum(np.negative(low, out=magnitude), high, out=magnitude)
            yield WeightCell(low, high, magnitude, square, block.outputs, block.inputs)

    def weighted_sums(self, channels: Floats) -> Floats:
        """For each output channel, the sum of its stored weights times a number for each input channel.

        Raises:
            CannotScale: the weight cannot be read.
        """
        sums = np.zeros(self.outputs)
        for block in self.blocks():
            cells = block.values.sum(axis=3, dtype=np.float64)
            numbers = channels[block.inputs].reshape(len(cells), -1, 1)
            sums[block.outputs] += (cells @ numbers).reshape(-1)
        return sums


def _runs(start: int, stop: int, height: int) -> Iterator[tuple[int, int]]:
    """Rows divided so that each run holds whole groups of `height` rows, or is part of one."""
    while start < stop:
        whole = (stop - start) // height * height if start % height == 0 else 0
        end = start + whole if whole else min(stop, (start // height + 1) * height)
        yield start, end
        start = end
