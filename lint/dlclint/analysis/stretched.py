"""Shared grids with a known range on only one side: what may be lost, from which range on, and what is open.

The range of a convolution's output is unknown. Where it is multiplied by a stride, or pixels are added to it,
it is assumed to be in pixels, and a tensor between 0 and 1 next to it is suspected to be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.masks import coarse_mask, is_masked
from dlclint.analysis.moving import moved_inputs
from dlclint.analysis.roles import vector
from dlclint.analysis.shared import (
    BOUNDED,
    Span,
    constants,
    ends_text,
    expected_spans,
    judged,
    operands,
    sharing,
    short,
)
from dlclint.analysis.weights.store import Home
from dlclint.encodings import grid
from dlclint.model.op_facts import COMPARES, HOMOGENEOUS, SUMS
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView
    from dlclint.model.graph import Graph, Node


@record
class Widening:
    """The factor that multiplies a tensor, or the range of numbers that are added to it."""

    factor: float = 0.0
    is_added: bool = False


@record
class Suspicion:
    """A bounded tensor in one grid with a tensor of unknown range that constants stretch.

    Where `other`, which is stretched by up to `stretch`, spans more than `limit`, the bounded one has too few
    steps.
    """

    node: Node
    output: str
    name: str
    span: Span
    other: str
    stretch: Widening
    limit: float

    @property
    def joins(self) -> bool:
        """Whether the operands stay separate within the output, as in a Concat."""
        return self.node.op_type not in SUMS

    @property
    def is_likely(self) -> bool:
        """Whether the stretch of `other` suggests that the bounded one is lost, like scores next to boxes."""
        # A join with a tensor stretched by a stride is a detector's; for a sum the number itself must
        # suffice.
        return self.stretch.factor >= (threshold("stride") if self.joins else self.limit)


def half_known(
    view: ModelView, bitwidth: int, masks: Collection[Home], estimates: bool = True
) -> Iterator[Suspicion]:
    """Shared grids of a tensor with guaranteed bounds and one about which nothing is known, in graph order.

    Those whose unknown tensor carries one of `masks` are left out, because they need another remedy.
    """
    for graph, nodes in sharing(view):
        span_of = expected_spans(view, graph, estimates)
        stretches = _Stretches(view, graph)
        for node in nodes:
            guess = _half_known(node, span_of, stretches, bitwidth)
            if guess is not None and not is_masked(view, graph, guess.other, masks):
                yield guess


def _half_known(
    node: Node, span_of: Callable[[str], Span | None], stretches: _Stretches, bitwidth: int
) -> Suspicion | None:
    spans = {name: span_of(name) for name in operands(node)}
    bounded = [
        (name, span)
        for name, span in spans.items()
        if span is not None and span.basis == BOUNDED and span.size > 0
    ]
    unknown = [name for name, span in spans.items() if span is None]
    if not bounded or not unknown or judged(node, span_of, None, bitwidth) is not None:
        return None
    stretched = [(stretches.of(name), name) for name in unknown]
    stretch, other = max(stretched, key=lambda pair: pair[0].factor)
    name, span = min(bounded, key=lambda pair: pair[1].size)
    steps = threshold("swallowed_steps" if node.op_type in SUMS else "shared_steps")
    limit = span.size * float(grid.steps(bitwidth)) / steps
    return Suspicion(node, node.output(0), name, span, other, stretch, limit)


@record
class WideConstant:
    """A join of a stored number with activations about which nothing is known.

    The number alone makes the step at least `step`; `other` keeps 4 bits where it spans `need` or more.
    """

    node: Node
    output: str
    name: str
    span: Span
    other: str
    step: float
    need: float
    wide_helps: bool
    """Whether a grid of 16 bits is fine enough for the unknown tensor."""


def wide_constants(
    view: ModelView, bitwidth: int, masks: Collection[Home], estimates: bool = True
) -> Iterator[WideConstant]:
    """Stored numbers so large that what they are joined with is likely lost, in graph order.

    Those of `masks` are left out, because they need another remedy.
    """
    for graph, nodes in sharing(view):
        span_of = expected_spans(view, graph, estimates)
        for node in nodes:
            stored = constants(node) if node.op_type not in (*SUMS, *COMPARES) else {}
            name = max(stored, key=lambda each: stored[each].reach, default="")
            unknown = [each for each in operands(node) if span_of(each) is None]
            if not name or not unknown or stored[name].reach < coarse_mask(bitwidth):
                continue
            if not is_masked(view, graph, name, masks) and judged(node, span_of, None, bitwidth) is None:
                step = stored[name].reach / float(grid.steps(bitwidth))
                need = step * threshold("shared_steps")
                wide_helps = stored[name].reach < coarse_mask(16) and bitwidth < 16
                output = node.output(0)
                yield WideConstant(node, output, name, stored[name], unknown[0], step, need, wide_helps)


def constant_sentence(wide_constant: WideConstant, bitwidth: int) -> str:
    """What a large number leaves of what it is joined with."""
    return (
        f"{short(wide_constant.output)}: one grid for {short(wide_constant.name)}"
        f" ({ends_text(wide_constant.span)}) and {short(wide_constant.other)}, whose range is unknown; a"
        f" step is at least {wide_constant.step:.3g} at {bitwidth} bits: where the second spans less than"
        f" {wide_constant.need:.3g}, fewer than {threshold('shared_steps'):g} steps are left for it"
    )


class _Stretches:
    """How far the ops that produce a tensor stretch it, where they are constants or bounded."""

    def __init__(self, view: ModelView, graph: Graph) -> None:
        self._view = view
        self._graph = graph
        self._found: dict[str, Widening] = {}

    def of(self, name: str) -> Widening:
        """The largest factor or summand between a tensor and the op that computes its values."""
        pending = [name]
        while pending:
            current = pending[-1]
            maker = self._graph.producer(current)
            if current in self._found or maker is None or maker.domain:
                self._found.setdefault(current, Widening())
                pending.pop()
                continue
            sources = _sources(maker)
            missing = [each for each in sources if each not in self._found and each not in pending]
            if missing:
                pending += missing
                continue
            before = [self._found.get(each, Widening()) for each in sources]
            self._found[current] = max((*before, self._own(maker)), key=lambda each: each.factor)
            pending.pop()
        return self._found[name]

    def _own(self, maker: Node) -> Widening:
        """What an op does to one operand by the others."""
        ends = [self._ends(factor) for factor in maker.inputs]
        known = [each for each in ends if each]
        if len(known) == len(ends):
            return Widening()
        if maker.op_type == "Mul":
            return Widening(max((abs(end) for each in known for end in each), default=0.0))
        if maker.op_type == "Div" and ends[-1] and all(ends[-1]):
            return Widening(max(abs(1.0 / end) for end in ends[-1]))
        if maker.op_type in SUMS:
            return Widening(max((max(each) - min(each) for each in known), default=0.0), True)
        return Widening()

    def _ends(self, name: str) -> tuple[float, ...]:
        stored = vector(self._graph, name) if name else None
        if stored is not None and stored.size:
            return float(stored.min()), float(stored.max())
        sure = self._view.certain(self._graph).get(name)
        return (sure.minimum, sure.maximum) if sure is not None and sure.finite else ()


def _sources(maker: Node) -> tuple[str, ...]:
    """The operands that determine the size of a tensor."""
    moved = moved_inputs(maker)
    if moved:
        return moved
    if maker.op_type in (*SUMS, "Mul"):
        return tuple(name for name in maker.inputs if name and maker.graph.constant(name) is None)
    return (maker.input(0),) if maker.op_type in (*HOMOGENEOUS, "Div") else ()


def suspicion(guess: Suspicion, bitwidth: int) -> str:
    """What may be lost, and from which range on."""
    how = f"is multiplied by up to {guess.stretch.factor:g}"
    if guess.stretch.is_added:
        how = f"has numbers added that span {guess.stretch.factor:g}"
    left = (
        f"fewer than {threshold('shared_steps'):g} steps at {bitwidth} bits are left for the first"
        if guess.joins
        else f"the first is less than a step at {bitwidth} bits"
    )
    return (
        f"{short(guess.output)}: one grid for {short(guess.name)} ({ends_text(guess.span)}) and"
        f" {short(guess.other)}, which {how} and has no known range; where it spans more than"
        f" {guess.limit:.3g}, {left}"
    )
