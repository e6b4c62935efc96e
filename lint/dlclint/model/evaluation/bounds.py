"""What all kernels use: reading a node's attributes, and rejecting results that are too large."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from dlclint.model.graph import Node

Array = npt.NDArray[Any]
Inputs = Sequence["Array | None"]
"""Values by position; None where an optional input is left out."""
Kernel = Callable[["Node", Inputs, int], Iterable[Array]]
"""From node, inputs and limit (elements) to the outputs; raises what numpy raises where it cannot compute."""
MAX_RANK = 32
"""The most dimensions that arrays of every release of numpy have (64 from 2.0 on)."""
FAILURES = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, ArithmeticError)
"""What numpy raises for attributes and values that make no sense, as in untrusted models."""


class UnknownValue(ValueError):
    """The value does not follow from the model, or is too large to be useful."""


def within_limit(shape: Iterable[int], limit: int) -> tuple[int, ...]:
    """The shape, if its elements are within the limit.

    Raises:
        UnknownValue: they are not, or a size is negative.
    """
    sizes = tuple(int(size) for size in shape)
    if min(sizes, default=0) < 0 or len(sizes) > MAX_RANK or math.prod(sizes) > limit:
        raise UnknownValue
    return sizes


def required(inputs: Inputs, position: int) -> Array:
    """An input that is required.

    Raises:
        UnknownValue: it is missing.
    """
    value = inputs[position] if position < len(inputs) else None
    if value is None:
        raise UnknownValue
    return value


def optional(inputs: Inputs, position: int) -> Array | None:
    """An input that is optional."""
    return inputs[position] if position < len(inputs) else None


def whole_numbers(values: Array | None) -> list[int] | None:
    """The elements of a tensor of integers, flat.

    None for other types and for numbers beyond int64, which no size, axis or index has: damaged files have
    either.
    """
    if values is None or values.dtype.kind not in "iu":
        return None
    if values.dtype == np.uint64 and values.size and values.max() > np.iinfo(np.int64).max:
        return None
    return values.reshape(-1).tolist()


def real_numbers(values: Array | None) -> npt.NDArray[np.float64] | None:
    """A tensor of numbers or truth values as float64, in its shape; None for strings and complex numbers.

    Numbers beyond float32 are infinite, as in a DLC, so that products and squares of others stay finite.
    """
    if values is None or values.dtype.kind not in "biufV":  # V: bfloat16 and the like
        return None
    numbers = values.astype(np.float64)
    if values.dtype != np.float64:
        return numbers
    largest = float(np.finfo(np.float32).max)
    return np.where(np.abs(numbers) > largest, np.copysign(np.inf, numbers), numbers)


def integers(value: Array) -> list[int]:
    """A tensor of whole numbers as a flat list.

    Raises:
        UnknownValue: it holds something else.
    """
    numbers = whole_numbers(value)
    if numbers is None:
        raise UnknownValue
    return numbers


def list_input(node: Node, inputs: Inputs, position: int, attribute: str) -> list[int] | None:
    """A list that is an attribute in older operator versions and an input in newer ones."""
    written = node.attribute(attribute) if node.has(attribute) else None
    if written is not None:
        return [int(number) for number in written]
    value = optional(inputs, position)
    return None if value is None else integers(value)


def axis(value: int, rank: int) -> int:
    """An axis counted from the front.

    Raises:
        UnknownValue: there is no such axis.
    """
    if not -rank <= value < rank:
        raise UnknownValue
    return value % rank


def axes(values: Iterable[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front, each once.

    Raises:
        UnknownValue: there is no such axis, or one is named twice.
    """
    positions = tuple(axis(value, rank) for value in values)
    if len(set(positions)) != len(positions):
        raise UnknownValue
    return positions


def is_native(dtype: np.dtype[Any]) -> bool:
    """Whether numpy computes with a type as ONNX does: no strings, no type that ml_dtypes adds."""
    return dtype.kind in "biuf" and dtype.isbuiltin == 1


def numeric(value: Array) -> Array:
    """A value that numpy computes with as ONNX does.

    Raises:
        UnknownValue: it is not numeric.
    """
    if not is_native(value.dtype):
        raise UnknownValue
    return np.asarray(value)
