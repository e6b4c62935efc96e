"""Cross-layer equalization: factors by which the channels of neighbouring convolutions come to one range.

For a pair with output ranges r1 of the first and input ranges r2 of the second, channel i of the first
is divided, and of the second multiplied, by s_i = sqrt(r1_i / r2_i): both ranges become
sqrt(r1_i r2_i). In a chain a pair undoes a little of what its neighbour did, so sweeps over the chain
go on until nothing changes.

Source: Nagel et al. 2019, arXiv 1906.04721, 4.1 and appendix A (range: largest magnitude of a channel).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dlclint.analysis.cle.layers import Cells, Floats
from dlclint_schemas.record import record

SWEEPS = 2000
CONVERGED = 1e-6
"""Largest change of a factor, as a logarithm to base 2, below which the sweeps end."""
EQUAL = 1e-4
"""A chain whose factors would all lie this near 1 counts as equalized and is not touched: well above
`CONVERGED` and the rounding of float32, so that a second run changes nothing."""

Mask = npt.NDArray[np.bool_]


@record
class Scaled:
    """The factors of a chain of n layers: s for each of its n - 1 links, and how it went."""

    factors: tuple[Floats, ...]
    sweeps: int
    converged: bool

    @property
    def changes(self) -> bool:
        """Whether any factor differs from 1."""
        return any(bool((factor != 1).any()) for factor in self.factors)


def output_ranges(cells: Cells, inputs: Floats) -> Floats:
    """Largest magnitude of each output channel when input channels are multiplied by `inputs`."""
    group, _, width = cells.magnitude.shape
    scaled = cells.magnitude * inputs.reshape(group, 1, width).astype(np.float32)
    return np.asarray(scaled.max(axis=2), np.float64).reshape(-1)


def input_ranges(cells: Cells, outputs: Floats) -> Floats:
    """Largest magnitude of each input channel when output channels are multiplied by `outputs`."""
    group, height, _ = cells.magnitude.shape
    scaled = cells.magnitude * outputs.reshape(group, height, 1).astype(np.float32)
    return np.asarray(scaled.max(axis=1), np.float64).reshape(-1)


def output_factors(factors: Sequence[Floats], position: int, count: int) -> Floats:
    """What multiplies the `count` output channels of the layer at a position of the chain."""
    return np.asarray(1 / factors[position]) if position < len(factors) else np.ones(count)


def input_factors(factors: Sequence[Floats], position: int, count: int) -> Floats:
    """What multiplies the `count` input channels of the layer at a position of the chain."""
    return factors[position - 1] if position else np.ones(count)


def equalize(chain: Sequence[Cells], frozen: Sequence[Mask], whole_powers: Sequence[bool]) -> Scaled:
    """The factors that equalize a chain.

    Args:
        chain: cells of each layer, first to last; a layer has as many input channels as the one
            before it has output channels.
        frozen: for each link, the channels that keep the factor 1.
        whole_powers: for each link, whether its factors must be powers of two, by which numbers of
            16 bits are scaled without rounding; ranges then agree within a factor of two.

    Channels of range zero on either side (dead ones) keep the factor 1.
    """
    links = len(chain) - 1
    factors = [np.ones(mask.shape) for mask in frozen]
    # Ranges without the factors of the link itself, which are applied on the fly.
    behind = [output_ranges(cells, np.ones(cells.inputs)) for cells in chain[:-1]]
    ahead = [input_ranges(cells, np.ones(cells.outputs)) for cells in chain[1:]]
    moved = [True] * links
    for sweep in range(1, SWEEPS + 1):
        largest = 0.0
        for link in range(links):
            if link and moved[link - 1]:
                behind[link] = output_ranges(chain[link], factors[link - 1])
            if link + 1 < links and moved[link + 1]:
                ahead[link] = input_ranges(chain[link + 1], 1 / factors[link + 1])
            step = _step(behind[link] / factors[link], ahead[link] * factors[link], whole_powers[link])
            step[frozen[link]] = 0.0
            change = float(np.abs(step).max(initial=0.0))
            moved[link] = change > 0
            factors[link] = factors[link] * np.exp2(step)
            largest = max(largest, change)
        if sweep == 1 and largest < EQUAL:
            return Scaled(tuple(np.ones(mask.shape) for mask in frozen), 0, True)
        if largest < CONVERGED:
            return Scaled(tuple(factors), sweep, True)
    return Scaled(tuple(factors), SWEEPS, False)


def _step(first: Floats, second: Floats, whole_powers: bool) -> Floats:
    """Logarithm to base 2 of sqrt(first / second), 0 where either is 0."""
    alive = (first > 0) & (second > 0)
    ratio = np.divide(first, second, out=np.ones_like(first), where=alive)
    step = 0.5 * np.log2(ratio)
    if whole_powers:
        step = np.rint(step)
    return np.asarray(step)
