"""One grid for tensors with different ranges."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from dlclint.analysis.moving import destination, origin
from dlclint.analysis.shared import (
    BOUNDED,
    FROM_FILE,
    SharedGrid,
    Span,
    judged,
    loss_sentence,
    shared_grid_remedy,
    shares_grid,
)
from dlclint.diagnostic import Confidence, Severity
from dlclint.encodings.entry_grids import EntryGrid, entry_grids
from dlclint.rule import EncodingsContext, Finding
from dlclint.target import Runtime
from dlclint_rules import sources
from dlclint_rules.encodings.repairs import widened
from dlclint_rules.encodings.reporting import at, capped, encoding_place, encodings_rule

if TYPE_CHECKING:
    from dlclint.model.graph import Graph


@encodings_rule()
def shared_grid(context: EncodingsContext) -> Iterator[Finding]:
    """One grid serves tensors of unlike ranges, and one of them vanishes in its step.

    Why: a Concat (Where, Max, a scatter) has one grid for all tensors that it joins. If boxes in pixels are
    joined with scores between 0 and 1, one step is several pixels, and all scores become one number: at 8
    bits a trained detector finds nothing. An Add loses an operand that is smaller than one step of the sum.
    What to do: make the parts separate outputs of the model, scale the larger one before the Concat, or give
    this tensor 16 bits.
    Fix: unsafe, the shared tensor gets 16 bits if the chip supports them.
    """
    if context.view is None:
        return
    view, grids = context.view, entry_grids(context.document)

    def span_of(graph: Graph, name: str) -> Span | None:
        file_grid, sure = grids.get(origin(graph, name, grids)), view.certain(graph).get(name)
        low, high = (-float("inf"), float("inf")) if file_grid is None else (file_grid.low, file_grid.high)
        if sure is not None:
            low, high = max(low, sure.minimum), min(high, sure.maximum)
        if not abs(high - low) < float("inf"):
            return None
        return Span(low, high, BOUNDED if file_grid is None else FROM_FILE)

    def lossy() -> Iterator[tuple[EntryGrid, SharedGrid]]:
        sharing = (node for graph in view.model.graphs() for node in graph.nodes if shares_grid(node))
        for node in sharing:
            output_grid = grids.get(destination(node.graph, node.output(0), grids))
            if output_grid is not None:
                shared = judged(node, partial(span_of, node.graph), output_grid.scale, output_grid.bitwidth)
                if shared is not None:
                    yield output_grid, shared

    wide_is_taken = Runtime.HTP in context.target.considered

    def finding(hit: tuple[EntryGrid, SharedGrid]) -> Finding:
        grid, shared = hit
        assert shared.worst.steps is not None
        unplaced = Finding(
            loss_sentence(shared),
            Severity.WARNING,
            sources.JOINED if shared.joins else sources.STEP,
            Confidence.FIELD_REPORTED if shared.joins else Confidence.INFERRED,
            shared_grid_remedy(shared, wide_is_taken and grid.bitwidth < 16),
            shared.node,
            evidence={
                "step": shared.step,
                "steps": shared.worst.steps,
                "lost": [each.name for each in shared.lost],
                "others": [each.name for each in (*shared.wide, *shared.unknown)],
            },
            fix=widened(context.document, grid) if wide_is_taken else None,
            related=tuple(
                encoding_place(context, graph, origin(graph, each.name, grids), action)
                for graph in [shared.node.graph]
                for each, action in (
                    (shared.worst, "what is lost"),
                    ((*shared.wide, *shared.unknown)[0], "what makes the step large"),
                )
            ),
        )
        return at(context, grid.row, (), unplaced)

    yield from capped(context, lossy(), finding, "shared grids")
