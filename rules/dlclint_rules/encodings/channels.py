"""Scales of a weight's channels compared with each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dlclint.analysis.weights.entries import weight_entries
from dlclint.diagnostic import About, Confidence, Severity, Source, counted
from dlclint.encodings import grid
from dlclint.encodings.entry_grids import entry_grids
from dlclint.model.op_facts import CONVOLUTIONS
from dlclint.rule import EncodingsContext, Finding
from dlclint.target import Runtime
from dlclint_rules.encodings.repairs import rescaled
from dlclint_rules.encodings.reporting import at, capped, encodings_rule
from dlclint_rules.encodings.side_inputs import activation_width
from dlclint_schemas.precision import OBSERVED
from dlclint_schemas.side_inputs import channel_scales

if TYPE_CHECKING:
    from dlclint.model.graph import Node


@encodings_rule(about=About.ACCURACY)
def channel_saturates(context: EncodingsContext) -> Iterator[Finding]:
    """A channel's weight scale is so far below the largest one that HTP saturates the complete channel.

    Why: with 16-bit activations, HTP keeps a channel whose scale is 2^-15 of the largest one of the weight.
    If the scale is 2^-16 or below, HTP saturates every output of the channel at an end of its grid, some
    32,768 steps off. This is measured on Hexagon v68 to v81, with QNN 2.51.0; no document mentions it. Dead
    and pruned channels have such scales.
    What to do: raise the scale of these channels to the floor that the message gives: their weights are close
    to zero, so it costs less than a step of the output. Or prune them.
    Fix: unsafe, the scales of these channels are raised to the floor.
    """
    if context.view is None or Runtime.HTP not in context.target.considered:
        return
    grids, weights = entry_grids(context.document), weight_entries(context.document)
    known = channel_scales()

    def spread() -> Iterator[tuple[Node, str, grid.Floats]]:
        assert context.view is not None
        for node in context.view.nodes():
            weight = weights.get(node.input(1)) if node.op_type in CONVOLUTIONS and not node.domain else None
            if weight is None or weight.is_float or weight.scale is None or not weight.by_channel:
                continue
            if activation_width(context, grids, node) != known.act_bitwidth:
                continue
            if (weight.scale < known.kept * weight.scale.max()).any():
                yield node, node.input(1), weight.scale

    def finding(hit: tuple[Node, str, grid.Floats]) -> Finding:
        node, name, scale = hit
        largest = float(scale.max())
        low = scale < known.kept * largest
        certain = bool((scale <= known.saturated * largest).any())
        effect = "saturates every value of" if certain else "may saturate"
        floor = known.kept * largest
        unplaced = Finding(
            f"{name!r}: the scales of {counted(int(low.sum()), 'channel')} of {len(scale)} go down to"
            f" {float(scale.min()):.3g}, and the largest is {largest:.3g}; with {known.act_bitwidth}-bit"
            f" activations HTP {effect} a channel below 2^-15 of the largest (measured)",
            Severity.WARNING,
            Source(OBSERVED, "weight scales of channels, Hexagon v68 to v81"),
            Confidence.FIELD_REPORTED,
            f"raise their scales to {floor:.3g}, which is 2^-15 of the largest",
            node,
            evidence={
                "channels": int(low.sum()),
                "smallest_scale": float(scale.min()),
                "largest_scale": largest,
                "floor": floor,
            },
            fix=rescaled(
                context,
                context.document.rows(name)[-1],
                np.maximum(scale, floor),
                "raise the scales to the floor",
            ),
        )
        return at(context, context.document.rows(name)[-1], (), unplaced)

    yield from capped(context, spread(), finding, "weights")
