"""What each op does with an axis of one of its inputs: its position in the outputs, or how it is used.

An axis may be merged with others after it (batch times heads); it is then the outer factor of the merged
axis, so that its parts are still contiguous.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping

from dlclint.analysis.matching.terms import equation_of, stored_integers
from dlclint.model.graph import Node
from dlclint.model.op_facts import (
    ARG_REDUCTIONS,
    BROADCASTING,
    BY_SAMPLE,
    ELEMENTWISE_UNARY,
    RECURRENT,
    REDUCTIONS,
    SEVERAL_BY_SAMPLE,
    SHAPE_READERS,
    SIZING_ROLES,
    SOFTMAXES,
    Role,
    is_qdq,
    role,
)
from dlclint.model.types import Dim


class AxisStep(enum.Enum):
    """What an op does with an axis, other than passing it on."""

    TIME = "time"
    """The op steps through the axis as time."""
    LAYERS = "layers"
    """The op uses the axis for the states of layers or directions."""
    OPERAND = "operand"
    """The op uses the tensor like a weight, along this axis."""
    SHAPE = "shape"
    """The op uses the numbers as sizes, axes or counts."""
    PICKED = "picked"
    """The op selects some of the parts, by stored numbers."""
    MIXED = "mixed"
    """The parts along the axis are combined, or the op is not understood."""


Ends = Mapping[int, int] | AxisStep
"""Output position to axis, or how the axis is used instead."""
END_OF_AXIS = 10_000
"""Ends of a Slice from here on mean the end of the axis: exporters write the largest integer of 64, 32 or 16
bits, and people 10000, 99999, 100000 or 1000000000. No batch that is sliced is known to be that large.
"""
_FACTORS = {"QLinearMatMul": {0: 0, 3: 1}}
"""Input position to the factor of the product, where they differ."""


def ends_of(node: Node, position: int, axis: int) -> Ends:
    """Where a node puts an axis of one of its inputs."""
    op = node.op_type
    if is_qdq(op, node.domain):
        return {0: axis} if position == 0 else AxisStep.OPERAND
    if node.domain or node.graph.model.is_function(node):
        return AxisStep.MIXED
    if op in SHAPE_READERS:
        return {}
    if role(op, position) in SIZING_ROLES:
        return AxisStep.SHAPE
    handler = _HANDLERS.get(op)
    if handler is not None:
        return handler(node, position, axis)
    if op in ELEMENTWISE_UNARY:
        return {0: axis} if position == 0 else AxisStep.OPERAND
    if op in BROADCASTING:
        return _aligned(node, position, axis)
    return _by_sample(node, position, axis) if op in BY_SAMPLE else AxisStep.MIXED


def _rank(node: Node, position: int) -> int | None:
    return node.graph.rank(node.input(position))


def _shape(node: Node, name: str) -> tuple[Dim, ...] | None:
    tensor_type = node.graph.type_of(name)
    return None if tensor_type is None else tensor_type.shape


def _place(value: object, rank: int | None) -> int | None:
    """An axis counted from the first; None where it is invalid."""
    return value % rank if isinstance(value, int) and rank and -rank <= value < rank else None


def _axes(node: Node, position: int, rank: int | None) -> set[int] | None:
    """Axes given by attribute or stored input; empty where none are given, None where they are unknown."""
    written = node.attribute("axes")
    axes = written if isinstance(written, list) else stored_integers(node.graph, node.input(position))
    if axes is None:
        return None if node.input(position) else set()
    places = {_place(axis, rank) for axis in axes}
    return None if None in places else {index for index in places if index is not None}


def _unless(along: int | None, node: Node, axis: int) -> Ends:
    """Ops that work along one axis and keep the others."""
    return AxisStep.MIXED if along is None or along == axis else dict.fromkeys(range(len(node.outputs)), axis)


def _along(node: Node, position: int, axis: int) -> Ends:
    default = -1 if node.op_type == "TopK" else 0
    return _unless(_place(node.attribute("axis", default), _rank(node, 0)), node, axis)


def _split(node: Node, position: int, axis: int) -> Ends:
    ends = _along(node, position, axis)
    return AxisStep.PICKED if ends is AxisStep.MIXED else ends


def _aligned(node: Node, position: int, axis: int) -> Ends:
    """Broadcasting aligns axes at the end."""
    ranks = [_rank(node, index) for index, name in enumerate(node.inputs) if name]
    known = [rank for rank in ranks if rank is not None]
    inner = _rank(node, position)
    return AxisStep.MIXED if inner is None or len(known) < len(ranks) else {0: axis + max(known) - inner}


def _by_sample(node: Node, position: int, axis: int) -> Ends:
    if role(node.op_type, position) is not Role.DATA or (position and node.op_type not in SEVERAL_BY_SAMPLE):
        return AxisStep.OPERAND
    return {0: 0} if axis == 0 else AxisStep.MIXED


def _normalization(node: Node, position: int, axis: int) -> Ends:
    first = _place(node.attribute("axis", -1), _rank(node, 0))
    if position:
        return AxisStep.OPERAND
    return {0: axis} if first is not None and axis < first else AxisStep.MIXED


def _softmax(node: Node, position: int, axis: int) -> Ends:
    along = _place(node.attribute("axis"), _rank(node, 0))
    flattens = (node.version or 0) < 13
    return AxisStep.MIXED if along is None or axis == along or (flattens and axis > along) else {0: axis}


def _reduction(node: Node, position: int, axis: int) -> Ends:
    rank = _rank(node, 0)
    if node.op_type in ARG_REDUCTIONS:
        along = _place(node.attribute("axis", 0), rank)
        gone = None if along is None else {along}
    else:
        gone = _axes(node, 1, rank)
        if gone is not None and not gone and node.attribute("noop_with_empty_axes"):
            return {0: axis}
    if not gone or axis in gone:  # no axes: all of them
        return AxisStep.MIXED
    return {0: axis if node.attribute("keepdims", 1) else axis - sum(index < axis for index in gone)}


def _matmul(node: Node, position: int, axis: int) -> Ends:
    factors = _FACTORS.get(node.op_type, {0: 0, 1: 1})
    one, two = (_rank(node, index) for index in factors)
    if position not in factors:
        return AxisStep.OPERAND
    if not one or not two:
        return AxisStep.MIXED
    out = max(one, two) - (min(one, two) == 1)
    own, other = (one, two) if factors[position] == 0 else (two, one)
    if factors[position] == 0 and axis == own - 1:
        return AxisStep.MIXED
    if factors[position] == 1 and axis == max(own - 2, 0):
        return AxisStep.OPERAND
    if axis >= own - 2:  # the rows of the first factor, the columns of the second
        last = other == 1 or factors[position] == 1
        return {0: out - 1 if last else out - 2}
    return {0: axis + out - own + (other == 1)}


def _gemm(node: Node, position: int, axis: int) -> Ends:
    if position == 0:
        return {0: 0} if axis == (1 if node.attribute("transA", 0) else 0) else AxisStep.MIXED
    return {0: 0} if position == 2 and axis == 0 and _rank(node, 2) == 2 else AxisStep.OPERAND


def _einsum(node: Node, position: int, axis: int) -> Ends:
    equation = equation_of(node)
    if "." in equation or "->" not in equation:
        return AxisStep.MIXED
    left, _, right = equation.partition("->")
    terms = left.split(",")
    if position >= len(terms) or axis >= len(terms[position]):
        return AxisStep.MIXED
    index = right.find(terms[position][axis])
    return {0: index} if index >= 0 else AxisStep.MIXED


def _transpose(node: Node, position: int, axis: int) -> Ends:
    rank, order = _rank(node, 0), node.attribute("perm")
    if order is None and rank is not None:
        return {0: rank - 1 - axis}
    return {0: order.index(axis)} if isinstance(order, list) and axis in order else AxisStep.MIXED


def _reshape(node: Node, position: int, axis: int) -> Ends:
    before, after = _shape(node, node.input(0)), _shape(node, node.outputs[0])
    if before is None or after is None or axis >= len(before):
        return AxisStep.MIXED
    if axis == 0 and not isinstance(before[0], int) and _parts_stored(node, before) == 1:
        return {0: 0}  # it takes no other number of parts, and a single part is combined with no other
    index = _split_at([dim for dim in before[:axis] if dim != 1], after)
    while index is not None and index < len(after) and after[index] == 1 and before[axis] != 1:
        index += 1
    if index is None or index >= len(after) or not _is_outer(node, before[axis], after, index):
        return AxisStep.MIXED
    return {0: index}


def _split_at(ahead: list[Dim], after: tuple[Dim, ...]) -> int | None:
    """How many dimensions of a new shape hold what was before an axis in the old one."""
    for position in range(len(after) + 1):
        held = [dim for dim in after[:position] if dim != 1]
        if held == ahead and None not in ahead:
            return position
        if all(isinstance(dim, int) for dim in (*held, *ahead)) and math.prod(held) == math.prod(ahead):  # type: ignore[arg-type]
            return position
    return None


def _is_outer(node: Node, old: Dim, after: tuple[Dim, ...], position: int) -> bool:
    """Whether the parts of an axis are still contiguous along a dimension of the new shape."""
    new = after[position]
    if isinstance(old, int):
        return old < 2 or (isinstance(new, int) and new % old == 0 and new > 0)
    if not isinstance(new, int):
        return True
    parts = _parts_stored(node, _shape(node, node.input(0)) or ())
    return position == 0 and parts is not None and new % parts == 0


def _parts_stored(node: Node, before: tuple[Dim, ...]) -> int | None:
    """The only size of an open first dimension with which the elements fill a stored shape, or None."""
    stored = stored_integers(node.graph, node.input(1))
    rest = [dim for dim in before[1:] if isinstance(dim, int)]
    if stored is None or min(stored, default=0) <= 0 or len(rest) + 1 < len(before) or 0 in rest:
        return None
    parts, left = divmod(math.prod(stored), math.prod(rest))
    return None if left or not parts else parts


def _flatten(node: Node, position: int, axis: int) -> Ends:
    shape, first = _shape(node, node.input(0)), node.attribute("axis", 1)
    if shape is None or not isinstance(first, int) or not -len(shape) <= first <= len(shape):
        return AxisStep.MIXED
    first = first + len(shape) if first < 0 else first
    begin = 0 if axis < first else first
    return AxisStep.MIXED if any(dim != 1 for dim in shape[begin:axis]) else {0: 0 if axis < first else 1}


def _squeeze(node: Node, position: int, axis: int) -> Ends:
    shape = _shape(node, node.input(0))
    gone = None if shape is None else _axes(node, 1, len(shape))
    if shape is None or gone is None:
        return AxisStep.MIXED
    gone = gone or {at for at, dim in enumerate(shape) if dim == 1}
    return AxisStep.MIXED if axis in gone else {0: axis - sum(index < axis for index in gone)}


def _unsqueeze(node: Node, position: int, axis: int) -> Ends:
    rank, outer = _rank(node, 0), node.graph.rank(node.outputs[0])
    come = _axes(node, 1, outer)
    if rank is None or outer is None or not come or len(come) + rank != outer:
        return AxisStep.MIXED
    free = [index for index in range(outer) if index not in come]
    return {0: free[axis]} if axis < len(free) else AxisStep.MIXED


def _concat(node: Node, position: int, axis: int) -> Ends:
    return _unless(_place(node.attribute("axis"), _rank(node, position)), node, axis)


def _written(node: Node, name: str, position: int) -> list[int] | None:
    written = node.attribute(name) if node.has(name) else None
    return written if isinstance(written, list) else stored_integers(node.graph, node.input(position))


def slice_cuts(node: Node) -> list[tuple[int, int, int]] | None:
    """Axis, start and end of each cut of a Slice, if they are stored; else None."""
    starts, ends = _written(node, "starts", 1), _written(node, "ends", 2)
    axes = _written(node, "axes", 3)
    if starts is None or ends is None or (axes is None and node.input(3)):
        return None
    return list(zip(range(len(starts)) if axes is None else axes, starts, ends, strict=False))


def _slice(node: Node, position: int, axis: int) -> Ends:
    rank, cuts = _rank(node, 0), slice_cuts(node)
    if rank is None:
        return AxisStep.MIXED
    if cuts is None:
        along = _written(node, "axes", 3)
        places = {axis} if along is None else {_place(value, rank) for value in along}
        return AxisStep.MIXED if axis in places or None in places else {0: axis}
    if any(
        _place(index, rank) in (axis, None) and (start or end < END_OF_AXIS) for index, start, end in cuts
    ):
        return AxisStep.PICKED
    return {0: axis}


def _gather(node: Node, position: int, axis: int) -> Ends:
    rank, indices = _rank(node, 0), _rank(node, 1)
    along = _place(node.attribute("axis", 0), rank)
    if along is None or indices is None:
        return AxisStep.MIXED
    if position == 0 and axis == along:
        return AxisStep.MIXED if stored_integers(node.graph, node.input(1)) is None else AxisStep.PICKED
    if position == 1:
        return {0: along + axis}
    return {0: axis if axis < along else axis + indices - 1}


def _cumulative(node: Node, position: int, axis: int) -> Ends:
    stored = stored_integers(node.graph, node.input(1))
    return _unless(_place(stored[0], _rank(node, 0)) if stored else None, node, axis)


def _pad(node: Node, position: int, axis: int) -> Ends:
    rank, pads = _rank(node, 0), _written(node, "pads", 1)
    axes = stored_integers(node.graph, node.input(3)) if node.input(3) else list(range(rank or 0))
    if rank is None or axes is None:
        return AxisStep.MIXED
    if pads is None:
        # Pads computed from other sizes are those of spatial axes: exporters compute none of a batch.
        return {0: axis} if axis == 0 else AxisStep.MIXED
    if len(pads) != 2 * len(axes):
        return AxisStep.MIXED
    touched = {
        _place(index, rank) for index, *ends in zip(axes, pads, pads[len(axes) :], strict=False) if any(ends)
    }
    return AxisStep.MIXED if axis in touched or None in touched else {0: axis}


def _expand(node: Node, position: int, axis: int) -> Ends:
    inner, outer = _rank(node, 0), node.graph.rank(node.outputs[0])
    return AxisStep.MIXED if inner is None or outer is None else {0: axis + outer - inner}


def _tile(node: Node, position: int, axis: int) -> Ends:
    repeats = stored_integers(node.graph, node.input(1))
    return {0: axis} if repeats and axis < len(repeats) and repeats[axis] == 1 else AxisStep.MIXED


def _recurrent(node: Node, position: int, axis: int) -> Ends:
    batch_first = bool(node.attribute("layout", 0))
    input_role = role(node.op_type, position)
    along = {Role.DATA: AxisStep.TIME, Role.STATE: AxisStep.LAYERS}.get(input_role)
    if along is None and input_role is not Role.LENGTHS:
        return AxisStep.OPERAND
    batch = 0 if batch_first or along is None else 1
    if axis == batch:
        return {0: 0, 1: 0, 2: 0} if batch_first else {0: 2, 1: 1, 2: 1}
    return along if along is not None and axis == 1 - batch else AxisStep.MIXED


def _one_hot(node: Node, position: int, axis: int) -> Ends:
    rank = _rank(node, 0)
    along = _place(node.attribute("axis", -1), None if rank is None else rank + 1)
    if position or along is None:
        return AxisStep.OPERAND if position else AxisStep.MIXED
    return {0: axis if axis < along else axis + 1}


def _reverse_sequence(node: Node, position: int, axis: int) -> Ends:
    batch = node.attribute("batch_axis", 1)
    if position:
        return {0: batch} if batch in (0, 1) else AxisStep.MIXED
    return {0: axis} if axis == batch else AxisStep.TIME


def _triangle(node: Node, position: int, axis: int) -> Ends:
    rank = _rank(node, 0)
    return AxisStep.MIXED if rank is None or axis >= rank - 2 else {0: axis}


def _first(node: Node, position: int, axis: int) -> Ends:
    """Ops that process every sample separately, in all their inputs."""
    return dict.fromkeys(range(len(node.outputs)), 0) if axis == 0 else AxisStep.MIXED


_HANDLERS: Mapping[str, Callable[[Node, int, int], Ends]] = {
    **dict.fromkeys(SOFTMAXES, _softmax),
    **dict.fromkeys((*REDUCTIONS, *ARG_REDUCTIONS), _reduction),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), _normalization),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    **dict.fromkeys(RECURRENT, _recurrent),
    **dict.fromkeys(("GatherElements", "ScatterElements", "TopK"), _along),
    "Attention": _first,
    "Concat": _concat,
    "CumSum": _cumulative,
    "Dropout": lambda node, position, axis: dict.fromkeys(range(len(node.outputs)), axis),
    "Einsum": _einsum,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "OneHot": _one_hot,
    "Pad": _pad,
    "Reshape": _reshape,
    "ReverseSequence": _reverse_sequence,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
}
