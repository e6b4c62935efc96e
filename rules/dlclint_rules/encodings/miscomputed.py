"""Ranges in which HTP computes an op wrongly, as measured on its backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dlclint.analysis.moving import origin
from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.encodings.entry_grids import EntryGrid, entry_grids
from dlclint.rule import EncodingsContext, Finding
from dlclint.target import Runtime
from dlclint_rules.causes import here
from dlclint_rules.encodings.repairs import regridded
from dlclint_rules.encodings.reporting import at, capped, encodings_rule
from dlclint_schemas.grid_limits import GridLimit, grid_limits
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.model.graph import Node


@record
class MiscomputedOp:
    """An op, and the grid with which HTP computes it wrongly."""

    node: Node
    grid: EntryGrid
    limit: GridLimit


@encodings_rule(about=About.ACCURACY, follows=here("encodings/range-cut", "encodings/range-wasted"))
def range_miscomputed(context: EncodingsContext) -> Iterator[Finding]:
    """HTP computes an op wrongly with this range.

    Why: measured with QNN 2.51 on an x86 host, on Hexagon v68 to v81 alike: a quantized Reciprocal whose
    input's range ends below 1 gives results that are too small by the factor of that end (a tenth of 1/x for
    a range to 0.1), and a 16-bit Log whose output has steps of 2^-14 or less, so a range that spans 4 or
    less, gives one number for all inputs. A calibrated range often is like that: the variance that a
    spelled-out normalization takes the reciprocal root of, or the logarithm of a spectrum. magika keeps
    28.5 dB by the documents and nothing on HTP.
    What to do: widen the range, which costs part of the grid's steps; give a Reciprocal 16 bits then, or
    replace it by a Div, which HTP computes as documented.
    Fix: unsafe, the range is widened as far as needed.
    """
    if Runtime.HTP not in context.target.considered or context.view is None:
        return
    grids = entry_grids(context.document)

    def finding(hit: MiscomputedOp) -> Finding:
        grid, limit, op = hit.grid, hit.limit, hit.node.op_type
        low, high = limit.widened(grid.low, grid.high, grid.bitwidth)
        moves = "writes" if limit.is_output else "reads"
        effect = limit.effect.format(op=op, factor=1 / max(grid.high, 1e-38))
        if limit.least_high is not None:
            why = f"ends below {limit.least_high:g}"
        else:
            why = f"has steps of {grid.scale:.4g}, not above {limit.least_step:.4g}"
        unplaced = Finding(
            f"{grid.name!r}: HTP {effect}, because the range that it {moves}, {grid.low:.4g} to"
            f" {grid.high:.4g}, {why}",
            Severity.WARNING,
            Source(limit.measured, op),
            Confidence.FIELD_REPORTED,
            f"give it {low:.4g} to {high:.4g}",
            hit.node,
            evidence={"min": grid.low, "max": grid.high, "step": grid.scale},
            fix=regridded(context.document, grid, (low, high), f"widen the range to {low:.4g} to {high:.4g}"),
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, _miscomputed(context, grids), finding, "ops")


def _miscomputed(context: EncodingsContext, grids: Mapping[str, EntryGrid]) -> Iterator[MiscomputedOp]:
    assert context.view is not None
    for graph in context.view.model.graphs():
        for node in graph.nodes:
            limit = None if node.domain else grid_limits().get(node.op_type)
            if limit is None:
                continue
            name = limit.tensor(node.inputs, node.outputs)
            grid = grids.get(name if limit.is_output else origin(graph, name, grids))
            if grid is not None and not limit.is_met(grid.low, grid.high, grid.bitwidth):
                yield MiscomputedOp(node, grid, limit)
