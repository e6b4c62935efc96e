"""Grids that several tensors share, of which one is too small for the step.

A Concat has one grid for all that it joins. Boxes in pixels beside scores between 0 and 1 make a step of
several pixels, and every score becomes 0; an Add loses an operand that is smaller than a step of the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.moving import destination, moved_inputs
from dlclint.analysis.roles import vector
from dlclint.encodings import grid
from dlclint.model.op_facts import COMPARES, SUMS
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView
    from dlclint.analysis.weights.store import Home
    from dlclint.model.graph import Graph, Node

GIVEN, BOUNDED, ESTIMATED = "given", "bounded", "estimated"
"""What a span rests on: the file, what ops can produce, or estimates."""
_STEP = {GIVEN: "is", BOUNDED: "may be", ESTIMATED: "is about"}


@record
class Span:
    """From the lowest to the highest value of a tensor, and what says so."""

    low: float
    high: float
    basis: str

    @property
    def size(self) -> float:
        """The width of the range."""
        return self.high - self.low


@record
class Operand:
    """One of the tensors that share a grid, its range (None: unknown), and how many steps it spans."""

    name: str
    span: Span | None
    steps: float | None


@record
class SharedGrid:
    """An op's output whose step is too large for some of its operands.

    `step` is the least that the step can be, `exact` whether it is just that. `lost` are the operands that
    span too few steps, the worst first; `wide` the others with a known range, the widest first; `unknown`
    those that nothing is known of.
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
        """Whether the operands stay apart within the output, as in a Concat."""
        return self.node.op_type not in SUMS

    @property
    def worst(self) -> Operand:
        """The operand with the fewest steps."""
        return self.lost[0]

    @property
    def factor(self) -> int:
        """A power of two by which to divide the widest operand, so that the worst gets a like range."""
        assert self.worst.span is not None and self.wide[0].span is not None
        ratio = self.wide[0].span.size / self.worst.span.size
        return int(1 << max(1, round(ratio)).bit_length() - 1)


def operands(node: Node) -> tuple[str, ...]:
    """The activations that share an op's output grid; () where they do not."""
    if node.domain:
        return ()
    if node.op_type in (*SUMS, *COMPARES):
        return tuple(name for name in node.inputs if name and node.graph.constant(name) is None)
    moved = moved_inputs(node)
    return moved if len(moved) > 1 else ()


def judged(
    node: Node, span_of: Callable[[str], Span | None], step: float | None, bitwidth: int
) -> SharedGrid | None:
    """A node's operands against its step; None where all fit, or where there is no other operand.

    Without a `step` it is the least that the known operands leave: their ranges lie in the output's.
    """
    names = dict.fromkeys(operands(node))
    if len(names) < 2:
        return None
    spans = {name: span_of(name) for name in names}
    known = {name: span for name, span in spans.items() if span is not None and span.size > 0}
    exact = step is not None
    if step is None:
        if not known:
            return None
        step = _least_range(node, list(known.values())) / float(grid.steps(bitwidth))
    if step <= 0:
        return None
    least = threshold("swallowed_steps" if node.op_type in SUMS else "shared_steps")
    rows = [Operand(name, span, span.size / step) for name, span in known.items()]
    rows.sort(key=lambda row: row.steps or 0.0)
    lost = tuple(row for row in rows if (row.steps or 0.0) < least)
    wide = tuple(row for row in reversed(rows) if (row.steps or 0.0) >= least)
    unknown = tuple(Operand(name, None, None) for name in names if name not in known)
    if not lost or not (wide or (unknown and exact)):
        return None
    return SharedGrid(node, node.output(0), step, bitwidth, exact, lost, wide, unknown)


def _least_range(node: Node, spans: list[Span]) -> float:
    if node.op_type in SUMS:
        return max(span.size for span in spans)
    return max(span.high for span in spans) - min(span.low for span in spans)


def expected_spans(view: ModelView, graph: Graph, estimates: bool) -> Callable[[str], Span | None]:
    """The range of a tensor of a graph before calibration: what is sure, else what is estimated, else None.

    Without `estimates`, which take a look at every weight, only what is sure; estimated is the main graph.
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
        return Span(sure.minimum, sure.maximum, BOUNDED) if sure.tight else None

    return span_of


def expected(
    view: ModelView, bitwidth: int, estimates: bool = True, masks: Collection[Home] = ()
) -> Iterator[SharedGrid]:
    """The shared grids that calibration will make too coarse for one of their tensors, in graph order.

    Sums that only one of `masks`, constants that mask attention scores, makes coarse are left out: another
    remedy helps them.
    """
    # Imported here because an override file alone needs no onnx.
    from dlclint.analysis.masks import carries_mask

    # A mask is followed in the model that the quantizer sees.
    graph = view.as_float.model.graph
    for home, nodes in _sharing(view):
        span_of = expected_spans(view, home, estimates)
        for node in nodes:
            found = judged(node, span_of, None, bitwidth)
            wide = found.wide if found is not None and masks and not found.joins else ()
            if wide and all(carries_mask(graph, each.name, masks) for each in wide):
                continue
            if found is not None:
                yield found


def _sharing(view: ModelView) -> Iterator[tuple[Graph, list[Node]]]:
    """The graphs, subgraphs and functions with nodes of which several tensors share the output's grid."""
    for graph in view.model.graphs():
        nodes = [node for node in graph.nodes if len(operands(node)) > 1 and node.key not in view.folded]
        if nodes and graph.path not in view.branches.dead:
            yield graph, nodes


@record
class Suspicion:
    """A bounded tensor in one grid with a tensor of unknown range that a constant stretches.

    Where `other`, which is multiplied by up to `factor`, spans more than `limit`, the bounded one has too
    few steps.
    """

    node: Node
    output: str
    name: str
    span: Span
    other: str
    factor: float
    limit: float


def suspected(view: ModelView, bitwidth: int, estimates: bool = True) -> Iterator[Suspicion]:
    """Joins of scores and boxes of which only the scores' range is known, in graph order."""
    for graph, nodes in _sharing(view):
        span_of = expected_spans(view, graph, estimates)
        joins = (node for node in nodes if node.op_type not in (*SUMS, *COMPARES))
        yield from filter(None, (_suspicion(view, node, span_of, bitwidth) for node in joins))


def _suspicion(
    view: ModelView, node: Node, span_of: Callable[[str], Span | None], bitwidth: int
) -> Suspicion | None:
    spans = {name: span_of(name) for name in operands(node)}
    bounded = [(name, span) for name, span in spans.items() if span is not None and span.basis == BOUNDED]
    stretched = [(_stretch(view, node, name), name) for name, span in spans.items() if span is None]
    if not bounded or max(stretched, default=(0.0, ""))[0] < threshold("stride"):
        return None
    if judged(node, span_of, None, bitwidth) is not None:
        return None
    name, span = min(bounded, key=lambda item: item[1].size)
    factor, other = max(stretched)
    limit = span.size * float(grid.steps(bitwidth)) / threshold("shared_steps")
    return Suspicion(node, node.output(0), name, span, other, factor, limit)


def _stretch(view: ModelView, node: Node, name: str) -> float:
    """By how much the op that makes a tensor multiplies, where that is known; 0 elsewhere."""
    graph, passed = node.graph, {name}
    maker = graph.producer(name)
    while maker is not None and len(moved_inputs(maker)) == 1 and moved_inputs(maker)[0] not in passed:
        passed.add(moved_inputs(maker)[0])
        maker = graph.producer(moved_inputs(maker)[0])
    if maker is None or maker.domain or maker.op_type != "Mul":
        return 0.0
    factors = [abs(float(each)) for factor in maker.inputs for each in _ends(view, graph, factor)]
    return max(factors, default=0.0)


def _ends(view: ModelView, graph: Graph, name: str) -> tuple[float, ...]:
    stored = vector(graph, name) if name else None
    if stored is not None and stored.size:
        return float(stored.min()), float(stored.max())
    sure = view.certain(graph).get(name)
    return (sure.minimum, sure.maximum) if sure is not None and sure.finite else ()


def loss_sentence(found: SharedGrid) -> str:
    """What is lost, with its numbers."""
    lost, bits = found.lost, found.bitwidth
    worst, span = found.worst, found.worst.span
    assert span is not None and worst.steps is not None
    names = f"{short(worst.name)} ({_ends_text(span)})"
    if len(lost) > 1:
        names += f" ({len(lost) - 1} more)"
    step = f"a step is {found.step:.3g}"
    other = short((*found.wide, *found.unknown)[0].name)
    if found.wide and found.wide[0].span is not None:
        most = found.wide[0].span
        other += f" ({_ends_text(most)})"
        step = step if found.exact else f"a step {_STEP[most.basis]} {found.step:.3g}"
    effect = (
        "most of it is rounded away"
        if not found.joins
        else ("all its values become one or two" if worst.steps < 1 else "less than 4 bits are left of it")
    )
    return (
        f"{short(found.output)}: one grid for {names} and {other}; {step} at {bits} bits, of which the first"
        f" spans {worst.steps:.2g}: {effect}"
    )


def short(name: str) -> str:
    """A tensor's name in quotes, its beginning left out where it is long: the end tells more."""
    return repr(name if len(name) <= 48 else f"…{name[-47:]}")


def _ends_text(span: Span) -> str:
    return f"{span.low:.4g} to {span.high:.4g}" + (", estimated" if span.basis == ESTIMATED else "")


def suspicion(guess: Suspicion, bitwidth: int) -> str:
    """What may be lost, and from where on."""
    return (
        f"{short(guess.output)}: one grid for {short(guess.name)} ({_ends_text(guess.span)}) and"
        f" {short(guess.other)}, which is multiplied by up to {guess.factor:g} and has no known range; where"
        f" it spans more than {guess.limit:.3g}, fewer than {threshold('shared_steps'):g} steps at {bitwidth}"
        " bits are left for the first"
    )


def shared_grid_remedy(found: SharedGrid, wide_is_taken: bool) -> str:
    """What to do: outputs apart, scaling, or 16 bits; `wide_is_taken` says that the target has those."""
    ways = []
    if found.joins and destination(found.node.graph, found.output, found.node.graph.outputs):
        ways.append("let the two leave the model as outputs of their own")
    if found.joins and found.wide:
        ways.append(f"divide the second by {found.factor} before, and multiply after the model")
    if wide_is_taken:
        ways.append(f"give {short(found.output)} 16 bits")
    return ", or ".join(ways) or "keep this part float"
