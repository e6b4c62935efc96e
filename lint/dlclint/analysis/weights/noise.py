"""Quantization noise foretold from statistics, without quantizing a single value.

Rounding to a grid of step s errs by anything from -s/2 to s/2, evenly where the values spread over
some steps: mean square s^2/12. Values that lie within half a step of zero all become zero, and the
error is the value itself. The smaller of the two is taken, channel by channel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dlclint.analysis.weights.statistics import Floats
from dlclint.analysis.weights.store import ConvertedWeight
from dlclint.encodings import grid


def rounding_noise(scale: npt.ArrayLike, mean_square: npt.ArrayLike) -> Floats:
    """Mean square error of rounding values of a mean square to a grid of a step; broadcasts."""
    return np.minimum(np.square(np.asarray(scale, np.float64)) / 12.0, np.asarray(mean_square, np.float64))


def decibels(signal: npt.ArrayLike, noise: npt.ArrayLike) -> Floats:
    """10 log10(signal / noise); infinite without noise, 0 without signal."""
    above, below = np.asarray(signal, np.float64), np.asarray(noise, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 10.0 * np.log10(above / below)
    return np.where(above <= 0.0, 0.0, found)


def per_tensor_scale(weight: ConvertedWeight, bitwidth: int) -> float:
    """The step of the documented algorithm's grid over the whole weight."""
    return float(grid.fit(weight.low, weight.high, bitwidth).scale)


def per_channel_scale(weight: ConvertedWeight, bitwidth: int) -> Floats:
    """The step of each channel's symmetric grid, shape [channels]."""
    return grid.fit_symmetric(weight.minimum, weight.maximum, bitwidth).scale


def sqnr(weight: ConvertedWeight, scale: npt.ArrayLike) -> float:
    """Signal to quantization noise of a weight in dB, with one step or one for each channel."""
    noise = rounding_noise(scale, weight.mean_square)
    return float(decibels(weight.mean_square.mean(), noise.mean()))
