"""What ReLU6 cuts off, and therefore what replacing it by Relu would change.

After a batch normalization each channel is assumed to be normal, with beta as mean and |gamma| as deviation,
as data-free quantization does (Nagel et al. 2019, arXiv 1906.04721). Where the export folded it, nothing is
known about the values above the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from dlclint.analysis.cle.matching import Pair
from dlclint.analysis.matching.terms import clip_bounds
from dlclint.analysis.roles import vector
from dlclint.analysis.weights.statistics import Floats
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

_ERF = np.frompyfunc(math.erf, 1, 1)


@record
class ClipLoss:
    """What one clip removes.

    `share` is the fraction of the values, from 0 to 1, above the bound; `kept` is how well the output is
    preserved if Relu replaces the clip, in dB: the power of the output by that of the change.
    """

    pair: Pair
    share: float
    kept: float

    @property
    def destroys(self) -> bool:
        """Whether replacing the clip changes its output so much that the network is no longer the same."""
        return self.kept < threshold("relu6_kept")


@record
class Cuts:
    """The clips between pairs, the one that cuts off most first, and the number of unknown ones."""

    known: tuple[ClipLoss, ...]
    unknown: int

    @property
    def destroyed(self) -> int:
        """The number of clips that cannot be replaced."""
        return sum(cut.destroys for cut in self.known)

    @property
    def together(self) -> float:
        """What is kept if Relu replaces all known clips, in dB: their changes, each by its output, added up.

        Changes grow on their way through a network, so this is an upper bound of what its outputs keep.
        """
        changes = sum(10.0 ** (-cut.kept / 10) for cut in self.known)
        return -10 * math.log10(changes) if changes > 0 else math.inf

    @property
    def doubtful(self) -> bool:
        """Whether replacing the clips may change the outputs, so that it must be measured."""
        return self.unknown > 0 or self.together < threshold("relu6_kept_by_all")


def cuts(pairs: Iterable[Pair]) -> Cuts:
    """What every ReLU6 between pairs cuts off."""
    clip_losses = [cut_of(pair) for pair in pairs if pair.relu6]
    known = sorted((cut for cut in clip_losses if cut is not None), key=lambda cut: cut.kept)
    return Cuts(tuple(known), len(clip_losses) - len(known))


def cut_of(pair: Pair) -> ClipLoss | None:
    """What the clip of a pair cuts off; None without a batch normalization."""
    norm, clip = pair.norm, pair.activation
    if norm is None or clip is None or clip.input(0) != norm.output(0):
        return None
    bound = clip_bounds(clip)[1]
    gamma, beta = (vector(norm.graph, norm.input(position)) for position in (1, 2))
    if bound is None or gamma is None or beta is None or gamma.shape != beta.shape or not gamma.size:
        return None
    mean, deviation = beta.astype(np.float64), np.maximum(np.abs(gamma.astype(np.float64)), 1e-12)
    if not np.isfinite(mean + deviation).all():
        return None
    above = _upper((bound - mean) / deviation)
    change = _power_beyond(mean, deviation, bound)
    # The output is 0, the value, or the bound: its power is that above 0 less what is cut off.
    inside = _raw_power(mean, deviation, 0.0) - _raw_power(mean, deviation, bound)
    output = float((inside + bound * bound * above).sum())
    lost = float(change.sum())
    kept = 10 * math.log10(output / lost) if output > 0 and lost > 0 else math.inf
    return ClipLoss(pair, float(above.mean()), kept)


def _density(z: Floats) -> Floats:
    return np.asarray(np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi))


def _upper(z: Floats) -> Floats:
    """The fraction of a normal distribution above z deviations."""
    return np.asarray(0.5 * (1.0 - np.asarray(_ERF(z / math.sqrt(2.0)), np.float64)))


def _power_beyond(mean: Floats, deviation: Floats, bound: float) -> Floats:
    """E[(x - bound)^2; x > bound] of each channel."""
    far = mean - bound
    z = -far / deviation
    return np.maximum((far**2 + deviation**2) * _upper(z) + far * deviation * _density(z), 0.0)


def _raw_power(mean: Floats, deviation: Floats, bound: float) -> Floats:
    """E[x^2; x > bound] of each channel."""
    z = (bound - mean) / deviation
    return np.asarray((mean**2 + deviation**2) * _upper(z) + deviation * (mean + bound) * _density(z))
