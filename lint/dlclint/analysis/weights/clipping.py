"""The best clipped grid of a weight, compared with the grid over its true minimum and maximum.

Narrowing the range from the largest magnitude M to c makes the step finer and costs the square of what is cut
off. Which c is best depends only on the tail:

- below c = rms - sqrt(noise of the full grid) the cut alone costs more than the full grid's noise
  (Minkowski: the rms of what is cut is at least rms - c), so nothing below is searched;
- a gain of G dB by a finer step needs a range narrower by 10^(-G/20), so nothing above is searched.

Most weights are decided by their sample: if the cut costs too much at every c in between, measured on enough
values (`ENOUGH`), the tensor is not read again. Otherwise one more pass over the values sums the tail
exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dlclint.analysis.weights.noise import decibels, per_tensor_scale, rounding_noise
from dlclint.analysis.weights.statistics import Floats, value_pieces
from dlclint.analysis.weights.store import ConvertedWeight
from dlclint.encodings import grid
from dlclint_schemas.record import record

STEPS = 48
"""Ranges that are tried, in equal ratios."""
ENOUGH = 30
"""Sampled values beyond c with which a mean over them is reliable: to a fifth, one sigma."""
MARGIN = 4.0
"""How many times too costly the sampled cut must be for a tensor to be skipped."""


@record
class ClippedGrid:
    """The best clipped grid: its range, SQNR in dB with and without clipping, values outside."""

    low: float
    high: float
    full_sqnr: float
    clipped_sqnr: float
    outside: int

    @property
    def gain(self) -> float:
        """The gain of clipping in dB."""
        return self.clipped_sqnr - self.full_sqnr


def best_clipping(weight: ConvertedWeight, bitwidth: int, gain: float) -> ClippedGrid | None:
    """The clipped per-tensor grid with the least mean square error, if it gains at least `gain` dB.

    Raises:
        Unavailable: the values cannot be read a second time.
    """
    scale = per_tensor_scale(weight, bitwidth)
    full = float(rounding_noise(scale, weight.mean_square).mean())
    low, high = min(weight.low, 0.0), max(weight.high, 0.0)
    magnitude = max(-low, high)
    signal = float(weight.mean_square.mean())
    narrowest = max(signal**0.5 - full**0.5, magnitude * 1e-4)
    if full <= 0.0 or narrowest >= magnitude:
        return None
    cuts = np.geomspace(narrowest, magnitude, STEPS)
    # Where one end is short, cutting at c narrows the range by less than c / M.
    spans = np.minimum(high, cuts) - np.maximum(low, -cuts)
    rounding = full * np.square(spans / (high - low))
    allowed = full * 10.0 ** (-gain / 10.0)
    cuts, rounding = cuts[rounding < allowed], rounding[rounding < allowed]
    if not len(cuts) or _settled(weight, cuts, allowed):
        return None
    counts, costs = _tail(weight, cuts)
    total = rounding + costs / weight.statistics.count
    best = int(np.argmin(total))
    cut = float(cuts[best])
    encodings = grid.fit(low, high, bitwidth), grid.fit(max(low, -cut), min(high, cut), bitwidth)
    # The rounding error is measured on the sample: where outliers leave most values less than a step,
    # scale^2/12 is not their error.
    errors = [_rounding(weight, encoding, cut) for encoding in encodings]
    clipped_grid = ClippedGrid(
        max(low, -cut),
        min(high, cut),
        float(decibels(signal, errors[0])),
        float(decibels(signal, errors[1] + costs[best] / weight.statistics.count)),
        int(counts[best]),
    )
    return clipped_grid if clipped_grid.gain >= gain else None


def _sample(weight: ConvertedWeight) -> Floats:
    values = weight.statistics.sample.astype(np.float64)
    if weight.factors is not None:
        values = values * _factors(weight, np.arange(len(values)) * weight.statistics.stride)
    return values


def _rounding(weight: ConvertedWeight, encoding: grid.Encoding, cut: float) -> float:
    """Mean square error of the sampled values within the cut."""
    values = _sample(weight)
    values = values[np.abs(values) <= cut]
    if not len(values):
        return 0.0
    return float(np.square(values - grid.dequantize(grid.quantize(values, encoding), encoding)).mean())


def _settled(weight: ConvertedWeight, cuts: Floats, allowed: float) -> bool:
    """Whether the sample shows that no cut can gain enough."""
    values = np.abs(_sample(weight))
    counts, costs = _beyond(values, cuts)
    if weight.statistics.stride == 1:
        return bool(np.all(costs / len(values) > allowed))
    return bool(np.all((counts >= ENOUGH) & (costs / len(values) > MARGIN * allowed)))


def _tail(weight: ConvertedWeight, cuts: Floats) -> tuple[Floats, Floats]:
    """The number of values beyond each cut, and the sum of squares of what is cut off, exactly."""
    counts: Floats = np.zeros(len(cuts))
    costs: Floats = np.zeros(len(cuts))
    start = 0
    for piece in value_pieces(weight.use.tensor):
        values = np.abs(piece)
        if weight.factors is not None:
            values = np.abs(values * _factors(weight, np.arange(start, start + len(piece))))
        start += len(piece)
        tail = values[(values > cuts[0]) & np.isfinite(values)].astype(np.float64)
        more, cost = _beyond(tail, cuts)
        counts, costs = counts + more, costs + cost
    return counts, costs


def _beyond(magnitudes: Floats, cuts: Floats) -> tuple[Floats, Floats]:
    # By interval between cuts, then summed from the top: sum (v - c)^2 = sum v^2 - 2c sum v + n c^2.
    intervals = np.searchsorted(cuts, magnitudes)
    size = len(cuts) + 1
    sums = [np.bincount(intervals, power, size) for power in (None, magnitudes, np.square(magnitudes))]
    number, first, second = (np.cumsum(total[::-1])[::-1][1:].astype(np.float64) for total in sums)
    return number, np.maximum(0.0, second - 2.0 * cuts * first + number * np.square(cuts))


def _factors(weight: ConvertedWeight, positions: npt.NDArray[np.int64]) -> Floats:
    """The factors that folding applies to the values at storage positions."""
    assert weight.factors is not None and weight.use.axis is not None
    shape = weight.use.tensor.shape
    inner = int(np.prod(shape[weight.use.axis % len(shape) + 1 :], dtype=np.int64))
    return np.asarray(weight.factors[positions // inner % len(weight.factors)])
