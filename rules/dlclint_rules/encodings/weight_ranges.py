"""Ranges of weights that are far wider than the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dlclint.diagnostic import About, Confidence, Safety, Severity, Source
from dlclint.encodings import grid
from dlclint.encodings.document import FLOAT, Flags
from dlclint.encodings.edits import DocumentEdit
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules.encodings.consumers import range_of
from dlclint_rules.encodings.repairs import grid_edits
from dlclint_rules.encodings.reporting import QUANTIZATION, at, capped, encodings_rule, in_blocks
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

if TYPE_CHECKING:
    from dlclint.analysis.weights.store import ConvertedWeight

_WIDEST = 8
"""Bits up to which unused steps are missed."""
_LEAST_TO_CUT = 4
"""Bits from which on a range is cut to the documented grids; two bits have others as well."""
_FOLDED_FACTOR = 2.0
"""How much wider than the weights a range is at least to be reported as that before folding."""
_SAME = 0.1
"""By how much a range and the weights before folding may differ, as a share."""


@record
class _Wide:
    """An entry, what its weights need by element, and how many times as wide it is, in the median channel.

    `needed` is the least range of the entry's kind, symmetric or not; elements without weights keep theirs.
    """

    row: int
    needed: grid.Encoding
    factor: float
    folded: bool
    before_folding: bool

    @property
    def lost(self) -> float:
        """Decibels of the weights that the unused steps cost."""
        return float(20.0 * np.log10(self.factor))


@encodings_rule(about=About.FORM, weights=True)
def weight_range_wasted(context: EncodingsContext) -> Iterator[Finding]:
    """The range is far wider than the weights.

    Why: steps that no weight uses are missing where the weights are: a range four times as wide costs two
    bits, or 12 dB. dlclint compares the weights that the converter sees: with a following batch normalization
    folded in. If its factors are small, encodings of the weights before folding are too wide. Channels
    without weights do not count, nor do ranges that keep a bias within 32 bits.
    What to do: use the encodings of this model, not of another training state. If they belong to the weights
    before folding, fold the batch normalization first (AIMET: fold_all_batch_norms), and then export
    encodings and model.
    Fix: unsafe, the range is cut to the real weights; there is no fix if folding comes first, because the
    activations were also calibrated with the other weights.
    """
    document = context.document

    def finding(wide: _Wide) -> Finding:
        count = int(document.tensors.count[wide.row])
        asides = ["batch normalization folded in"] * wide.folded + [f"median of {count} channels"] * (
            count > 1
        )
        aside = f" ({', '.join(asides)})" if asides else ""
        unplaced = Finding(
            f"{document.tensors.names[wide.row]!r}: the range is {wide.factor:.3g} times as wide as the"
            f" weights{aside}, which costs {wide.lost:.0f} dB"
            + ("; it is that of the weights before folding" if wide.before_folding else ""),
            Severity.WARNING,
            Source(QUANTIZATION, "algorithm"),
            Confidence.INFERRED,
            "fold the batch normalization first, then export encodings and model"
            if wide.before_folding
            else "quantize the float model again, each weight in its own range"
            if context.nodes
            else "take the encodings of this model",
            evidence={"factor": round(wide.factor, 3), "lost_db": round(wide.lost, 3)},
            fix=None if wide.before_folding else _cut(context, wide),
        )
        return at(context, wide.row, (), unplaced)

    yield from capped(context, _wide(context), finding, "tensors")


def _wide(context: EncodingsContext) -> Iterator[_Wide]:
    view = context.view
    if view is None:
        return
    blocks = in_blocks(context.document)
    rows = {name: row for row, name in enumerate(context.document.tensors.names) if not blocks[row]}
    if not rows:
        return
    uses: dict[str, list[ConvertedWeight]] = {}
    for weight in view.weights.converted():
        if weight.name in rows:
            uses.setdefault(weight.name, []).append(weight)
    wasted = [each for name, weights in uses.items() if (each := _judged(context, rows[name], weights))]
    if wasted:
        kept = _keeping_biases(context)
        yield from (each for each in wasted if context.document.tensors.names[each.row] not in kept)


def _judged(context: EncodingsContext, row: int, uses: list[ConvertedWeight]) -> _Wide | None:
    document = context.document
    first, count = int(document.tensors.first[row]), int(document.tensors.count[row])
    stated = range_of(context, first, first + count)
    bits = stated.bitwidth
    if (document.elements.kind[first : first + count] == FLOAT).any() or not grid.has_grid(bits).all():
        return None
    if not (bits <= _WIDEST).all() or any(
        not len(weight.minimum) or count not in (1, len(weight.minimum)) for weight in uses
    ):
        return None
    if not np.isfinite(stated.minimum + stated.maximum).all():
        return None
    low, high = _ends([(weight.minimum, weight.maximum) for weight in uses], count)
    reach = np.maximum(high, 0.0) - np.minimum(low, 0.0)
    # Channels that are zero on a 16-bit grid of the whole weight have no range of their own.
    alive = reach > float(reach.max()) / float(grid.steps(16)) / 2.0
    if not alive.any():
        return None
    even = grid.is_symmetric(stated.offset, bits)
    needed = _fitted(stated, low, high, even, alive)
    if needed is None:
        return None
    factors = (stated.maximum - stated.minimum) / (needed.maximum - needed.minimum)
    factor = float(np.median(factors[alive]))
    folded = all(weight.factors is not None for weight in uses)
    before = False
    if folded and factor >= _FOLDED_FACTOR:
        raw_low, raw_high = _ends([_raw(weight) for weight in uses], count)
        raw = _fitted(stated, raw_low, raw_high, even, alive)
        if raw is not None:
            shares = (stated.maximum - stated.minimum) / (raw.maximum - raw.minimum)
            before = abs(float(np.median(shares[alive])) - 1.0) <= _SAME
    if not np.isfinite(factor):
        return None
    if before or factor >= 10.0 ** (threshold("channel_spread_gain") / 20.0):
        return _Wide(row, needed, factor, folded, before)
    return None


def _ends(uses: list[tuple[grid.Floats, grid.Floats]], count: int) -> tuple[grid.Floats, grid.Floats]:
    """The lowest and highest value by element, over all uses of a tensor."""
    if count == 1:  # uses along different axes have different numbers of channels
        uses = [(low.min(keepdims=True), high.max(keepdims=True)) for low, high in uses]
    return np.stack([low for low, _ in uses]).min(axis=0), np.stack([high for _, high in uses]).max(axis=0)


def _raw(weight: ConvertedWeight) -> tuple[grid.Floats, grid.Floats]:
    """The ends by channel before folding."""
    channels = weight.statistics.channels[(weight.use.axis or 0) % max(1, len(weight.use.tensor.shape))]
    return channels.minimum, channels.maximum


def _fitted(
    stated: grid.Encoding, low: grid.Floats, high: grid.Floats, even: Flags, alive: Flags
) -> grid.Encoding | None:
    """The least grids of the same kind that hold these ends; that of an element without weights stays."""
    low, high = (np.where(alive, ends, 1.0) for ends in (np.minimum(low, 0.0), np.maximum(high, 0.0)))
    low = np.minimum(low, 0.0)
    try:
        fitted = grid.fit_alike(low, high, stated.bitwidth, even)
    except ValueError:
        return None
    names = ("minimum", "maximum", "scale", "offset", "bitwidth")
    return grid.Encoding(*(np.where(alive, getattr(fitted, name), getattr(stated, name)) for name in names))


def _keeping_biases(context: EncodingsContext) -> frozenset[str]:
    """The weights whose ranges are wide so that the bias fits 32 bits."""
    # Imported here because few files have such ranges.
    from dlclint.analysis.weights.biases import saturations

    assert context.view is not None
    kind = replace(context.target.kind, per_channel=True)
    return frozenset(each.weight.name for each in saturations(context.view, kind))


def _cut(context: EncodingsContext, wide: _Wide) -> Fix | None:
    document = context.document
    if (wide.needed.bitwidth < _LEAST_TO_CUT).any():
        return None
    first = int(document.tensors.first[wide.row])
    edits: list[DocumentEdit] = []
    for position in range(int(document.tensors.count[wide.row])):
        edits.extend(grid_edits(document, first + position, wide.needed, position))
    return Fix("cut the range to the real weights", Safety.UNSAFE, tuple(edits)) if edits else None
