"""Grids that several tensors share, of which one is too small for the step.

A Concat has one grid for everything that it joins. Boxes in pixels next to scores between 0 and 1 make a step
of several pixels, and every score becomes 0; an Add loses an operand that is smaller than a step of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np

from dlclint.analysis.moving import destination, moved_inputs, moved_tensors
from dlclint.analysis.roles import vector
from dlclint.encodings import grid
from dlclint.model.op_facts import COMPARES, SUMS
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView
    from dlclint.analysis.weights.store import Home
    from dlclint.model.graph import Graph, Node

FROM_FILE, STORED, BOUNDED, ESTIMATED = "from file", "stored", "bounded", "estimated"
"""What a span is based on: the file, the numbers of a constant, what ops can produce, or estimates."""
_STEP = {FROM_FILE: "is", STORED: "is at least", BOUNDED: "may be", ESTIMATED: "is about"}
_LARGEST_FACTOR = 2.0**62
"""Of a division that is advised; an operand may be as small as float64 has numbers."""


@record
class Span:
    """From the lowest to the highest value of a tensor, and the source of these.

    `tight` means that both ends can be reached; otherwise the actual span may be much smaller.
    """

    low: float
    high: float
    basis: str
    tight: bool = True

    @property
    def size(self) -> float:
        """The width of the range."""
        return self.high - self.low

    @property
    def reach(self) -> float:
        """The width of the range extended to include 0, as a grid has it."""
        return max(self.high, 0.0) - min(self.low, 0.0)


@record
class Operand:
    """One of the tensors that share a grid, its range (None: unknown), and how many steps it spans."""

    name: str
    span: Span | None
    steps: float | None


@record
class SharedGrid:
    """An op's output whose step is too large for some of its operands.

    `step` is the smallest that the step can be, `exact` whether it is exactly that. `lost` are the operands
    that span too few steps, the worst first; `wide` the others with a known range, including constants, the
    widest first; `unknown` those about which nothing is known.
    """

    node: Node
    output: str
    step: float
    bitwidth: int
    exact: bool
    lost: tuple[Operand, ...]
    wide: tuple[Operand, ...]
    unknown: tuple[Operand, ...]

    @property
    def joins(self) -> bool:
        """Whether the operands stay separate within the output, as in a Concat."""
        return self.node.op_type not in SUMS

    @property
    def worst(self) -> Operand:
        """The operand with the fewest steps."""
        return self.lost[0]

    @property
    def factor(self) -> int:
        """The power of two that divides the widest operand so that the worst one gets a similar range."""
        assert self.worst.span is not None and self.wide[0].span is not None
        ratio = min(self.wide[0].span.reach / self.worst.span.size, _LARGEST_FACTOR)
        return int(1 << max(1, round(ratio)).bit_length() - 1)


def operands(node: Node) -> tuple[str, ...]:
    """The activations that share an op's output grid; () where they do not."""
    if node.domain:
        return ()
    if node.op_type in (*SUMS, *COMPARES):
        return tuple(name for name in node.inputs if name and node.graph.constant(name) is None)
    return moved_inputs(node)


def shares_grid(node: Node) -> bool:
    """Whether an activation and another tensor share an op's output grid."""
    all_of_it = node.inputs if node.op_type in (*SUMS, *COMPARES) else moved_tensors(node)
    return not node.domain and len(all_of_it) > 1 and bool(operands(node))


def constants(node: Node) -> dict[str, Span]:
    """The stored numbers that share an op's output grid with activations."""
    if node.domain:
        return {}
    names = node.inputs if node.op_type in (*SUMS, *COMPARES) else moved_tensors(node)
    spans = {}
    for name in names:
        if name and node.graph.constant(name) is not None:
            values = vector(node.graph, name)
            if values is not None and values.size and np.isfinite(values).all():
                spans[name] = Span(float(values.min()), float(values.max()), STORED)
    return spans


def judged(
    node: Node, span_of: Callable[[str], Span | None], step: float | None, bitwidth: int
) -> SharedGrid | None:
    """A node's operands compared with its step; None where all fit, or where there is no other operand.

    Without a `step` it is the smallest that the known operands allow: the output's range includes theirs.
    """
    names = dict.fromkeys(operands(node))
    stored = constants(node)
    if not names or len(names) + len(stored) < 2:
        return None
    spans = {name: span_of(name) for name in names}
    known = {name: span for name, span in spans.items() if span is not None and span.size > 0}
    exact = step is not None
    if step is None:
        tight = [span for span in known.values() if span.tight]
        if not tight and not (known and stored):
            return None
        output_span = span_of(node.output(0)) if stored else None
        step = _least_range(node, tight, list(stored.values()), output_span) / float(grid.steps(bitwidth))
    if step <= 0:
        return None
    least = threshold("swallowed_steps" if node.op_type in SUMS else "shared_steps")
    rows = [Operand(name, span, span.size / step) for name, span in known.items()]
    rows.sort(key=lambda row: row.steps or 0.0)
    lost = tuple(row for row in rows if (row.steps or 0.0) < least)
    others = [row for row in reversed(rows) if (row.steps or 0.0) >= least]
    wide = [row for row in others if known[row.name].tight]
    wide += [Operand(name, span, span.size / step) for name, span in stored.items()]
    wide.sort(key=lambda row: -row.span.reach if row.span is not None else 0.0)
    unknown = [row for row in others if not known[row.name].tight]
    unknown += [Operand(name, None, None) for name in names if name not in known]
    if not lost or not (wide or (unknown and exact)):
        return None
    return SharedGrid(node, node.output(0), step, bitwidth, exact, lost, tuple(wide), tuple(unknown))


def _least_range(node: Node, spans: list[Span], stored: list[Span], output_span: Span | None) -> float:
    """The smallest range of the output; `made` is the output's own, which constants move away from 0."""
    if node.op_type in SUMS:
        moved = output_span.reach if output_span is not None and output_span.tight else 0.0
        return max((moved, *(span.size for span in spans)))
    spans = [*spans, *stored]
    if node.op_type in COMPARES:
        pick = max if node.op_type == "Max" else min
        return pick(span.high for span in spans) - pick(span.low for span in spans)
    return max(span.high for span in spans) - min(span.low for span in spans)


def expected_spans(view: ModelView, graph: Graph, estimates: bool) -> Callable[[str], Span | None]:
    """The range of a tensor of a graph before calibration: guaranteed, else estimated, else None.

    Without `estimates`, which read every weight, only guaranteed ranges; estimates are for the main graph.
    """
    certain = view.certain(graph)
    estimated = view.activations if estimates and graph is view.model.graph else {}

    def span_of(name: str) -> Span | None:
        sure = certain.get(name)
        estimate = estimated.get(name)
        if estimate is not None and (sure is None or not sure.finite or not sure.tight):
            return Span(estimate.minimum, estimate.maximum, ESTIMATED)
        if sure is None or not sure.finite:
            return None
        return Span(sure.minimum, sure.maximum, BOUNDED, sure.tight)

    return span_of


def expected(
    view: ModelView, bitwidth: int, estimates: bool = True, masks: Collection[Home] = ()
) -> Iterator[SharedGrid]:
    """The shared grids that calibration will make too coarse for one of their tensors, in graph order.

    A grid that only one of `masks`, constants that mask attention scores, makes coarse is left out, because
    it needs another remedy.
    """
    # Imported here because an override file alone needs no onnx.
    from dlclint.analysis.masks import is_masked

    for graph, nodes in sharing(view):
        span_of = expected_spans(view, graph, estimates)
        for node in nodes:
            shared_grid = judged(node, span_of, None, bitwidth)
            wide = shared_grid.wide if shared_grid is not None and masks else ()
            if wide and all(is_masked(view, graph, each.name, masks) for each in wide):
                continue
            if shared_grid is not None:
                yield shared_grid


def sharing(view: ModelView) -> Iterator[tuple[Graph, list[Node]]]:
    """The graphs, subgraphs and functions with nodes whose output grid several tensors share."""
    for graph in view.model.graphs():
        nodes = [node for node in graph.nodes if shares_grid(node) and node.key not in view.folded]
        if nodes and graph.path not in view.branches.dead:
            yield graph, nodes


def loss_sentence(shared_grid: SharedGrid) -> str:
    """What is lost, with its numbers."""
    lost, bits = shared_grid.lost, shared_grid.bitwidth
    worst, span = shared_grid.worst, shared_grid.worst.span
    assert span is not None and worst.steps is not None
    names = f"{short(worst.name)} ({ends_text(span)})"
    if len(lost) > 1:
        names += f" ({len(lost) - 1} more)"
    step = f"a step is {shared_grid.step:.3g}"
    other = short((*shared_grid.wide, *shared_grid.unknown)[0].name)
    if shared_grid.wide and shared_grid.wide[0].span is not None:
        most = shared_grid.wide[0].span
        other += f" ({ends_text(most)})"
        # Added numbers shift a sum, whose range also depends on the other operands.
        basis = BOUNDED if most.basis == STORED and not shared_grid.joins else most.basis
        step = step if shared_grid.exact else f"a step {_STEP[basis]} {shared_grid.step:.3g}"
    effect = (
        "most of it is rounded away"
        if not shared_grid.joins
        else ("all its values become one or two" if worst.steps < 1 else "less than 4 bits are left of it")
    )
    return (
        f"{short(shared_grid.output)}: one grid for {names} and {other}; {step} at {bits} bits, of which the"
        f" first spans {worst.steps:.2g}: {effect}"
    )


def short(name: str) -> str:
    """A tensor's name in quotes, without its beginning where it is long: the end is more specific."""
    return repr(name if len(name) <= 48 else f"…{name[-47:]}")


def ends_text(span: Span) -> str:
    """The ends of a span, and whether they are estimated."""
    if span.basis == STORED and span.low == span.high:
        return f"stored, {span.low:.4g}"
    ends = f"{span.low:.4g} to {span.high:.4g}"
    return ends + {ESTIMATED: ", estimated", STORED: ", stored"}.get(span.basis, "")


def shared_grid_remedy(shared_grid: SharedGrid, wide_is_taken: bool) -> str:
    """What to do: separate outputs, scaling, or 16 bits; `wide_is_taken` means that the target has those."""
    ways = []
    least = threshold("shared_steps" if shared_grid.joins else "swallowed_steps")
    finer = float(grid.steps(16)) / float(grid.steps(shared_grid.bitwidth))
    wide_is_taken = wide_is_taken and (shared_grid.worst.steps or 0.0) * finer >= least
    if (
        shared_grid.joins
        and shared_grid.wide
        and shared_grid.wide[0].span is not None
        and shared_grid.wide[0].span.basis == STORED
    ):
        return smaller_or_wide(shared_grid.output, wide_is_taken)
    if shared_grid.joins:
        if destination(shared_grid.node.graph, shared_grid.output, shared_grid.node.graph.outputs):
            ways.append("output the two separately")
        if shared_grid.wide:
            ways.append(f"divide the second by {shared_grid.factor} before, and multiply after the model")
    if wide_is_taken:
        ways.append(f"give {short(shared_grid.output)} 16 bits")
    return ", or ".join(ways) or "keep this part float"


def smaller_or_wide(output: str, wide_helps: bool) -> str:
    """What to do where a stored number makes a grid too wide, at least for 8 bits."""
    ways = ["store a smaller number there, if what follows takes one"]
    if wide_helps:
        ways.append(f"give {short(output)} 16 bits")
    return ", or ".join(ways)
