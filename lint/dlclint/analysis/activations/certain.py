"""Guaranteed ranges of activations: bounds of ops, propagated through the ops that follow.

Nothing is assumed about the inputs. A Sigmoid is between 0 and 1; times a stride of 32 it is between 0 and
32, and a constant convolution over the axis of a Softmax, with which detectors decode boxes, returns a
weighted mean of its weights. Constants are used element by element, so that an anchor grid keeps its shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dlclint.analysis.activations.asked import OnDemand
from dlclint.analysis.matching.terms import clip_bounds, stored_integers
from dlclint.analysis.roles import channel_axis, vector
from dlclint.model.evaluation.arithmetic import ARITHMETIC
from dlclint.model.evaluation.bounds import FAILURES
from dlclint.model.evaluation.movement import MOVEMENT
from dlclint.model.op_facts import ADDITIONS, AVERAGES, COMBINING, COMPARES, KEEPS_GRID, MATRICES, UNCHANGED
from dlclint_schemas.outputs import op_outputs
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Node

Floats = npt.NDArray[np.float64]

MOST = 1 << 18
"""Elements up to which a range is kept element by element."""
_HELD = 1 << 22
"""Elements that are held so for one graph, which bounds memory and time; then a range is one for its tensor.
The anchors and strides of a detector take some hundred thousand."""


@record
class Interval:
    """The lowest and highest value, arrays that broadcast to the tensor's shape; an end may be infinite.

    `sums_to_one` is the axis, from the front, along which the values add up to 1. `tight` means that both
    ends can be reached, or nearly: after a sum over many products they cannot, although they are still
    guaranteed.
    """

    low: Floats
    high: Floats
    sums_to_one: int | None = None
    tight: bool = True

    @property
    def minimum(self) -> float:
        """The lowest value of the whole tensor."""
        return float(self.low.min()) if self.low.size else 0.0

    @property
    def maximum(self) -> float:
        """The highest value of the whole tensor."""
        return float(self.high.max()) if self.high.size else 0.0

    @property
    def finite(self) -> bool:
        """Whether both ends are finite."""
        return math.isfinite(self.maximum - self.minimum)

    def whole(self) -> Interval:
        """The range of the whole tensor."""
        if self.low.ndim == 0:
            return replace(self, sums_to_one=None)
        return Interval(np.array(self.minimum), np.array(self.maximum), None, self.tight)


def interval(low: float, high: float, sums_to_one: int | None = None) -> Interval:
    """One range for a whole tensor."""
    return Interval(np.array(low, np.float64), np.array(high, np.float64), sums_to_one)


def certain_ranges(graph: Graph) -> Mapping[str, Interval]:
    """The range, by name, of every activation with at least one guaranteed end, computed on request."""
    walk = _Walk(graph)
    nodes = [node for node in graph.nodes if not node.domain]
    return OnDemand(nodes, walk.visit, _needs, walk.found)


_INCREASING: Mapping[str, Callable[[Floats], Floats]] = {
    "Relu": lambda x: np.maximum(x, 0.0),
    "Exp": np.exp,
    "Sqrt": lambda x: np.sqrt(np.maximum(x, 0.0)),
    "Log": lambda x: np.where(x > 0, np.log(np.where(x > 0, x, 1.0)), -np.inf),
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "Tanh": np.tanh,
    "Softplus": lambda x: np.logaddexp(x, 0.0),
}
"""Nondecreasing functions, so that the ends of a range become the ends of the result's range."""
_KEEP_RANGE = KEEPS_GRID | {*AVERAGES}
"""Ops whose first output holds values of the first input, or means of some."""
_COMBINE = frozenset({*COMBINING, "Pow"})
_WEIGHTED = frozenset({"Conv", *MATRICES})
_READ_ALL = _COMBINE | {"Concat", "Where"}
_READ_FIRST = (
    {*_INCREASING, *_WEIGHTED, *_KEEP_RANGE, *UNCHANGED, *MOVEMENT}
    | {"Abs", "Clip", "Neg", "Resize"}
) - _READ_ALL  # fmt: skip


def _needs(node: Node) -> Iterable[str]:
    """The tensors whose ranges `_Walk.visit` reads."""
    if node.op_type in _READ_ALL:
        return node.inputs
    if node.op_type == "ReduceSum":
        product = node.graph.producer(node.input(0))
        return () if product is None else (node.input(0), *product.inputs)
    return (node.input(0),) if node.op_type in _READ_FIRST else ()


class _Walk:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.found: dict[str, Interval] = {}
        self._stored: dict[str, Interval | None] = {}
        self._left = _HELD

    def visit(self, node: Node) -> None:
        outputs = [name for name in node.outputs if name]
        if not outputs or self.graph.constant(outputs[0]) is not None:
            return
        with np.errstate(all="ignore"):
            output_range = self.bounded(node, self.made(node))
        if output_range is None or not (
            math.isfinite(output_range.minimum) or math.isfinite(output_range.maximum)
        ):
            return
        if np.isnan(output_range.low).any() or np.isnan(output_range.high).any():
            return
        output_range = self.held(output_range)
        # The second outputs of TopK and MaxPool are indices.
        for name in outputs if node.op_type == "Split" else outputs[:1]:
            self.found[name] = output_range

    def held(self, known: Interval) -> Interval:
        """A range element by element while the budget lasts, else that of the whole tensor."""
        if known.low.size <= 1:
            return known
        if known.low.size > MOST:
            return known.whole()
        self._left -= known.low.size
        return known if self._left >= 0 else known.whole()

    def bounded(self, node: Node, output_range: Interval | None) -> Interval | None:
        """The range, intersected with the op's own bounds."""
        op = op_outputs().get(node.op_type)
        if op is None:
            return output_range
        if output_range is None:
            axis = _simplex_axis(node) if node.op_type == "Softmax" else None
            return interval(op.low, op.high, axis)
        return replace(
            output_range,
            low=np.maximum(output_range.low, op.low),
            high=np.minimum(output_range.high, op.high),
        )

    def operand(self, node: Node, position: int) -> Interval | None:
        """The known range of an input: that of an activation, or the values of a constant."""
        name = node.input(position)
        if name in self.found:
            return self.found[name]
        if name not in self._stored:
            self._stored[name] = self.constant(name) if name else None
        return self._stored[name]

    def constant(self, name: str) -> Interval | None:
        """The values of a stored tensor, as a range."""
        values = vector(self.graph, name)
        if values is None or not values.size or not np.isfinite(values).all():
            return None
        return self.held(Interval(values, values))

    def made(self, node: Node) -> Interval | None:
        op = node.op_type
        if op == "Clip":
            return _clipped(node, self.found.get(node.input(0)))
        if op == "Concat":
            return self.joined(node)
        if op == "Where":
            parts = [self.operand(node, 1), self.operand(node, 2)]
            return _either(parts)
        if op in _COMBINE:
            return self.arithmetic(node)
        if op in _WEIGHTED:
            return self.weighted(node)
        if op == "ReduceSum":
            return self.summed(node)
        if op == "ConstantOfShape":
            return _filled(node)
        input_range = self.found.get(node.input(0))
        if input_range is None:
            return None
        if op in _INCREASING and (input_range.tight or op not in op_outputs()):
            return Interval(
                _INCREASING[op](input_range.low), _INCREASING[op](input_range.high), None, input_range.tight
            )
        if op in UNCHANGED:
            return input_range
        if op == "Neg":
            return Interval(-input_range.high, -input_range.low, None, input_range.tight)
        if op == "Abs":
            ends = np.abs(input_range.low), np.abs(input_range.high)
            across = (input_range.low <= 0) & (input_range.high >= 0)
            return Interval(
                np.where(across, 0.0, np.minimum(*ends)), np.maximum(*ends), None, input_range.tight
            )
        if op == "Pad":
            return self.padded(node, input_range)
        if op == "Resize":
            return input_range.whole() if node.attribute("mode", "nearest") in ("nearest", "linear") else None
        if input_range.low.ndim and op in MOVEMENT:
            moved = self.moved(node, input_range)
            if moved is not None:
                return moved
        if op == "Transpose":
            return replace(input_range.whole(), sums_to_one=_permuted(node, input_range.sums_to_one))
        return input_range.whole() if op in _KEEP_RANGE else None

    def moved(self, node: Node, input_range: Interval) -> Interval | None:
        """Propagate element by element through an op that moves data, where that is cheap."""
        known = self.graph.type_of(node.input(0))
        shape = None if known is None else known.static_shape
        if shape is None or min(shape, default=1) < 0 or math.prod(shape) > MOST or len(node.outputs) != 1:
            return None
        rest = [self.graph.small_value(name) if name else None for name in node.inputs[1:]]
        if any(value is None for value, name in zip(rest, node.inputs[1:], strict=True) if name):
            return None
        ends = []
        for end in (input_range.low, input_range.high):
            with suppress(*FAILURES):
                ends += list(MOVEMENT[node.op_type](node, [np.broadcast_to(end, shape), *rest], MOST))
        return Interval(ends[0], ends[1], None, input_range.tight) if len(ends) == 2 else None

    def padded(self, node: Node, input_range: Interval) -> Interval | None:
        if node.attribute("mode", "constant") != "constant":
            return input_range.whole()
        value = vector(self.graph, node.input(2)) if node.input(2) else np.zeros(1)
        if value is None or value.size != 1:
            return None
        return _either([input_range, interval(float(value.reshape(-1)[0]), float(value.reshape(-1)[0]))])

    def joined(self, node: Node) -> Interval | None:
        parts = [self.operand(node, position) for position in range(len(node.inputs))]
        known = [part for part in parts if part is not None]
        if len(known) != len(parts):
            return None
        shapes = [self.graph.type_of(name) for name in node.inputs]
        sizes = [None if shape is None else shape.static_shape for shape in shapes]
        axis = node.attribute("axis")
        elements = sum(math.prod(size) for size in sizes if size is not None and min(size, default=1) >= 0)
        if axis is not None and None not in sizes and 0 < elements <= MOST:
            spread = partial(_spread, known, [size or () for size in sizes], int(axis))
            try:
                return Interval(spread("low"), spread("high"), None, all(part.tight for part in known))
            except ValueError:  # shapes that do not fit, as in untrusted models
                pass
        return _either(parts)

    def arithmetic(self, node: Node) -> Interval | None:
        if not any(name in self.found for name in node.inputs):
            return None
        parts = [self.operand(node, position) for position in range(len(node.inputs))]
        if node.op_type in COMPARES:
            return _extreme(node.op_type, parts)
        known = [part for part in parts if part is not None]
        if len(known) != len(parts) or len(known) < 2:
            return None
        total = known[0]
        for part in known[1:]:
            if not _are_few(total, part):
                total, part = total.whole(), part.whole()
            combined = _combined(node.op_type, total, part)
            if combined is None:
                return None
            total = combined
        return total

    def weighted(self, node: Node) -> Interval | None:
        """Propagate through stored weights: a weighted mean where inputs sum to 1, else sums of products."""
        input_range = self.found.get(node.input(0))
        if input_range is None or (input_range.sums_to_one is None and not input_range.finite):
            return None
        weight = vector(self.graph, node.input(1))
        if weight is None or not np.isfinite(weight).all() or not weight.size or not weight.ndim:
            return None
        if weight.size > MOST or (node.op_type == "Conv" and int(node.attribute("group", 1) or 1) != 1):
            return None
        if node.op_type == "Gemm" and (node.attribute("alpha", 1.0) != 1.0 or node.attribute("transA", 0)):
            return None
        axis = 0 if weight.ndim == 1 else channel_axis(node, 1) % weight.ndim
        lanes = (
            np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1) if weight.ndim > 1 else weight[None]
        )
        if input_range.sums_to_one is not None and self.contracts(node, weight, input_range.sums_to_one):
            low, high, tight = lanes.min(axis=1), lanes.max(axis=1), input_range.tight
        elif input_range.finite:
            least, most = input_range.minimum, input_range.maximum
            above, below = np.maximum(lanes, 0.0).sum(axis=1), np.minimum(lanes, 0.0).sum(axis=1)
            low, high, tight = above * least + below * most, above * most + below * least, False
            if node.op_type == "Conv" and any(node.attribute("pads") or ()):
                low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        else:
            return None
        return self.biased(node, Interval(np.array(low.min()), np.array(high.max()), None, tight))

    def biased(self, node: Node, output_range: Interval) -> Interval | None:
        if node.op_type == "MatMul" or not node.input(2):
            return output_range
        bias = vector(self.graph, node.input(2))
        if bias is None or not bias.size or not np.isfinite(bias).all():
            return None
        return replace(output_range, low=output_range.low + bias.min(), high=output_range.high + bias.max())

    def contracts(self, node: Node, weight: Floats, axis: int) -> bool:
        """Whether an op sums exactly over the axis along which its input adds up to 1."""
        if node.op_type == "Conv":
            return axis == 1 and math.prod(weight.shape[2:]) == 1
        rank = self.graph.rank(node.input(0))
        return rank is not None and axis == rank - 1

    def summed(self, node: Node) -> Interval | None:
        """ReduceSum: a weighted mean for a Softmax times constants, else unknown."""
        product = self.graph.producer(node.input(0))
        axes = node.attribute("axes") if node.has("axes") else None
        stored = stored_integers(self.graph, node.input(1)) if axes is None else list(axes)
        if product is None or product.op_type != "Mul" or len(product.inputs) != 2:
            return None
        if stored is None or len(stored) != 1:
            return None
        for one, other in permutations(product.inputs, 2):
            input_range, rank = self.found.get(one), self.graph.rank(one)
            factors = vector(self.graph, other)
            if input_range is None or input_range.sums_to_one is None or factors is None or not rank:
                continue
            if stored[0] % rank == input_range.sums_to_one and factors.size:
                return interval(float(factors.min()), float(factors.max()))
        return None


def _simplex_axis(node: Node) -> int | None:
    rank = node.graph.rank(node.input(0))
    version = node.version or 13
    if rank is None or not rank:
        return None
    axis = int(node.attribute("axis", 1 if version < 13 else -1))
    if not -rank <= axis < rank:
        return None
    # Before version 13 everything after the axis was flattened into it.
    return axis % rank if version >= 13 or axis % rank == rank - 1 else None


def _filled(node: Node) -> Interval | None:
    """The range of a tensor filled with one value, whatever its size."""
    with suppress(*FAILURES):
        (value,) = ARITHMETIC["ConstantOfShape"](node, [np.ones(1, np.int64)], 1)
        return interval(float(value[0]), float(value[0]))
    return None


def _permuted(node: Node, axis: int | None) -> int | None:
    order = node.attribute("perm")
    if axis is None or order is None or axis not in order:
        return None
    return list(order).index(axis)


def _clipped(node: Node, input_range: Interval | None) -> Interval | None:
    low, high = clip_bounds(node)
    least, most = -math.inf if low is None else low, math.inf if high is None else high
    if input_range is None:
        return interval(least, most) if least <= most else None
    return Interval(
        np.clip(input_range.low, least, most), np.clip(input_range.high, least, most), None, input_range.tight
    )


def _spread(parts: list[Interval], shapes: list[tuple[int, ...]], axis: int, end: str) -> Floats:
    """One end of several ranges, element by element, joined along an axis; ValueError on a shape mismatch."""
    wide = [np.broadcast_to(getattr(part, end), shape) for part, shape in zip(parts, shapes, strict=True)]
    return np.concatenate(wide, axis=axis)


def _either(parts: list[Interval | None]) -> Interval | None:
    """One range that contains the values of all."""
    known = [part for part in parts if part is not None]
    if not known or len(known) != len(parts):
        return None
    low, high = min(part.minimum for part in known), max(part.maximum for part in known)
    return replace(interval(low, high), tight=all(part.tight for part in known))


def _extreme(op: str, parts: list[Interval | None]) -> Interval | None:
    """Max or Min, which bound one side even where one operand is unknown."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    pick = max if op == "Max" else min
    low, high = pick(part.minimum for part in known), pick(part.maximum for part in known)
    if len(known) < len(parts):
        low, high = (low, math.inf) if op == "Max" else (-math.inf, high)
    return replace(interval(low, high), tight=all(part.tight for part in known))


def _are_few(one: Interval, other: Interval) -> bool:
    """Whether two ranges can be combined element by element: small ones may broadcast to a large tensor."""
    try:
        return math.prod(np.broadcast_shapes(one.low.shape, other.low.shape)) <= MOST
    except ValueError:  # shapes that do not fit, as in untrusted models
        return False


def _combined(op: str, one: Interval, other: Interval) -> Interval | None:
    """The range of an op on two operands, assumed independent, whose shapes broadcast."""
    tight = one.tight and other.tight
    if op in ADDITIONS:
        return Interval(one.low + other.low, one.high + other.high, None, tight)
    if op == "Sub":
        return Interval(one.low - other.high, one.high - other.low, None, tight)
    if op == "Pow":
        return _power(one, other)
    if op == "Div":
        if ((other.low <= 0) & (other.high >= 0)).any():
            return None
        other = Interval(1.0 / other.high, 1.0 / other.low, None, other.tight)
    corners = [_product(a, b) for a in (one.low, one.high) for b in (other.low, other.high)]
    low = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
    high = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
    return Interval(low, high, None, tight)


def _product(one: Floats, other: Floats) -> Floats:
    """The product of two ends, where zero times infinity is zero."""
    return np.asarray(np.where((one == 0) | (other == 0), 0.0, one * other))


def _power(base: Interval, exponent: Interval) -> Interval | None:
    power = exponent.minimum
    if not (exponent.low == power).all() or not (exponent.high == power).all() or power <= 0:
        return None
    if base.minimum >= 0:
        return Interval(base.low**power, base.high**power, None, base.tight)
    if power % 2 == 0:
        most = np.maximum(base.low**power, base.high**power)
        across = (base.low <= 0) & (base.high >= 0)
        least = np.where(across, 0.0, np.minimum(base.low**power, base.high**power))
        return Interval(least, most, None, base.tight)
    return None
