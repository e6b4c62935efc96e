"""The quantization grid: from a range to scale and offset, from numbers to integers and back.

One convention throughout, that of override files up to 1.0.0: the integers are unsigned, 0 to 2**bitwidth -
1; a number is `scale * (q + offset)`, so offset is between -(2**bitwidth - 1) and 0 where zero is in the
range, and is -2**(bitwidth - 1) where the range is symmetric. Everything is float64 and vectorized: arguments
broadcast as in numpy.

Source: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models (the 8-bit algorithm; "replace 255 by
2**bitwidth - 1" is not spelled out there).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dlclint_schemas.record import record

Floats = npt.NDArray[np.float64]

ACCUMULATOR = 2.0**31
"""One beyond the largest integer of the 32-bit accumulator that a bias is added to."""
MINIMUM_RANGE = 1e-4
"""The page's text: "a range of at least 0.0001"."""
MINIMUM_RANGE_IN_FORMULA = 1e-2
"""The same page's formula: encoding-max = max(true-max, true-min + 0.01)."""


@record
class Encoding:
    """Range and grid, arrays of one shape. `minimum` is the number that integer 0 represents."""

    minimum: Floats
    maximum: Floats
    scale: Floats
    offset: Floats
    bitwidth: Floats

    @property
    def fits_float32(self) -> bool:
        """Whether float32, in which the tools keep them, holds the step and both ends everywhere."""
        with np.errstate(over="ignore", under="ignore"):
            narrow = np.array([self.scale, self.minimum, self.maximum], np.float32)
        return bool(np.isfinite(narrow).all())


def has_grid(bitwidth: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether a bitwidth is a whole number from 2 to 32."""
    bits = _floats(bitwidth)
    return np.asarray((bits >= 2) & (bits <= 32) & (bits == np.rint(bits)))


def steps(bitwidth: npt.ArrayLike) -> Floats:
    """Steps between the smallest and the largest integer: 255 for 8 bits."""
    return np.asarray(_power(_floats(bitwidth)) - 1.0)


def symmetric_offset(bitwidth: npt.ArrayLike) -> Floats:
    """The offset of every symmetric encoding: -128 for 8 bits."""
    return np.asarray(-_power(_floats(bitwidth) - 1.0))


def half_grid_offset(bitwidth: npt.ArrayLike) -> Floats:
    """The offset of 2 bits whose integers represent -1.5, -0.5, 0.5 and 1.5 steps; NaN for other widths.

    Source: AIMET Encoding Format Specification, int2 encoding with custom grid (y_zero_point -0.5 in 2.x,
    zero_point_shift 0.5 in 1.0.0).
    """
    return np.where(_floats(bitwidth) == 2, -1.5, np.nan)


def is_symmetric(offset: npt.ArrayLike, bitwidth: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether a grid extends as far below zero as above it, except for at most one integer."""
    return np.asarray((offset == symmetric_offset(bitwidth)) | (offset == half_grid_offset(bitwidth)))


def fit(
    minimum: npt.ArrayLike,
    maximum: npt.ArrayLike,
    bitwidth: npt.ArrayLike,
    minimum_range: float = MINIMUM_RANGE,
) -> Encoding:
    """The documented algorithm: cover the range, keep a minimum range, represent 0.0 exactly.

    A range on one side of zero is extended to zero; another is shifted by less than a step.

    Raises:
        ValueError: a range is inverted, not finite, or wider than a float64 holds, or a bitwidth is
            not 2 to 32.
    """
    low, high, bits = np.broadcast_arrays(_floats(minimum), _floats(maximum), _floats(bitwidth))
    _check(low, high, bits)
    high = np.maximum(high, low + minimum_range)
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    scale = (high - low) / steps(bits)
    offset = -_round(-low / scale)
    return on_grid(scale, offset, bits)


def step_of_range(minimum: float, maximum: float, bitwidth: int) -> float:
    """The scale of `fit` for a single range: a tenth of its time, because many rules ask for nothing else.

    Raises:
        ValueError: as `fit`.
    """
    if not math.isfinite(maximum - minimum) or maximum < minimum or not 2 <= bitwidth <= 32:
        fit(minimum, maximum, bitwidth)  # which says what is wrong
    high = max(maximum, minimum + MINIMUM_RANGE, 0.0)
    return (high - min(minimum, 0.0)) / ((1 << bitwidth) - 1)


def fit_symmetric(
    minimum: npt.ArrayLike,
    maximum: npt.ArrayLike,
    bitwidth: npt.ArrayLike,
    minimum_range: float = MINIMUM_RANGE,
) -> Encoding:
    """Equal magnitude on both sides of zero: offset -2**(bitwidth - 1).

    The step is (2 * magnitude) / (2**bitwidth - 1), so the largest magnitude is half a step beyond the
    largest integer on the positive side, as in AIMET's symmetric encodings.

    Raises:
        ValueError: as `fit`.
    """
    low, high, bits = np.broadcast_arrays(_floats(minimum), _floats(maximum), _floats(bitwidth))
    _check(low, high, bits)
    magnitude = np.maximum(np.maximum(np.abs(low), np.abs(high)), minimum_range / 2)
    return on_grid(2.0 * magnitude / steps(bits), symmetric_offset(bits), bits)


def fit_alike(
    minimum: npt.ArrayLike, maximum: npt.ArrayLike, bitwidth: npt.ArrayLike, symmetric: npt.ArrayLike
) -> Encoding:
    """`fit_symmetric` where `symmetric`, `fit` elsewhere.

    Raises:
        ValueError: as `fit`.
    """
    even, free = fit_symmetric(minimum, maximum, bitwidth), fit(minimum, maximum, bitwidth)
    return Encoding(
        np.where(symmetric, even.minimum, free.minimum),
        np.where(symmetric, even.maximum, free.maximum),
        np.where(symmetric, even.scale, free.scale),
        np.where(symmetric, even.offset, free.offset),
        free.bitwidth,
    )


def fit_unsigned_symmetric(
    maximum: npt.ArrayLike, bitwidth: npt.ArrayLike, minimum_range: float = MINIMUM_RANGE
) -> Encoding:
    """A range from zero up: offset 0, for ranges without negative numbers.

    Raises:
        ValueError: as `fit`, or a maximum is negative.
    """
    high, bits = np.broadcast_arrays(_floats(maximum), _floats(bitwidth))
    _check(np.zeros_like(high), high, bits)
    return on_grid(np.maximum(high, minimum_range) / steps(bits), np.zeros_like(high), bits)


def on_grid(scale: npt.ArrayLike, offset: npt.ArrayLike, bitwidth: npt.ArrayLike) -> Encoding:
    """The encoding with this scale and offset: minimum and maximum are the outermost integers' numbers."""
    steps_of, zero_offset, bits = np.broadcast_arrays(_floats(scale), _floats(offset), _floats(bitwidth))
    zero_offset = zero_offset + 0.0  # -0.0 would be printed as such
    # Far too large a scale gives infinity, and one of 0 with a width beyond float64 gives NaN.
    with np.errstate(over="ignore", invalid="ignore"):
        return Encoding(
            zero_offset * steps_of, (zero_offset + steps(bits)) * steps_of, steps_of, zero_offset, bits
        )


def quantize(numbers: npt.ArrayLike, encoding: Encoding) -> Floats:
    """The integers (as float64, exact up to 32 bits) that represent `numbers`, clamped to the range."""
    integers = _round(_floats(numbers) / encoding.scale - encoding.offset)
    return np.asarray(np.clip(integers, 0.0, steps(encoding.bitwidth)))


def dequantize(integers: npt.ArrayLike, encoding: Encoding) -> Floats:
    """The numbers that `integers` represent."""
    return np.asarray((_floats(integers) + encoding.offset) * encoding.scale)


def packed_nibbles(integers: npt.NDArray[Any]) -> bytes:
    """Two 4-bit integers per byte, the first in the low half, as ONNX stores them."""
    even = (integers.reshape(-1).astype(np.int16) & 0xF).astype(np.uint8)
    if len(even) % 2:
        even = np.append(even, np.uint8(0))
    return bytes(even[0::2] | even[1::2] << 4)


def scale_of(minimum: npt.ArrayLike, maximum: npt.ArrayLike, bitwidth: npt.ArrayLike) -> Floats:
    """The step that a converter computes from a range: (max - min) / (2**bitwidth - 1)."""
    return np.asarray((_floats(maximum) - _floats(minimum)) / steps(bitwidth))


def zero_error(minimum: npt.ArrayLike, maximum: npt.ArrayLike, bitwidth: npt.ArrayLike) -> Floats:
    """The distance of 0.0 from the grid of a range, in steps: 0 to 0.5; infinite outside the range."""
    low, high = _floats(minimum), _floats(maximum)
    with np.errstate(divide="ignore", invalid="ignore"):
        position = -low / scale_of(low, high, bitwidth)
        error = np.abs(position - np.rint(position))
    return np.where((low > 0) | (high < 0), np.inf, error)


def _power(exponents: Floats) -> Floats:
    """Powers of 2; infinite, without a warning, where a file's bitwidth is absurd."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp2(exponents))


def _floats(values: npt.ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _round(values: Any) -> Floats:
    """Round to the nearest integer, halves upward, as the worked example's 127.5 becomes 128."""
    return np.asarray(np.floor(values + 0.5))


def _check(low: Floats, high: Floats, bits: Floats) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        span = high - low
    if not np.all(np.isfinite(span)):
        raise ValueError("minimum and maximum must be finite, and so must their difference")
    if np.any(span < 0):
        raise ValueError("minimum exceeds maximum")
    if not np.all(has_grid(bits)):
        raise ValueError("bitwidth must be a whole number from 2 to 32")
