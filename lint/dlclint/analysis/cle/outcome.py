"""The result of an equalization, as plain rows for reports."""

from __future__ import annotations

from dlclint.analysis.cle.plan import gained
from dlclint_schemas.record import record

_GROWN = 2.0
"""The growth of an activation range from which it is reported: it costs a bit of an 8-bit activation."""
_NOTICED = 0.5
"""Decibels that a weight may lose before that is reported."""
_WORTH = 1.0
"""Decibels of all weights together below which equalization is not worth trying: a sixth of a bit."""


@record
class ConvolutionRow:
    """A convolution before and after. `chain` counts from 1; see `Figures` for the numbers.

    `range_before` and `range_after` are the largest activation after it, estimated from the batch
    normalization; None without one, and for the last of a chain, which is not scaled.
    """

    chain: int
    op: str
    node: str
    spread_before: float
    spread_after: float
    sqnr_before: float
    sqnr_after: float
    chain_sqnr_before: float
    chain_sqnr_after: float
    range_before: float | None = None
    range_after: float | None = None

    @property
    def growth(self) -> float:
        """The largest activation after it, as the ratio of after to before; 1 where it is not known."""
        return self.range_after / self.range_before if self.range_before and self.range_after else 1.0


@record
class LeftAlone:
    """Pairs that are not changed, and why."""

    reason: str
    pairs: tuple[str, ...]
    """Each as the names of its convolutions, first -> second."""


@record
class Checked:
    """Both models run on random inputs: the largest difference relative to an output's magnitude."""

    runs: int
    largest_relative: float
    output: str


@record
class EqualizeOutcome:
    """A whole run of `dlclint equalize`."""

    version: str
    source: str
    output: str
    extended: bool
    relu6: str
    high_bias: str
    bitwidth: int
    convolutions: int
    pairs: int
    """Pairs of the chains that were equalized."""
    extended_pairs: int
    """Pairs that `--extended` finds, before any is excluded."""
    changed: bool
    relu6_replaced: int
    absorbed: int
    """Channels whose constant was moved into the next convolution."""
    absorbable: int
    """Channels of high bias that `--high-bias absorb` would absorb as well."""
    unconverged: int
    layers: tuple[ConvolutionRow, ...]
    left_alone: tuple[LeftAlone, ...]
    notes: tuple[str, ...] = ()
    checked: Checked | None = None
    verdict: str = ""
    """Whether it was worthwhile, in one sentence."""

    @property
    def grown(self) -> list[ConvolutionRow]:
        """The convolutions after which activations grow more than twofold, the worst first."""
        return sorted((row for row in self.layers if row.growth > _GROWN), key=lambda row: -row.growth)


def equalization_verdict(outcome: EqualizeOutcome) -> str:
    """A summary of the figures of an equalization."""
    layers = outcome.layers
    if not layers or not outcome.changed:
        return "nothing was equalized"
    sqnrs = [row.chain_sqnr_before for row in layers], [row.chain_sqnr_after for row in layers]
    gain = gained(*sqnrs)
    said = (
        f"weights gain {gain:.1f} dB together at {outcome.bitwidth} bits per tensor, the worst goes from"
        f" {min(sqnrs[0]):.1f} to {min(sqnrs[1]):.1f} dB"
    )
    worse = [row for row in layers if row.chain_sqnr_after < row.chain_sqnr_before - _NOTICED]
    if worse:
        row = min(worse, key=lambda row: row.chain_sqnr_after - row.chain_sqnr_before)
        said += (
            f"; {len(worse)} of {len(layers)} give some to their neighbors, most {row.node}"
            f" ({row.chain_sqnr_before:.1f} to {row.chain_sqnr_after:.1f} dB)"
        )
    if gain < _WORTH:
        said = f"hardly worth it: {said}"
    elif outcome.grown:
        said = f"measure before use: {said}; activations grow, which costs them what weights gain"
    else:
        said = f"worth a try: {said}"
    return f"{said}; with a grid for each channel the weights need none, though activations may gain"
