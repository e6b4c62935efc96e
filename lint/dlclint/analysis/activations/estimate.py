"""An activation's estimated distribution, and the effect of elementwise functions on it.

A channel is assumed to be normal with a mean and a deviation; `low` and `high` are the ends of its assumed
range. A normal distribution is right for the output of a normalization (Nagel et al. 2019, arXiv 1906.04721,
use it the same way), and is an approximation after other ops.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

Floats = npt.NDArray[np.float64]

_PRODUCT_TAIL = 3.07
"""The product of two normal values is beyond 18.4 deviations as seldom (2e-9) as one is beyond six: its
density is K0(|z|) / pi."""
_GRID = np.linspace(0.0, 1.0, 257)


class Basis(enum.IntEnum):
    """What an estimate is based on; the larger, the less certain."""

    BOUND = 0
    """The op bounds its output, as Sigmoid or a Clip does: the range is guaranteed."""
    NORMALIZATION = 1
    """The statistics of a normalization, through elementwise ops."""
    PROPAGATED = 2
    """Through weights or sums, which treats dependent values as independent."""
    STATED = 3
    """From the user's statistics of the inputs, through all that follows, without a normalization in between.
    """

    @property
    def words(self) -> str:
        """A description for users."""
        return _WORDS[self]


_WORDS = {
    Basis.BOUND: "bounded by the op",
    Basis.NORMALIZATION: "estimated from normalization statistics",
    Basis.PROPAGATED: "estimated through weights and sums",
    Basis.STATED: "estimated from the stated inputs",
}


@record
class Estimate:
    """Mean, deviation and range by channel, shape [channels], or [1] for the whole tensor.

    `known` is false where only the range is known: then mean and deviation are 0 and have no meaning.
    """

    mean: Floats
    deviation: Floats
    low: Floats
    high: Floats
    basis: Basis
    known: bool = True

    @property
    def channels(self) -> int:
        """1 for an estimate of the whole tensor."""
        return len(self.mean)

    @property
    def minimum(self) -> float:
        """The lower end of the range of the whole tensor."""
        return float(self.low.min())

    @property
    def maximum(self) -> float:
        """The upper end of the range of the whole tensor."""
        return float(self.high.max())

    @property
    def mean_square(self) -> float | None:
        """Mean square over the channels; None where only the range is known."""
        return float((self.mean**2 + self.deviation**2).mean()) if self.known else None

    def whole(self) -> Estimate:
        """The estimate of the tensor without distinguishing its channels."""
        if self.channels == 1:
            return self
        mean = self.mean.mean()
        deviation = math.sqrt(max(0.0, float((self.mean**2 + self.deviation**2).mean() - mean * mean)))
        estimate = single(float(mean), deviation, self.minimum, self.maximum, self.basis)
        return replace(estimate, known=self.known)

    def spread(self, channels: int) -> Estimate:
        """The estimate with a value for each of `channels`.

        Raises:
            ValueError: it has a different number of channels already.
        """
        if self.channels == channels:
            return self
        if self.channels != 1:
            raise ValueError(f"{self.channels} channels are not {channels}")
        mean, deviation, low, high = (
            np.repeat(part, channels) for part in (self.mean, self.deviation, self.low, self.high)
        )
        return replace(self, mean=mean, deviation=deviation, low=low, high=high)


def single(mean: float, deviation: float, low: float, high: float, basis: Basis) -> Estimate:
    """An estimate of a whole tensor."""
    return Estimate(np.array([mean]), np.array([deviation]), np.array([low]), np.array([high]), basis)


def normal(mean: Floats, deviation: Floats, basis: Basis) -> Estimate:
    """A normal activation, its range at n deviations (n = 6, see the thresholds)."""
    reach = threshold("range_deviations") * deviation
    return Estimate(mean, deviation, mean - reach, mean + reach, basis)


def bounded_estimate(low: float, high: float) -> Estimate:
    """An activation of which only the bounds are known."""
    return replace(single(0.0, 0.0, low, high, Basis.BOUND), known=False)


def clipped(estimate: Estimate, low: float, high: float) -> Estimate:
    """Apply Clip, or ReLU with low 0 and high infinite: moments of a censored normal."""
    ends = np.clip(estimate.low, low, high), np.clip(estimate.high, low, high)
    if not estimate.known:
        return replace(estimate, low=ends[0], high=ends[1])
    first, second = _censored(estimate.mean, estimate.deviation, low, high)
    deviation = np.sqrt(np.maximum(0.0, second - first**2))
    return replace(estimate, mean=first, deviation=deviation, low=ends[0], high=ends[1])


def leaky(estimate: Estimate, slope: float | Floats) -> Estimate:
    """Apply LeakyRelu or PRelu: values below zero times `slope`."""
    scaled = np.broadcast_to(np.asarray(slope, np.float64), estimate.mean.shape)
    ends = np.stack([np.where(end < 0, end * scaled, end) for end in (estimate.low, estimate.high)])
    low = np.where(estimate.low < 0, np.minimum(ends.min(axis=0), 0.0), ends.min(axis=0))
    if not estimate.known:
        return replace(estimate, low=low, high=ends.max(axis=0))
    above = _censored(estimate.mean, estimate.deviation, 0.0, math.inf)
    below = _censored(estimate.mean, estimate.deviation, -math.inf, 0.0)
    first, second = above[0] + scaled * below[0], above[1] + scaled * scaled * below[1]
    deviation = np.sqrt(np.maximum(0.0, second - first**2))
    return replace(estimate, mean=first, deviation=deviation, low=low, high=ends.max(axis=0))


def through(estimate: Estimate, function: Callable[[Floats], Floats]) -> Estimate:
    """Apply a smooth function: moments by Gauss-Hermite quadrature, range by evaluation at sample points."""
    with np.errstate(all="ignore"):
        tried = function(estimate.low + (estimate.high - estimate.low) * _GRID[:, None])
        low, high = tried.min(axis=0), tried.max(axis=0)
        if not estimate.known:
            return replace(estimate, low=low, high=high)
        nodes, shares = _quadrature()
        values = function(estimate.mean + estimate.deviation * nodes[:, None])
        first, second = shares @ values, shares @ np.square(values)
    deviation = np.sqrt(np.maximum(0.0, second - first**2))
    return replace(estimate, mean=first, deviation=deviation, low=low, high=high)


@cache
def _quadrature() -> tuple[Floats, Floats]:
    """The nodes and weights of Gauss-Hermite quadrature for a normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(48)
    return nodes, weights / weights.sum()


def affine(estimate: Estimate, factor: Floats, offset: Floats) -> Estimate:
    """`factor * x + offset`, both of shape [1] or [channels]."""
    size = max(estimate.channels, len(factor), len(offset))
    wide = estimate.spread(size)
    ends = wide.low * factor + offset, wide.high * factor + offset
    return replace(
        wide,
        mean=wide.mean * factor + offset,
        deviation=wide.deviation * np.abs(factor),
        low=np.minimum(*ends),
        high=np.maximum(*ends),
    )


def added(one: Estimate, other: Estimate) -> Estimate:
    """The sum of two activations, assumed independent: ranges add in quadrature, within their sum."""
    size = max(one.channels, other.channels)
    one, other = one.spread(size), other.spread(size)
    basis = max(one.basis, other.basis, Basis.PROPAGATED)
    low, high = one.low + other.low, one.high + other.high
    if not (one.known and other.known):
        return Estimate(np.zeros(size), np.zeros(size), low, high, basis, known=False)
    mean = one.mean + other.mean
    below = np.hypot(one.mean - one.low, other.mean - other.low)
    above = np.hypot(one.high - one.mean, other.high - other.mean)
    return Estimate(
        mean,
        np.hypot(one.deviation, other.deviation),
        np.maximum(low, mean - below),
        np.minimum(high, mean + above),
        basis,
    )


def multiplied(one: Estimate, other: Estimate) -> Estimate:
    """The product of two activations, assumed independent; within the product of their ranges."""
    size = max(one.channels, other.channels)
    one, other = one.spread(size), other.spread(size)
    corners = np.stack([a * b for a in (one.low, one.high) for b in (other.low, other.high)])
    known = one.known and other.known
    mean = one.mean * other.mean
    # The variance is computed as a sum, because a difference of squares loses what is small next to the mean.
    variance = (one.mean * other.deviation) ** 2 + (one.deviation * other.mean) ** 2
    deviation = np.sqrt(variance + (one.deviation * other.deviation) ** 2)
    basis = max(one.basis, other.basis, Basis.PROPAGATED)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if known:
        reach = _PRODUCT_TAIL * threshold("range_deviations") * deviation
        low, high = np.maximum(low, mean - reach), np.minimum(high, mean + reach)
    return Estimate(mean, deviation, low, high, basis, known)


def mixed(parts: list[Estimate]) -> Estimate:
    """One tensor whose values come from several activations, channel by channel where they agree."""
    size = max(part.channels for part in parts)
    if any(part.channels not in (1, size) for part in parts):
        parts, size = [part.whole() for part in parts], 1
    wide = [part.spread(size) for part in parts]
    mean = np.mean([part.mean for part in wide], axis=0)
    square = np.mean([part.mean**2 + part.deviation**2 for part in wide], axis=0)
    return Estimate(
        mean,
        np.sqrt(np.maximum(0.0, square - mean**2)),
        np.stack([part.low for part in wide]).min(axis=0),
        np.stack([part.high for part in wide]).max(axis=0),
        max(part.basis for part in wide),
        all(part.known for part in wide),
    )


def _censored(mean: Floats, deviation: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """First and second moment of a normal variable cut to an interval (values outside at its ends)."""
    safe = np.where(deviation > 0, deviation, 1.0)
    # Beyond 40 deviations a normal distribution is negligible; the cut keeps squares finite.
    with np.errstate(over="ignore"):
        start, end = (np.clip((bound - mean) / safe, -40.0, 40.0) for bound in (low, high))
    below, above = _cumulative(start), 1.0 - _cumulative(end)
    inside = 1.0 - below - above
    first_density, last_density = _density(start), _density(end)
    change = first_density - last_density
    first = mean * inside + safe * change
    edges = start * first_density - end * last_density
    second = (mean**2 + safe**2) * inside + 2.0 * mean * safe * change + safe**2 * edges
    if math.isfinite(low):
        first, second = first + low * below, second + low * low * below
    if math.isfinite(high):
        first, second = first + high * above, second + high * high * above
    fixed = np.clip(mean, low, high)
    return np.where(deviation > 0, first, fixed), np.where(deviation > 0, second, fixed**2)


def _density(values: Floats) -> Floats:
    return np.exp(-0.5 * np.square(values)) / math.sqrt(2.0 * math.pi)


_ERF = np.frompyfunc(math.erf, 1, 1)


def _cumulative(values: Floats) -> Floats:
    return 0.5 * (1.0 + np.asarray(_ERF(values / math.sqrt(2.0)), dtype=np.float64))
