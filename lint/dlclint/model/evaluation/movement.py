"""Kernels of ops that move elements without reading them: Gather, Slice, Concat, Reshape and the like.

Because they do not read their data, they move marks of unknown elements just as well (`op_facts.MOVES`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from dlclint.model.evaluation.bounds import (
    Array,
    Inputs,
    Kernel,
    UnknownValue,
    axes,
    axis,
    integers,
    list_input,
    optional,
    required,
    within_limit,
)

if TYPE_CHECKING:
    from dlclint.model.graph import Node


def _identity(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    yield required(inputs, 0)


def _gather(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, indices = required(inputs, 0), required(inputs, 1)
    position = axis(node.attribute("axis", 0), data.ndim)
    within_limit((*data.shape[:position], *indices.shape, *data.shape[position + 1 :]), limit)
    yield np.take(data, _indices(indices, data.shape[position]), position)


def _indices(values: Array, size: int) -> Array:
    # numpy would wrap indices that are out of bounds in ONNX.
    if values.dtype.kind not in "iu" or (values.size and not -size <= values.min() <= values.max() < size):
        raise UnknownValue
    return values.astype(np.int64)


def _gather_elements(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, indices = required(inputs, 0), required(inputs, 1)
    position = axis(node.attribute("axis", 0), data.ndim)
    yield np.take_along_axis(data, _indices(indices, data.shape[position]), position)


def _gather_nd(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, indices = required(inputs, 0), required(inputs, 1)
    if node.attribute("batch_dims", 0) or not 1 <= indices.shape[-1] <= data.ndim:
        raise UnknownValue
    within_limit((*indices.shape[:-1], *data.shape[indices.shape[-1] :]), limit)
    yield data[tuple(_indices(indices[..., i], data.shape[i]) for i in range(indices.shape[-1]))]


def _scatter_nd(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, indices, updates = required(inputs, 0), required(inputs, 1), required(inputs, 2)
    if node.attribute("reduction", "none") != "none" or not 1 <= indices.shape[-1] <= data.ndim:
        raise UnknownValue
    result = data.copy()
    places = tuple(_indices(indices[..., i], data.shape[i]) for i in range(indices.shape[-1]))
    if updates.shape != (*indices.shape[:-1], *data.shape[indices.shape[-1] :]):
        raise UnknownValue
    result[places] = updates
    yield result


def _slice(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data = required(inputs, 0)
    starts, ends = list_input(node, inputs, 1, "starts"), list_input(node, inputs, 2, "ends")
    if starts is None or ends is None or len(starts) != len(ends):
        raise UnknownValue
    chosen = list_input(node, inputs, 3, "axes")
    places = axes(range(len(starts)) if chosen is None else chosen, data.ndim)
    steps = optional(inputs, 4)
    strides = [1] * len(starts) if steps is None else integers(steps)
    cuts = [slice(None)] * data.ndim
    for position, start, end, stride in zip(places, starts, ends, strides, strict=True):
        cuts[position] = slice(start, end, stride)
    yield data[tuple(cuts)]


def _concat(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    parts = [required(inputs, i) for i in range(len(inputs))]
    position = axis(node.attribute("axis", 1), parts[0].ndim)
    within_limit((sum(part.size for part in parts),), limit)
    if len({part.dtype for part in parts}) > 1:
        raise UnknownValue
    yield np.concatenate(parts, position)


def _unsqueeze(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, chosen = required(inputs, 0), list_input(node, inputs, 1, "axes")
    if chosen is None or len(chosen) > 32:
        raise UnknownValue
    yield np.expand_dims(data, axes(chosen, data.ndim + len(chosen)))


def _squeeze(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, chosen = required(inputs, 0), list_input(node, inputs, 1, "axes")
    yield np.squeeze(data, None if chosen is None else axes(chosen, data.ndim))


def _reshape(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, wanted = required(inputs, 0), list_input(node, inputs, 1, "shape")
    if wanted is None:
        raise UnknownValue
    yield data.reshape(reshaped(data.shape, wanted, bool(node.attribute("allowzero", 0))))


def reshaped(shape: tuple[int, ...], wanted: list[int], allowzero: bool) -> tuple[int, ...]:
    """The shape that Reshape produces: 0 copies a dimension, -1 takes what remains.

    Raises:
        UnknownValue: the elements do not fit the shape.
    """
    sizes = list(wanted)
    for position, size in enumerate(sizes):
        if size == 0 and not allowzero:
            if position >= len(shape):
                raise UnknownValue
            sizes[position] = shape[position]
    count = math.prod(shape)
    if sizes.count(-1) == 1:
        rest = math.prod(size for size in sizes if size != -1)
        if not rest or count % rest:
            raise UnknownValue
        sizes[sizes.index(-1)] = count // rest
    if min(sizes, default=0) < 0 or math.prod(sizes) != count:
        raise UnknownValue
    return tuple(sizes)


def _flatten(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, at = required(inputs, 0), node.attribute("axis", 1)
    if not -data.ndim <= at <= data.ndim:
        raise UnknownValue
    at = at + data.ndim if at < 0 else at
    yield data.reshape(math.prod(data.shape[:at]), math.prod(data.shape[at:]))


def _transpose(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, order = required(inputs, 0), node.attribute("perm")
    yield np.transpose(data, None if order is None else axes(order, data.ndim))


def _expand(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, wanted = required(inputs, 0), integers(required(inputs, 1))
    within_limit(wanted, limit)
    yield np.broadcast_to(data, within_limit(np.broadcast_shapes(data.shape, tuple(wanted)), limit))


def _tile(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, repeats = required(inputs, 0), integers(required(inputs, 1))
    if len(repeats) != data.ndim:
        raise UnknownValue
    within_limit((size * times for size, times in zip(data.shape, repeats, strict=True)), limit)
    yield np.tile(data, repeats)


def _split(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data = required(inputs, 0)
    position = axis(node.attribute("axis", 0), data.ndim)
    sizes, count = list_input(node, inputs, 1, "split"), len(node.outputs)
    if sizes is None:
        each = -(-data.shape[position] // count)
        sizes = [each] * (count - 1) + [data.shape[position] - each * (count - 1)]
    if min(sizes, default=-1) < 0 or sum(sizes) != data.shape[position] or len(sizes) != count:
        raise UnknownValue
    yield from np.split(data, np.cumsum(sizes)[:-1], position)


def _pad(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, pads = required(inputs, 0), list_input(node, inputs, 1, "pads")
    if pads is None or node.attribute("mode", "constant") != "constant" or min(pads, default=0) < 0:
        raise UnknownValue
    chosen = optional(inputs, 3)
    places = axes(range(data.ndim) if chosen is None else integers(chosen), data.ndim)
    if len(pads) != 2 * len(places):
        raise UnknownValue
    widths = [(0, 0)] * data.ndim
    for position, index in enumerate(places):
        widths[index] = (pads[position], pads[len(places) + position])
    within_limit((size + sum(pair) for size, pair in zip(data.shape, widths, strict=True)), limit)
    filling = optional(inputs, 2)
    value = node.attribute("value", 0) if node.has("value") else 0
    yield np.pad(data, widths, constant_values=value if filling is None else filling.reshape(-1)[0])


def _trilu(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    data, offset = required(inputs, 0), optional(inputs, 1)
    diagonal = 0 if offset is None else integers(offset)[0]
    if data.ndim < 2 or abs(diagonal) > limit:
        raise UnknownValue
    yield np.triu(data, diagonal) if node.attribute("upper", 1) else np.tril(data, diagonal)


MOVEMENT: dict[str, Kernel] = {
    "Identity": _identity,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Split": _split,
    "Pad": _pad,
    "Trilu": _trilu,
}
