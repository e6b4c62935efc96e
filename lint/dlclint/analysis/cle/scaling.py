"""Cross-layer equalization: factors by which the channels of neighbouring convolutions come to one range.

For a pair with output ranges r1 of the first and input ranges r2 of the second, channel i of the first
is divided, and of the second multiplied, by s_i = sqrt(r1_i / r2_i): both ranges become
sqrt(r1_i r2_i). In a chain a pair undoes a little of what its neighbour did, so sweeps over the chain
go on until nothing changes. Sweeps look at the peaks of the weights alone; then every weight is read
with the factors they came to, and where a cell shows up that is larger than its channel's peaks, the
sweeps go on with it. So the factors are those that the whole weights come to, after four or five
readings, however long the chain and however many sweeps.

Source: Nagel et al. 2019, arXiv 1906.04721, 4.1 and appendix A (range: largest magnitude of a channel).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dlclint.analysis.cle.measuring import Measured, Weight, measure
from dlclint.analysis.weights.reading import for_each
from dlclint.analysis.weights.statistics import Floats
from dlclint_schemas.record import record

SWEEPS = 2000
READINGS = 50
CONVERGED = 1e-6
"""Largest change of a factor, as a logarithm to base 2, below which the sweeps end."""
EQUAL = 1e-4
"""A chain whose factors would all lie this near 1 counts as equalized and is not touched: well above
`CONVERGED` and the rounding of float32, so that a second run changes nothing."""

Mask = npt.NDArray[np.bool_]


@record
class Scaled:
    """The factors of a chain of n weights: s for each of its n - 1 links, and how it went.

    `measured` is each weight as the factors make it; see `Measured` for what is not yet in it.
    """

    factors: tuple[Floats, ...]
    measured: tuple[Measured, ...]
    converged: bool

    @property
    def changes(self) -> bool:
        """Whether any factor differs from 1."""
        return any(bool((factor != 1).any()) for factor in self.factors)


def output_factors(factors: Sequence[Floats], position: int, count: int) -> Floats:
    """What multiplies the `count` output channels of the layer at a position of the chain."""
    return np.asarray(1 / factors[position]) if position < len(factors) else np.ones(count)


def input_factors(factors: Sequence[Floats], position: int, count: int) -> Floats:
    """What multiplies the `count` input channels of the layer at a position of the chain."""
    return factors[position - 1] if position else np.ones(count)


def equalize(chain: Sequence[Weight], frozen: Sequence[Mask], whole_powers: Sequence[bool]) -> Scaled:
    """The factors that equalize a chain.

    Args:
        chain: the weights, first to last; each has as many input channels as the one before it has
            output channels.
        frozen: for each link, the channels that keep the factor 1.
        whole_powers: for each link, whether its factors must be powers of two, by which numbers of
            16 bits are scaled without rounding; ranges then agree within a factor of two.

    Channels of range zero on either side (dead ones) keep the factor 1.

    Raises:
        CannotScale: a weight cannot be read again.
    """
    factors = [np.ones(mask.shape) for mask in frozen]
    measured = [weight.even for weight in chain]
    sides: list[tuple[Floats, Floats]] = [(weight.factor, np.ones(weight.cells.inputs)) for weight in chain]

    def measured_anew(position: int) -> bool:
        """Measure a weight with the factors as they are; whether its peaks were enough."""
        weight = chain[position]
        ends = position == 0, position == len(factors)
        measured[position], complete = measure(weight.cells, weight.peaks, *sides[position], *ends)
        return complete

    for reading in range(READINGS):
        converged = _sweep(chain, factors, frozen, whole_powers, leave_equal=reading == 0)
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
    frozen: Sequence[Mask],
    whole_powers: Sequence[bool],
    leave_equal: bool,
) -> bool:
    """Bring the factors to where the peaks' ranges meet; whether they got there.

    With `leave_equal`, nothing is done where the ranges (nearly) meet as they are.
    """
    links = len(factors)
    before = [factor.copy() for factor in factors]
    # Ranges without the factors of the link itself, which are applied on the fly.
    behind = [_behind(chain, factors, link) for link in range(links)]
    ahead = [_ahead(chain, factors, link) for link in range(links)]
    moved = [False] * links
    for sweep in range(SWEEPS):
        largest = 0.0
        for link in range(links):
            if link and moved[link - 1]:
                behind[link] = _behind(chain, factors, link)
            if link + 1 < links and moved[link + 1]:
                ahead[link] = _ahead(chain, factors, link)
            step = _step(behind[link] / factors[link], ahead[link] * factors[link], whole_powers[link])
            step[frozen[link]] = 0.0
            change = float(np.abs(step).max(initial=0.0))
            moved[link] = change > 0
            factors[link] = factors[link] * np.exp2(step)
            largest = max(largest, change)
        if sweep == 0 and leave_equal and largest < EQUAL:
            factors[:] = before
            return True
        if largest < CONVERGED:
            return True
    return False


def _behind(chain: Sequence[Weight], factors: Sequence[Floats], link: int) -> Floats:
    """Output ranges of the first weight of a link, as the link before scales it."""
    first = chain[link]
    return first.output_ranges(input_factors(factors, link, first.cells.inputs))


def _ahead(chain: Sequence[Weight], factors: Sequence[Floats], link: int) -> Floats:
    """Input ranges of the second weight of a link, as the link after scales it."""
    second = chain[link + 1]
    return second.input_ranges(output_factors(factors, link + 1, second.cells.outputs))


def _step(first: Floats, second: Floats, whole_powers: bool) -> Floats:
    """Logarithm to base 2 of sqrt(first / second), 0 where either is 0."""
    alive = (first > 0) & (second > 0)
    ratio = np.divide(first, second, out=np.ones_like(first), where=alive)
    step = 0.5 * np.log2(ratio)
    if whole_powers:
        step = np.rint(step)
    return np.asarray(step)
