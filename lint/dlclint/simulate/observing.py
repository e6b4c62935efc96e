"""Observations of a tensor while a model runs: its range, and the distribution of its values.

Bins have a width that is a power of two and begin at zero, so that two bins become one when the range exceeds
them: the result does not depend on the order of the values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from dlclint.encodings.grid import Floats
from dlclint.model.tensors import Array

BINS = 4096


@dataclass(slots=True)
class Observation:
    """One tensor over all samples. Infinite and undefined values are counted and otherwise ignored."""

    low: float = math.inf
    high: float = -math.inf
    count: int = 0
    odd: int = 0
    squares: float = 0.0
    exponent: int | None = None
    """Bins are 2**exponent wide; None before there are any."""
    first: int = 0
    """The bin in which `counts` begins."""
    counts: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    def see(self, values: Array, binned: bool) -> None:
        """Add a tensor; with `binned` its distribution too."""
        flat = values.reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not math.isfinite(low) or not math.isfinite(high):
            kept = flat[np.isfinite(flat)]
            self.odd += flat.size - kept.size
            flat = kept
            if not flat.size:
                return
            low, high = float(flat.min()), float(flat.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.count += flat.size
        self.squares += float(np.vdot(flat, flat)) if flat.dtype == np.float32 else _energy(flat)
        if binned:
            self._bin(flat, low, high)

    @property
    def is_seen(self) -> bool:
        """Whether there was a finite value."""
        return self.count > 0

    def centers(self) -> Floats:
        """The middle of each bin."""
        return np.asarray((self.first + np.arange(len(self.counts)) + 0.5) * 2.0 ** (self.exponent or 0))

    def _bin(self, flat: Array, low: float, high: float) -> None:
        widest = max(abs(self.low), abs(self.high), 2.0**-100)
        needed = math.ceil(math.log2(widest)) - 11
        if self.exponent is None:
            self.exponent = needed
        while self.exponent < needed or self._span() > BINS:
            self._merge()
        width = 2.0**self.exponent
        start, stop = math.floor(low / width), math.floor(high / width)
        places = np.floor(flat * np.float32(1.0 / width)).astype(np.int32) - start
        np.clip(places, 0, stop - start, places)
        fresh = np.bincount(places, minlength=stop - start + 1)
        if not len(self.counts):
            self.first, self.counts = start, fresh
            return
        begin, end = min(self.first, start), max(self.first + len(self.counts), stop + 1)
        whole = np.zeros(end - begin, np.int64)
        whole[self.first - begin : self.first - begin + len(self.counts)] += self.counts
        whole[start - begin : start - begin + len(fresh)] += fresh
        self.first, self.counts = begin, whole

    def _span(self) -> int:
        assert self.exponent is not None
        width = 2.0**self.exponent
        return math.floor(self.high / width) - math.floor(self.low / width) + 1

    def _merge(self) -> None:
        assert self.exponent is not None
        self.exponent += 1
        if not len(self.counts):
            return
        begin = self.first // 2
        end = (self.first + len(self.counts) - 1) // 2 + 1
        whole = np.zeros(end - begin, np.int64)
        np.add.at(whole, (self.first + np.arange(len(self.counts))) // 2 - begin, self.counts)
        self.first, self.counts = begin, whole


def _energy(flat: Array) -> float:
    wide = flat.astype(np.float64)
    return float(np.vdot(wide, wide))
