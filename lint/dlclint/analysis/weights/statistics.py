"""Statistics of a tensor's values in one streamed pass, whole and per channel.

Values are read in pieces of a fixed size, so that memory does not grow with the tensor; each piece is reduced
while it is in the cache. Sums are computed in float32 inside a piece (at most `PIECE` values: a relative
error around 1e-5, negligible for a figure in dB) and in float64 across pieces.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import onnx

from dlclint.model.tensors import Array, ChunkReader, Tensor
from dlclint.model.types import bits_per_element
from dlclint_schemas.record import record

Floats = npt.NDArray[np.float64]

PIECE = 1 << 18
"""Values that are reduced at once: 1 MiB of float32."""
SAMPLE = 1 << 14
"""Values of a tensor that are kept, evenly distributed over it; smaller tensors are kept whole."""
MOST_CHANNELS = 1 << 20
"""More slices than this along an axis are not channels, and would need more memory than the values."""

_KIND = onnx.TensorProto
_FLOATING = frozenset(
    getattr(_KIND, name)
    for name in (
        "FLOAT",
        "DOUBLE",
        "FLOAT16",
        "BFLOAT16",
        "FLOAT8E4M3FN",
        "FLOAT8E4M3FNUZ",
        "FLOAT8E5M2",
        "FLOAT8E5M2FNUZ",
    )
)


@record
class ChannelStatistics:
    """Minimum, maximum, sum and sum of squares of each slice along `axis`, shape [channels].

    `values` is the number of values of a channel. Non-finite values count as 0.
    """

    axis: int
    values: int
    minimum: Floats
    maximum: Floats
    sum: Floats
    square_sum: Floats


@record
class TensorStatistics:
    """Statistics of the finite values of a tensor; non-finite ones are counted.

    `sample` (float32, at most `SAMPLE` values) holds every `stride`-th value in storage order; the stride has
    no factor in common with the number of values, so no row or column is preferred. Non-finite values count
    as 0 in `minimum` and `maximum`, as in channels.
    """

    count: int
    nan: int
    infinite: int
    minimum: float
    maximum: float
    square_sum: float
    sample: npt.NDArray[np.float32]
    stride: int
    channels: dict[int, ChannelStatistics]

    @property
    def finite(self) -> int:
        """The number of finite values."""
        return self.count - self.nan - self.infinite

    @property
    def mean_square(self) -> float:
        """Mean square of the finite values."""
        return self.square_sum / self.finite if self.finite else 0.0

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.minimum), abs(self.maximum))


def is_floating(tensor: Tensor) -> bool:
    """Whether a tensor holds floating-point numbers, of any width."""
    return tensor.data_type in _FLOATING


def value_pieces(tensor: Tensor, reader: ChunkReader | None = None, size: int = PIECE) -> Iterator[Array]:
    """The values in order as float32 (float64 for doubles), at most `size` at once.

    A piece is valid until the next one is requested. Pass a `reader` where many tensors are read.

    Raises:
        Unavailable: the values cannot be read.
    """
    if reader is None:
        chunks = tensor.chunks(max(1, size * bits_per_element(tensor.data_type) // 8))
    else:
        chunks = reader.chunks(tensor)
    for chunk in chunks:
        for start in range(0, len(chunk), size):
            yield _widened(chunk[start : start + size])


def _widened(piece: Array) -> Array:
    if piece.dtype.kind == "f" and piece.dtype.itemsize >= 4:
        return piece if piece.dtype.isnative else piece.astype(piece.dtype.newbyteorder("="))
    if piece.dtype.name == "bfloat16":
        # A bfloat16 is the upper half of a float32; the shift is many times faster than the cast.
        return (piece.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return piece.astype(np.float32)


def measure(tensor: Tensor, axes: Iterable[int] = (), reader: ChunkReader | None = None) -> TensorStatistics:
    """Statistics of a floating tensor, and per channel along each of `axes` (counted from 0).

    An axis that the tensor lacks, or along which there are more than `MOST_CHANNELS` slices, is not included
    in `channels`.

    Raises:
        Unavailable: the values cannot be read.
    """
    count = max(0, tensor.count)
    shape = tensor.shape
    followed = [
        _Channels(shape, axis)
        for axis in dict.fromkeys(axes)
        if count and 0 <= axis < len(shape) and min(shape) > 0 and shape[axis] <= MOST_CHANNELS
    ]
    stride = max(1, count // SAMPLE)
    while math.gcd(stride, count) != 1 and stride > 1:
        stride += 1
    low, high, square_sum = math.inf, -math.inf, 0.0
    nan = infinite = start = 0
    sampled: list[npt.NDArray[np.float32]] = []
    with np.errstate(all="ignore"):
        for piece in value_pieces(tensor, reader):
            squares = float(np.dot(piece, piece))
            # A sum of squares that is finite and not tiny means that every value is finite and that none
            # overflowed or vanished when squared; any other piece is examined closely.
            if not 1e-20 < squares < 1e30:
                not_numbers = int(np.count_nonzero(np.isnan(piece)))
                lost = not_numbers + int(np.count_nonzero(np.isinf(piece)))
                nan, infinite = nan + not_numbers, infinite + lost - not_numbers
                piece = np.nan_to_num(piece.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
                squares = float(np.dot(piece, piece))
            square_sum += squares
            sampled.append(piece[-start % stride :: stride].astype(np.float32))
            for channels in followed:
                channels.feed(piece, start)
            if not followed:
                low, high = min(low, float(piece.min())), max(high, float(piece.max()))
            start += len(piece)
    sample = np.concatenate(sampled) if sampled else np.zeros(0, np.float32)
    channel_statistics = {channels.axis: channels.finish() for channels in followed}
    for whole in channel_statistics.values():
        low, high = float(whole.minimum.min()), float(whole.maximum.max())
    if low > high:
        low = high = 0.0
    return TensorStatistics(count, nan, infinite, low, high, square_sum, sample, stride, channel_statistics)


def count_non_finite(tensor: Tensor, reader: ChunkReader | None = None) -> int:
    """The number of NaN or infinite values of a floating tensor; cheaper than `measure`.

    Raises:
        Unavailable: the values cannot be read.
    """
    count = 0
    with np.errstate(all="ignore"):
        for piece in value_pieces(tensor, reader):
            if not np.isfinite(np.dot(piece, piece)):
                count += int(np.count_nonzero(~np.isfinite(piece)))
    return count


class _Channels:
    """Accumulates one axis of a tensor seen as [outer, channels, inner] in storage order."""

    def __init__(self, shape: tuple[int, ...], axis: int) -> None:
        self.axis = axis
        self.count = shape[axis]
        self.inner = math.prod(shape[axis + 1 :])
        self.outer = math.prod(shape[:axis])
        # With one outer slice a channel is a run of values: reduce each run. Otherwise the order repeats
        # after channels * inner values: reduce repetition against repetition, which needs no stride, and the
        # inner values of a channel at the end.
        period = self.count * self.inner
        self.by_run = self.outer == 1 or period > MOST_CHANNELS
        self.unit = self.inner if self.by_run else period
        cells = self.count if self.by_run else period
        self.minimum = np.full(cells, np.inf)
        self.maximum = np.full(cells, -np.inf)
        self.sum, self.square_sum = np.zeros(cells), np.zeros(cells)

    def feed(self, piece: Array, start: int) -> None:
        """Add values from position `start` on, which need not be the beginning of a channel."""
        head = min(-start % self.unit, len(piece))
        whole = (len(piece) - head) // self.unit * self.unit
        if head:
            self._part(piece[:head], start)
        if whole:
            rows = piece[head : head + whole].reshape(-1, self.unit)
            (self._runs if self.by_run else self._repetitions)(rows, start + head)
        if head + whole < len(piece):
            self._part(piece[head + whole :], start + head + whole)

    def _runs(self, rows: Array, start: int) -> None:
        first = start // self.unit
        low, high = rows.min(axis=1), rows.max(axis=1)
        sums, squares = rows.sum(axis=1), np.einsum("ij,ij->i", rows, rows)
        done = 0
        while done < len(rows):
            channel = (first + done) % self.count
            some = slice(done, done + min(self.count - channel, len(rows) - done))
            done = some.stop
            cells = slice(channel, channel + some.stop - some.start)
            self._merge(cells, low[some], high[some], sums[some], squares[some])

    def _repetitions(self, rows: Array, start: int) -> None:
        squares = np.einsum("ij,ij->j", rows, rows)
        sums = np.ones(len(rows), rows.dtype) @ rows  # half the time of rows.sum(axis=0)
        self._merge(slice(None), rows.min(axis=0), rows.max(axis=0), sums, squares)

    def _part(self, part: Array, start: int) -> None:
        if self.by_run:
            channel = start // self.unit % self.count
            cell = slice(channel, channel + 1)
            self._merge(cell, part.min(), part.max(), part.sum(), np.dot(part, part))
        else:
            position = start % self.unit
            self._merge(slice(position, position + len(part)), part, part, part, np.square(part))

    def _merge(self, cells: slice, low: Array, high: Array, sums: Array, squares: Array) -> None:
        np.minimum(self.minimum[cells], low, out=self.minimum[cells])
        np.maximum(self.maximum[cells], high, out=self.maximum[cells])
        self.sum[cells] += sums
        self.square_sum[cells] += squares

    def finish(self) -> ChannelStatistics:
        """The statistics, by channel."""
        low, high, sums, squares = self.minimum, self.maximum, self.sum, self.square_sum
        if not self.by_run:
            shape = (self.count, self.inner)
            low, high = low.reshape(shape).min(axis=1), high.reshape(shape).max(axis=1)
            sums, squares = (part.reshape(shape).sum(axis=1) for part in (sums, squares))
        return ChannelStatistics(self.axis, self.outer * self.inner, low, high, sums, squares)
