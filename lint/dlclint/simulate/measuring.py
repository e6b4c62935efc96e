"""The difference between two tensors, summed over samples in their order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dlclint.model.tensors import Array
from dlclint_schemas.record import record

_BLOCK = 1 << 15
"""Values whose squares are summed in float32; the sums over blocks are float64."""


@dataclass(slots=True)
class Error:
    """A tensor compared with its float values: energies, products and the largest difference.

    `odd` counts non-finite values in the compared tensor, where the float ones are finite.
    """

    signal: float = 0.0
    noise: float = 0.0
    other: float = 0.0
    product: float = 0.0
    largest: float = 0.0
    magnitude: float = 0.0
    odd: int = 0

    def add(self, expected: Array, actual: Array) -> None:
        """Add one sample."""
        one, two = expected.reshape(-1), actual.reshape(-1)
        if one.dtype != np.float64:
            one, two = one.astype(np.float32, copy=False), two.astype(np.float32, copy=False)
        for start in range(0, one.size, _BLOCK):
            self._block(one[start : start + _BLOCK], two[start : start + _BLOCK])

    def take(self, other: Error) -> None:
        """Add the sums of another tensor."""
        self.signal += other.signal
        self.noise += other.noise
        self.other += other.other
        self.product += other.product
        self.largest = max(self.largest, other.largest)
        self.magnitude = max(self.magnitude, other.magnitude)
        self.odd += other.odd

    def _block(self, one: Array, two: Array) -> None:
        """Sums of a block in its own precision, which suffices for the sums over blocks."""
        with np.errstate(over="ignore", invalid="ignore"):
            apart = two - one
            noise, signal = float(np.dot(apart, apart)), float(np.dot(one, one))
        if not math.isfinite(noise + signal):
            self._odd_block(one.astype(np.float64), two.astype(np.float64))
            return
        self.signal += signal
        self.noise += noise
        self.other += float(np.dot(two, two))
        self.product += float(np.dot(one, two))
        self.largest = max(self.largest, float(apart.max()), -float(apart.min()))
        self.magnitude = max(self.magnitude, float(one.max()), -float(one.min()))

    def _odd_block(self, one: Array, two: Array) -> None:
        """The same for a block with values that are not finite, or whose squares are not."""
        known = np.isfinite(one)
        both = known & np.isfinite(two)
        self.odd += int((known & ~both).sum())
        one, two = one[both], two[both]
        apart = two - one
        self.signal += float(np.dot(one, one))
        self.noise += float(np.dot(apart, apart))
        self.other += float(np.dot(two, two))
        self.product += float(np.dot(one, two))
        self.largest = max(self.largest, float(np.abs(apart).max(initial=0.0)))
        self.magnitude = max(self.magnitude, float(np.abs(one).max(initial=0.0)))

    @property
    def sqnr(self) -> float:
        """Signal to noise in dB: infinite where nothing differs, -infinite where a value is not finite."""
        if self.odd:
            return -math.inf
        if not self.noise:
            return -math.inf if self.largest else math.inf  # squares of the smallest numbers are 0
        return 10.0 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    @property
    def cosine(self) -> float:
        """Cosine of the angle between both; 1 where both contain only zeros."""
        size = math.sqrt(self.signal) * math.sqrt(self.other)
        if not size:
            return 1.0 if self.signal == self.other else 0.0
        return min(1.0, max(-1.0, self.product / size))


@record
class Scores:
    """The position of scores in a tensor: classes from `first` to before `last` of an axis.

    `independent` means that each class has a separate score, as from Sigmoid: then most positions of a
    detector hold nothing, and only those count whose best score is at least half the largest one.
    """

    axis: int
    first: int
    last: int
    independent: bool = False

    def best(self, values: Array) -> tuple[Array, Array]:
        """The index of the best class at every position (the first of several equal), and its score."""
        part = np.nan_to_num(np.take(values, range(self.first, self.last), self.axis), nan=-np.inf)
        return np.asarray(part.argmax(self.axis)), np.asarray(part.max(self.axis))


@dataclass(slots=True)
class Agreement:
    """How often the best class is the same."""

    same: int = 0
    total: int = 0

    def add(self, scores: Scores, expected: Array, actual: Array) -> None:
        """Add one sample."""
        best, score = scores.best(expected)
        other, _ = scores.best(actual)
        same = best == other
        if scores.independent and same.size > 1:
            same = same[score >= score.max() / 2]
        self.same += int(same.sum())
        self.total += same.size

    @property
    def rate(self) -> float:
        """0 to 1; 1 without any position."""
        return self.same / self.total if self.total else 1.0
