"""Ranges of stored scales, slopes, bounds and constants, compared with their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dlclint.analysis.roles import weight_uses
from dlclint.analysis.side_inputs import side_inputs
from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.encodings.entry_grids import EntryGrid, entry_grids
from dlclint.model.op_facts import BROADCASTING, Role
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules.encodings.repairs import regridded
from dlclint_rules.encodings.reporting import QUANTIZATION, at, capped, encodings_rule
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

if TYPE_CHECKING:
    from dlclint.encodings.grid import Floats
    from dlclint.model.graph import Node


_NO_BOUND = 65504.0
"""The largest float16: bounds from there on mean no bound."""


@record
class _Parameter:
    """A stored tensor with one grid, its values, its role for its reader, and how many are clamped."""

    node: Node
    grid: EntryGrid
    values: Floats
    words: str
    is_bound: bool

    @property
    def outside(self) -> int:
        """The number of clamped values; up to half a step outside is rounding."""
        slack = self.grid.scale * (0.5 + 1e-3) + 1e-6 * max(abs(self.grid.low), abs(self.grid.high))
        beyond = (self.values < self.grid.low - slack) | (self.values > self.grid.high + slack)
        return int(beyond.sum())

    @property
    def moved(self) -> tuple[float, float]:
        """The value that the grid changes most, and its rounded value."""
        first = self.grid.offset
        integers = np.clip(np.rint(self.values / self.grid.scale), first, first + self.grid.steps - 1)
        on_grid = integers * self.grid.scale
        worst = int(np.argmax(np.abs(on_grid - self.values)))
        return float(self.values[worst]), float(on_grid[worst])


def _parameters(context: EncodingsContext) -> Iterator[_Parameter]:
    if context.view is None:
        return
    # Imported here because it imports onnx, and a file without its model has no values.
    from dlclint.model.tensors import Unavailable

    view, grids = context.view, entry_grids(context.document)
    seen = {name for name, _ in weight_uses(view.model)}
    for node, name, words, is_bound in _read(context):
        stored = node.graph.constant(name)
        if name in seen or name not in grids or stored is None:
            continue
        seen.add(name)
        try:
            values = stored.array()
        except Unavailable:
            continue
        if values.dtype.kind not in "fV" or not values.size:
            continue
        values = values.astype(np.float64).reshape(-1)
        # An infinite bound, or the largest number of its type, means no bound.
        if np.isfinite(values).all() and not (is_bound and np.abs(values).max() >= _NO_BOUND):
            yield _Parameter(node, grids[name], values, words, is_bound)


def _read(context: EncodingsContext) -> Iterator[tuple[Node, str, str, bool]]:
    """Stored inputs by the node that reads them: in words, and whether they are bounds."""
    assert context.view is not None
    for side in side_inputs(context.view):
        yield side.node, side.name, side.words, side.role is Role.BOUND
    for graph in context.view.model.graphs():
        for node in graph.nodes:
            if not node.domain and node.op_type in BROADCASTING:
                for name in node.inputs:
                    if name and graph.constant(name) is not None:
                        yield node, name, f"the constant of {node.op_type}", False


def _is_mask(context: EncodingsContext, parameter: _Parameter) -> bool:
    # Imported here because few files need it, and it imports onnx.
    from dlclint.analysis.masks import coarse_masks

    assert context.view is not None
    return any(
        mask.name == parameter.grid.name for mask in coarse_masks(context.view, parameter.grid.bitwidth)
    )


@encodings_rule(about=About.ACCURACY, weights=True)
def parameter_clipped(context: EncodingsContext) -> Iterator[Finding]:
    """A stored scale, slope, bound or constant is outside the range that the file gives it.

    Why: the quantizer clamps values outside the range to its end, as for weights. A bound of Clip that is
    clamped, or that the grid rounds to another number, cuts at another value. HTP itself accepted bounds of
    every width, sign and zero point (measured); only their value on the grid matters.
    What to do: give the parameter the range of its own values.
    Fix: unsafe, the range is widened to the parameter's values.
    """

    def wrong() -> Iterator[_Parameter]:
        for parameter in _parameters(context):
            value, moved = parameter.moved
            is_moved = parameter.is_bound and abs(moved - value) > threshold("range_slack") * abs(value)
            is_off = parameter.outside or is_moved
            # A mask may be cut to what scores need.
            if is_off and not _is_mask(context, parameter):
                yield parameter

    def finding(parameter: _Parameter) -> Finding:
        grid, count = parameter.grid, parameter.outside
        value, becomes = parameter.moved
        low, high = min(float(parameter.values.min()), 0.0), max(float(parameter.values.max()), 0.0)
        effect = (
            f"{value:.4g}" if parameter.values.size == 1 else f"{count:,} of {parameter.values.size:,} values"
        )
        lie = "lies" if parameter.values.size == 1 or count == 1 else "lie"
        where = f"the range {grid.low:.4g} to {grid.high:.4g}"
        unplaced = Finding(
            f"{grid.name!r}: {parameter.words}, {effect}, {lie} outside {where}: {value:.4g} becomes"
            f" {becomes:.4g}"
            if count
            else f"{grid.name!r}: {parameter.words}, {effect}, becomes {becomes:.4g} on the grid of {where}",
            Severity.WARNING,
            Source(QUANTIZATION, "quantize and clamp"),
            Confidence.INFERRED,
            f"give it {low:.4g} to {high:.4g}",
            parameter.node,
            evidence={"clipped": count, "values": int(parameter.values.size), "becomes": becomes},
            fix=regridded(context.document, grid, (low, high), "give it the range of its own values")
            if high > low
            else None,
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, wrong(), finding, "parameters")
