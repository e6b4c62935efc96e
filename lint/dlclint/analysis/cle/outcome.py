"""What an equalization did, as plain rows for reports."""

from __future__ import annotations

from dlclint_schemas.record import record


@record
class LayerRow:
    """A convolution before and after. `chain` counts from 1; see `Figures` for the numbers.

    `range_before` and `range_after` are the largest activation behind it, estimated from the batch
    normalisation; None without one, and for the last of a chain, which is not scaled.
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


@record
class LeftAlone:
    """Pairs that stay as they are, and why."""

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
    """Pairs that `--extended` finds, before any is left alone."""
    changed: bool
    relu6_replaced: int
    absorbed: int
    """Channels whose constant went into the next convolution."""
    absorbable: int
    """Channels of high bias that `--high-bias absorb` would take as well."""
    unconverged: int
    layers: tuple[LayerRow, ...]
    left_alone: tuple[LeftAlone, ...]
    notes: tuple[str, ...] = ()
    checked: Checked | None = None
