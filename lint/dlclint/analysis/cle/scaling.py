"""Cross-layer equalization: factors that give the channels of adjacent convolutions the same range.

For a pair with output ranges r1 of the first and input ranges r2 of the second, channel i of the first is
divided, and of the second multiplied, by s_i = sqrt(r1_i / r2_i): both ranges become sqrt(r1_i r2_i). In a
chain, a pair undoes a little of what its neighbor did, so sweeps over the chain continue until nothing
changes. Sweeps use only the peaks of the weights; then every weight is read with the resulting factors, and
where a cell is larger than its channel's peaks, the sweeps continue with it. So the factors are those of the
whole weights, after four or five passes, however long the chain and however many sweeps.

Source: Nagel et al. 2019, arXiv 1906.04721, 4.1 and appendix A (range: largest magnitude of a channel).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from dlclint.analysis.cle.cells import Cells32
from dlclint.analysis.cle.measuring import Indices, MeasuredWeight, Weight, measured_weight
from dlclint.analysis.weights.reading import for_each
from dlclint.analysis.weights.statistics import Floats
from dlclint_schemas.record import record

SWEEPS = 2000
READINGS = 50
CONVERGED = 1e-6
"""Largest change of a factor, as a logarithm to base 2, below which the sweeps end."""
EQUAL = 1e-4
"""A chain whose factors would all be this close to 1 counts as equalized and is not changed: well above
`CONVERGED` and the rounding of float32, so that a second run changes nothing.
"""

_AT_FIRST, _FOR_EACH = 100_000_000, 20
"""Cells that may be visited, and how many more for each element of the weights."""
_STEP = 20_000
"""Cells that take as long to visit as the array operations of a sweep take by themselves."""

Flags = npt.NDArray[np.bool_]


@record
class Scaled:
    """The factors of a chain of n weights: s for each of its n - 1 links, and how the search went.

    `measured` is each weight with the factors applied; see `MeasuredWeight` for what is not included.
    """

    factors: tuple[Floats, ...]
    measured: tuple[MeasuredWeight, ...]
    converged: bool

    @property
    def changes(self) -> bool:
        """Whether any factor differs from 1."""
        return any(bool((factor != 1).any()) for factor in self.factors)


def output_factors(factors: Sequence[Floats], position: int, count: int) -> Floats:
    """The factors of the `count` output channels of the layer at a position of the chain."""
    return np.asarray(1 / factors[position]) if position < len(factors) else np.ones(count)


def input_factors(factors: Sequence[Floats], position: int, count: int) -> Floats:
    """The factors of the `count` input channels of the layer at a position of the chain."""
    return factors[position - 1] if position else np.ones(count)


def equalizing_factors(
    chain: Sequence[Weight],
    frozen: Sequence[Flags],
    whole_powers: Sequence[bool],
    effort: Effort | None = None,
) -> Scaled:
    """The factors that equalize a chain.

    Args:
        chain: the weights, first to last; each has as many input channels as the one before it has
            output channels.
        frozen: for each link, the channels that keep the factor 1.
        whole_powers: for each link, whether its factors must be powers of two, so that 16-bit numbers are
            scaled without rounding; ranges then agree within a factor of two.
        effort: the budget; where it ends, the factors reached so far are returned.

    Channels of range zero on either side (dead ones) keep the factor 1.

    Raises:
        CannotScale: a weight cannot be read again.
    """
    factors = [np.ones(mask.shape) for mask in frozen]
    measured = [weight.even for weight in chain]
    sides: list[tuple[Floats, Floats]] = [(weight.factor, np.ones(weight.cells.inputs)) for weight in chain]

    def measured_anew(position: int) -> bool:
        """Measure a weight with the current factors; whether its peaks were sufficient."""
        weight = chain[position]
        ends = position == 0, position == len(factors)
        measured[position], complete = measured_weight(weight.cells, weight.peaks, *sides[position], *ends)
        return complete

    for reading in range(READINGS):
        converged = _sweep(chain, factors, frozen, whole_powers, reading == 0, effort or Effort())
        moved = []
        for position, weight in enumerate(chain):
            outputs = output_factors(factors, position, weight.cells.outputs) * weight.factor
            inputs = input_factors(factors, position, weight.cells.inputs)
            if not all(map(np.array_equal, sides[position], (outputs, inputs))):
                sides[position] = outputs, inputs
                moved.append(position)
        complete = for_each(moved, [chain[position].cells.nbytes for position in moved], measured_anew)
        if all(complete) or not converged:
            return Scaled(tuple(factors), tuple(measured), converged)
    return Scaled(tuple(factors), tuple(measured), False)


def _sweep(
    chain: Sequence[Weight],
    factors: list[Floats],
    frozen: Sequence[Flags],
    whole_powers: Sequence[bool],
    leave_equal: bool,
    effort: Effort,
) -> bool:
    """Move the factors until the peaks' ranges are equal; returns whether that was reached.

    With `leave_equal`, nothing is done where the ranges are already (nearly) equal.
    """
    if not factors:
        return True
    channels = _Channels(chain, factors)
    still = np.concatenate(frozen)
    whole = np.repeat(whole_powers, [len(factor) for factor in factors])
    halves = [_Half(chain, channels, parity, still, whole) for parity in range(min(2, len(factors)))]
    for sweep in range(SWEEPS):
        if not effort.take(channels.cells):
            break
        largest = max(half.step(channels.factors) for half in halves)
        if sweep == 0 and leave_equal and largest < EQUAL:
            return True
        if largest < CONVERGED:
            factors[:] = channels.split()
            return True
    factors[:] = channels.split()
    return False


TIMES = 10
"""How many times as much as linting a command may do that writes or measures a model afterwards."""


class Effort:
    """The budget of sweeps: cells that sweeps visit, with a share for the fixed cost of each sweep.

    One budget is for all chains of a model, so that the cost of a file grows with its weights, however they
    are distributed over chains. `times` is how many times as much as linting may be done.
    """

    def __init__(self, times: int = 1) -> None:
        self._times = times
        self._left = times * _AT_FIRST
        self.spent = False
        """Whether a chain was not followed to its end."""

    def grow(self, elements: int) -> None:
        """Extend the budget for weights that were read."""
        self._left += self._times * _FOR_EACH * elements

    def take(self, cells: int) -> bool:
        """Spend a part of the budget, if it suffices; returns whether it does."""
        self._left -= cells + _STEP
        self.spent = self.spent or self._left < 0
        return self._left >= 0


class _Channels:
    """The factors of all links of a chain in one array, with a 1 after them for its two ends."""

    def __init__(self, chain: Sequence[Weight], factors: Sequence[Floats]) -> None:
        self.starts = np.cumsum([0, *(len(factor) for factor in factors)])
        self.factors: Floats = np.concatenate([*factors, np.ones(1)])
        self.cells = sum(len(weight.peaks) for weight in chain)

    def split(self) -> list[Floats]:
        """The factors by link."""
        return np.split(self.factors[:-1], self.starts[1:-1])

    def of(self, link: int, places: Indices) -> Indices:
        """The positions of the channels of a link; that of the 1 for a link that does not exist."""
        inside = 0 <= link < len(self.starts) - 1
        return places + self.starts[link] if inside else np.full_like(places, len(self.factors) - 1)


class _Half:
    """Every other link of a chain: no two are adjacent, so all their factors move at once.

    One array operation then handles thousands of small convolutions like one.
    """

    def __init__(
        self, chain: Sequence[Weight], channels: _Channels, parity: int, frozen: Flags, whole: Flags
    ) -> None:
        links = range(parity, len(channels.starts) - 1, 2)
        self.before = _Ranges(
            (
                channels.of(link, chain[link].peaks.outputs),
                channels.of(link - 1, chain[link].peaks.inputs),
                chain[link].peaks.magnitudes,
                np.abs(chain[link].factor)[chain[link].peaks.outputs],
            )
            for link in links
        )
        self.after = _Ranges(
            (
                channels.of(link, chain[link + 1].peaks.inputs),
                channels.of(link + 1, chain[link + 1].peaks.outputs),
                chain[link + 1].peaks.magnitudes,
                np.abs(chain[link + 1].factor)[chain[link + 1].peaks.outputs],
            )
            for link in links
        )
        # Channels of range zero on either side (dead ones) keep the factor 1.
        self.alive, first, second = np.intersect1d(
            self.before.targets, self.after.targets, assume_unique=True, return_indices=True
        )
        free = ~frozen[self.alive]
        self.alive, self.first, self.second = self.alive[free], first[free], second[free]
        self.whole = whole[self.alive]

    def step(self, factors: Floats) -> float:
        """Move the factors of these links; returns the largest step, as a logarithm to base 2."""
        here = factors[self.alive]
        before = self.before.largest(factors)[self.first] / here
        after = self.after.largest(1 / factors)[self.second] * here
        step = _step(before, after, self.whole)
        factors[self.alive] = here * np.exp2(step)
        return float(np.abs(step).max(initial=0.0))


class _Ranges:
    """The largest cell of each channel, for cells that the factors of other channels scale."""

    def __init__(self, parts: Iterable[tuple[Indices, Indices, Cells32, Floats]]) -> None:
        targets, sources, magnitudes, scales = map(np.concatenate, zip(*parts, strict=True))
        order = np.argsort(targets, kind="stable")
        self._sources = sources[order]
        self._magnitudes = (magnitudes * scales)[order]
        self.targets, self._starts = np.unique(targets[order], return_index=True)

    def largest(self, factors: Floats) -> Floats:
        """The largest magnitude of each of `targets`."""
        if not len(self.targets):
            return np.zeros(0)
        return np.asarray(np.maximum.reduceat(self._magnitudes * factors[self._sources], self._starts))


def _step(first: Floats, second: Floats, whole_powers: Flags) -> Floats:
    """Logarithm to base 2 of sqrt(first / second), 0 where either is 0; whole where that is required."""
    alive = (first > 0) & (second > 0)
    step = 0.5 * np.log2(np.divide(first, second, out=np.ones_like(first), where=alive))
    return np.where(whole_powers, np.rint(step), step)
