"""Kernels of ops that compute: elementwise, comparing, reducing, and making tensors from sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from dlclint.model.evaluation.bounds import (
    Array,
    Inputs,
    Kernel,
    UnknownValue,
    axes,
    axis,
    integers,
    is_native,
    list_input,
    numeric,
    optional,
    required,
    within_limit,
)

if TYPE_CHECKING:
    from dlclint.model.graph import Node


def _operands(inputs: Inputs, limit: int) -> list[Array]:
    operands = [numeric(required(inputs, i)) for i in range(len(inputs))]
    if not operands or len({value.dtype for value in operands}) > 1:
        raise UnknownValue
    within_limit(np.broadcast_shapes(*(value.shape for value in operands)), limit)
    return operands


def _binary(function: Callable[[Array, Array], Array], kinds: str = "iuf") -> Kernel:
    def kernel(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
        left, right = _operands(inputs, limit)
        if left.dtype.kind not in kinds:
            raise UnknownValue
        yield np.asarray(function(left, right))

    return kernel


def _unary(function: Callable[[Array], Array], kinds: str = "iuf") -> Kernel:
    def kernel(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
        value = numeric(required(inputs, 0))
        if value.dtype.kind not in kinds:
            raise UnknownValue
        yield np.asarray(function(value))

    return kernel


def _variadic(function: Callable[[Array, Array], Array]) -> Kernel:
    def kernel(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
        first, *others = _operands(inputs, limit)
        for other in others:
            first = function(first, other)
        yield np.asarray(first)

    return kernel


def _divide(left: Array, right: Array) -> Array:
    if left.dtype.kind == "f":
        return np.asarray(left / right)
    if not right.all():
        raise UnknownValue
    # Whole numbers divide toward zero, which numpy's // does not. The lowest number by -1 overflows.
    if left.dtype.kind == "i" and left.size and left.min() == np.iinfo(left.dtype).min:
        raise UnknownValue
    magnitude = np.abs(left) // np.abs(right) if left.dtype.kind == "i" else left // right
    signs = np.sign(left) * np.sign(right) if left.dtype.kind == "i" else np.ones_like(magnitude)
    return np.asarray((magnitude * signs).astype(left.dtype))


def _modulo(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    left, right = _operands(inputs, limit)
    whole = left.dtype.kind in "iu"
    if whole and not right.all():
        raise UnknownValue
    if node.attribute("fmod", 0):
        yield np.fmod(left, right)
    elif whole:
        yield np.mod(left, right)
    else:
        raise UnknownValue


def _power(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    base, exponent = numeric(required(inputs, 0)), numeric(required(inputs, 1))
    within_limit(np.broadcast_shapes(base.shape, exponent.shape), limit)
    if base.dtype.kind in "iu" and (
        exponent.dtype.kind not in "iu" or (exponent.size and exponent.min() < 0)
    ):
        raise UnknownValue
    yield np.power(base, exponent.astype(base.dtype)).astype(base.dtype)


def _reciprocal(value: Array) -> Array:
    return np.asarray(value.dtype.type(1) / value)


def _cast(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    # Imported here because rules on override files use this module, and a file alone needs no onnx.
    from dlclint.model.types import numpy_type

    value, to = numeric(required(inputs, 0)), node.attribute("to")
    wanted = numpy_type(to)
    if wanted is None or not is_native(wanted):
        raise UnknownValue
    if value.dtype.kind == "f" and wanted.kind in "iu":
        limits = np.iinfo(wanted)
        # Beyond the range the result is undefined.
        if not np.isfinite(value).all() or (value.size and not limits.min <= value.min() <= value.max()):
            raise UnknownValue
        if value.size and value.max() >= float(limits.max):
            raise UnknownValue
    yield value.astype(wanted)


def _where(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    condition, (left, right) = required(inputs, 0), _operands(inputs[1:], limit)
    if condition.dtype.kind != "b":
        raise UnknownValue
    within_limit(np.broadcast_shapes(condition.shape, left.shape, right.shape), limit)
    yield np.where(condition, left, right)


def _clip(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    value = numeric(required(inputs, 0))
    for position, name, function in ((1, "min", np.maximum), (2, "max", np.minimum)):
        bound = node.attribute(name) if node.has(name) else optional(inputs, position)
        if bound is not None:
            value = function(value, np.asarray(bound).astype(value.dtype).reshape(()))
    yield value


def _range(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    start, end, step = (numeric(value).reshape(()) for value in _operands(inputs, limit))
    if not step or not all(np.isfinite(float(value)) for value in (start, end, step)):
        raise UnknownValue
    whole = start.dtype.kind in "iu"
    span = (int(end) - int(start), int(step)) if whole else (float(end) - float(start), float(step))
    count = max(0, -(-span[0] // span[1]))
    (count,) = within_limit((int(count),), limit)
    yield (start + np.arange(count).astype(start.dtype) * step).astype(start.dtype)


def _constant_of_shape(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    # Imported here because rules on override files use this module, and a file alone needs no onnx.
    from dlclint.model.tensors import attribute_values

    shape = within_limit(integers(required(inputs, 0)), limit)
    filling = node.attribute("value")
    value = np.zeros(1, np.float32) if filling is None else attribute_values(filling)
    if value is None or value.size != 1:
        raise UnknownValue
    yield np.full(shape, value.reshape(-1)[0], value.dtype)


def _reduce(function: Callable[..., Any], kinds: str = "iuf") -> Kernel:
    def kernel(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
        value = numeric(required(inputs, 0))
        chosen = list_input(node, inputs, 1, "axes")
        if value.dtype.kind not in kinds:
            raise UnknownValue
        if not chosen and node.attribute("noop_with_empty_axes", 0):
            yield value
            return
        places = tuple(range(value.ndim)) if not chosen else axes(chosen, value.ndim)
        kept = bool(node.attribute("keepdims", 1))
        yield np.asarray(function(value, axis=places, keepdims=kept)).astype(value.dtype)

    return kernel


def _arg(function: Callable[..., Any]) -> Kernel:
    def kernel(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
        value = numeric(required(inputs, 0))
        position = axis(node.attribute("axis", 0), value.ndim)
        if node.attribute("select_last_index", 0):
            raise UnknownValue
        kept = bool(node.attribute("keepdims", 1))
        yield np.asarray(function(value, axis=position, keepdims=kept)).astype(np.int64)

    return kernel


def _cumulative_sum(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    value, (position,) = numeric(required(inputs, 0)), integers(required(inputs, 1))
    if node.attribute("exclusive", 0) or node.attribute("reverse", 0):
        raise UnknownValue
    yield np.cumsum(value, axis(position, value.ndim), dtype=value.dtype)


def _non_zero(node: Node, inputs: Inputs, limit: int) -> Iterable[Array]:
    value = numeric(required(inputs, 0))
    if value.ndim == 0:
        raise UnknownValue
    within_limit((value.ndim, int(np.count_nonzero(value))), limit)
    yield np.stack(np.nonzero(value)).astype(np.int64)


ARITHMETIC: dict[str, Kernel] = {
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Mod": _modulo,
    "Pow": _power,
    "Min": _variadic(np.minimum),
    "Max": _variadic(np.maximum),
    "Sum": _variadic(np.add),
    "Neg": _unary(np.negative, "if"),
    "Abs": _unary(np.abs),
    "Sign": _unary(np.sign),
    "Floor": _unary(np.floor, "f"),
    "Ceil": _unary(np.ceil, "f"),
    "Round": _unary(np.rint, "f"),
    "Sqrt": _unary(np.sqrt, "f"),
    "Reciprocal": _unary(_reciprocal, "f"),
    "Exp": _unary(np.exp, "f"),
    "Log": _unary(np.log, "f"),
    "Sin": _unary(np.sin, "f"),
    "Cos": _unary(np.cos, "f"),
    "Tanh": _unary(np.tanh, "f"),
    "IsNaN": _unary(np.isnan, "f"),
    "Not": _unary(np.logical_not, "b"),
    "And": _binary(np.logical_and, "b"),
    "Or": _binary(np.logical_or, "b"),
    "Xor": _binary(np.logical_xor, "b"),
    "Equal": _binary(np.equal, "biuf"),
    "Greater": _binary(np.greater),
    "GreaterOrEqual": _binary(np.greater_equal),
    "Less": _binary(np.less),
    "LessOrEqual": _binary(np.less_equal),
    "Cast": _cast,
    "Where": _where,
    "Clip": _clip,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "ReduceSum": _reduce(np.sum),
    "ReduceProd": _reduce(np.prod),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean, "f"),
    "ArgMax": _arg(np.argmax),
    "ArgMin": _arg(np.argmin),
    "CumSum": _cumulative_sum,
    "NonZero": _non_zero,
}
