"""Ranges by the quantizers that the tools name: tf, symmetric, enhanced, adjusted, and percentile.

Source: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models, for tf, symmetric, and for what enhanced and
adjusted keep (a minimum range, zero exactly); how the tools search is not documented, so `enhanced` takes the
range with the least mean square error, and `adjusted` widens one end so that zero is exact without a shift.
Percentile: QAIRT's `--act_quantizer_calibration percentile`.
"""

from __future__ import annotations

import math

import numpy as np

from dlclint.encodings import grid
from dlclint.encodings.grid import Encoding, Floats
from dlclint.model.tensors import Array
from dlclint.simulate.observing import Observation
from dlclint.simulate.scheme import Grid, ParamGrid, grid_of_range

ACTIVATION_QUANTIZERS = ("tf", "symmetric", "enhanced", "percentile")
PARAM_QUANTIZERS = ("tf", "symmetric", "enhanced", "adjusted")
_CUTS = np.linspace(1.0, 0.02, 50)
"""The fractions of the range that the search tries."""
_WEIGHT_CUTS = np.linspace(1.0, 0.4, 25)


def activation_grid(seen: Observation, quantizer: str, bitwidth: int, percentile: float = 99.99) -> Grid:
    """The grid of an activation.

    Raises:
        ValueError: unknown quantizer.
    """
    low, high = min(seen.low, seen.high), max(seen.low, seen.high)
    if not math.isfinite(high - low):
        low, high = 0.0, 0.0
    if quantizer == "tf":
        return grid_of_range(low, high, bitwidth)
    if quantizer == "symmetric":
        encoding = grid.fit_symmetric(low, high, bitwidth)
        return Grid(float(np.float32(encoding.scale)), 2 ** (bitwidth - 1), bitwidth, symmetric=True)
    if quantizer == "enhanced":
        return grid_of_range(*searched_range(seen, bitwidth), bitwidth)
    if quantizer == "percentile":
        return grid_of_range(*cut(seen, percentile), bitwidth)
    raise ValueError(f"unknown quantizer of activations {quantizer}")


def cut(seen: Observation, percentile: float) -> tuple[float, float]:
    """The range without the outermost values: half of the excluded share at each end, never beyond zero."""
    total = np.cumsum(seen.counts)
    if not len(total):
        return seen.low, seen.high
    out = (1.0 - percentile / 100.0) / 2.0 * total[-1]
    first = int(np.searchsorted(total, out, side="right"))
    last = int(np.searchsorted(total, total[-1] - out, side="left"))
    width = 2.0 ** (seen.exponent or 0)
    low, high = (seen.first + first) * width, (seen.first + last + 1) * width
    return min(max(low, seen.low), 0.0), max(min(high, seen.high), 0.0)


def searched_range(seen: Observation, bitwidth: int) -> tuple[float, float]:
    """The range with the least mean square error on the observed values; of equal ones the wider."""
    if not len(seen.counts):
        return seen.low, seen.high
    centers, counts = seen.centers(), seen.counts.astype(np.float64)
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    best = (low, high)
    error = _histogram_error(centers, counts, low, high, bitwidth)
    # One end after the other, twice: the ends are nearly independent of each other.
    for _ in range(2):
        for end in (0, 1):
            for part in _CUTS[1:]:
                tried = (low * part, best[1]) if end == 0 else (best[0], high * part)
                noise = _histogram_error(centers, counts, tried[0], tried[1], bitwidth)
                if noise < error:
                    best, error = tried, noise
    return best


def _histogram_error(centers: Floats, counts: Floats, low: float, high: float, bitwidth: int) -> float:
    """Mean square error: of rounding within the range (step squared / 12), of clipping outside."""
    step = max(high - low, grid.MINIMUM_RANGE) / (2.0**bitwidth - 1)
    beyond = np.maximum(centers - high, 0.0) + np.maximum(low - centers, 0.0)
    inside = counts[beyond == 0.0].sum()
    return float((counts * beyond**2).sum() + inside * step * step / 12.0)


def param_grid(values: Array, quantizer: str, bitwidth: int, axis: int | None = None) -> ParamGrid:
    """The grid of a weight; a per-channel one is symmetric, as overrides per channel must be.

    Args:
        values: the weight.
        quantizer: one of `PARAM_QUANTIZERS`.
        bitwidth: its width.
        axis: that of the channels, None for one grid.

    Raises:
        ValueError: unknown quantizer.
    """
    finite = np.where(np.isfinite(values), values, 0.0) if not np.isfinite(values).all() else values
    others = tuple(i for i in range(values.ndim) if i != axis) if axis is not None else None
    low = np.asarray(finite.min(axis=others, initial=0.0), np.float64)
    high = np.asarray(finite.max(axis=others, initial=0.0), np.float64)
    symmetric = quantizer == "symmetric" or axis is not None or bitwidth != 8
    if quantizer == "enhanced":
        low, high = _searched_weight(finite, low, high, bitwidth, axis, symmetric)
    elif quantizer == "adjusted" and not symmetric:
        return _param(adjusted(float(low), float(high), bitwidth), bitwidth, False, None)
    elif quantizer not in PARAM_QUANTIZERS:
        raise ValueError(f"unknown quantizer of weights {quantizer}")
    fit = grid.fit_symmetric if symmetric else grid.fit
    return _param(fit(low, high, bitwidth), bitwidth, symmetric, axis)


def adjusted(low: float, high: float, bitwidth: int) -> Encoding:
    """The range with its maximum raised or its minimum lowered so that zero is on the grid, unshifted."""
    low, high = min(low, 0.0), max(high, 0.0)
    high = max(high, low + grid.MINIMUM_RANGE)
    steps = 2**bitwidth - 1
    below = min(max(round(-low / (high - low) * steps), int(low < 0)), steps - int(high > 0))
    ends = [-low / below if below else 0.0, high / (steps - below) if below < steps else 0.0]
    return grid.on_grid(max(ends), -below, bitwidth)


def _param(encoding: Encoding, bitwidth: int, symmetric: bool, axis: int | None) -> ParamGrid:
    scale = np.asarray(encoding.scale, np.float32).astype(np.float64)
    zero = np.asarray(-encoding.offset, np.float64)
    return ParamGrid(scale, zero, bitwidth, symmetric, axis)


def _searched_weight(
    values: Array, low: Floats, high: Floats, bitwidth: int, axis: int | None, symmetric: bool
) -> tuple[Floats, Floats]:
    """The fractions of the ranges with the least mean square error, channel by channel."""
    others = tuple(i for i in range(values.ndim) if i != axis) if axis is not None else None
    fit = grid.fit_symmetric if symmetric else grid.fit
    best_low, best_high = low.copy(), high.copy()
    error = np.full(low.shape, np.inf)
    for part in _WEIGHT_CUTS:
        narrowed = _param(fit(low * part, high * part, bitwidth), bitwidth, symmetric, axis)
        now = np.square(narrowed.rounded(values) - values).sum(axis=others)
        better = now < error
        best_low, best_high = np.where(better, low * part, best_low), np.where(better, high * part, best_high)
        error = np.where(better, now, error)
    return best_low, best_high
