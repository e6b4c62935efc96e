"""Samples one by one, each read when it is needed, and checked against the model's declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any

import numpy as np

from dlclint.diagnostic import counted, plain
from dlclint.model.graph import Graph
from dlclint.model.tensors import Array
from dlclint.model.types import TensorType, numpy_type
from dlclint_schemas.record import record

Sample = Mapping[str, Array]
LAYOUTS = ("nchw", "nhwc")


class BadInput(Exception):
    """An input cannot be used; the argument states which, why, and what to do, in one line."""


@record
class Samples:
    """Inputs of a model. `words` states where they come from; `random` that they are drawn."""

    words: str
    load: tuple[Callable[[], Sample], ...]
    random: bool = False
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.load)

    def __iter__(self) -> Iterator[Sample]:
        return (load() for load in self.load)

    def first(self, count: int) -> Samples:
        """At most `count` of them, evenly distributed over all."""
        total = len(self.load)
        if count >= total:
            return self
        chosen = tuple(self.load[position * total // count] for position in range(count))
        words = f"{self.words} ({count} of {total}, spread evenly)"
        return Samples(words, chosen, self.random, self.notes)


def input_types(graph: Graph) -> dict[str, TensorType]:
    """Name and type of every input.

    Raises:
        BadInput: an input is not a tensor, or has no shape.
    """
    tensor_types = {}
    for name in graph.inputs:
        kind = graph.type_of(name)
        if kind is None or kind.shape is None:
            raise BadInput(f"input {plain(name)} is not a tensor of a known rank")
        tensor_types[name] = kind
    return tensor_types


def dtype_of(kind: TensorType) -> np.dtype[Any]:
    """The element type of an input in numpy.

    Raises:
        BadInput: numpy has none.
    """
    dtype = numpy_type(kind.data_type) or np.dtype(object)
    if dtype.kind not in "fiub":
        raise BadInput(f"inputs of type {kind} are not supported")
    return dtype


def checked(name: str, values: Array, kind: TensorType, layout: str, where: str) -> Array:
    """Values as the model takes them: of its type and shape, in its layout.

    Args:
        name: the input.
        values: the given values.
        kind: the type that the model declares.
        layout: `nhwc` where the values have that layout, else `nchw`.
        where: the file, for messages.

    Raises:
        BadInput: shape or type differ, or a value is not finite.
    """
    shape = kind.shape or ()
    wanted = dtype_of(kind)
    if values.dtype.kind not in "fiub":
        raise BadInput(f"{where}: input {plain(name)} is given as {values.dtype}, which is not a number")
    if layout == "nhwc" and len(shape) == 4:
        if values.ndim == 3:
            values = values[np.newaxis]
        if values.ndim != 4:
            raise BadInput(f"{where}: input {plain(name)} has shape {_dims(values.shape)}, NHWC has 4 axes")
        values = values.transpose(0, 3, 1, 2)
    if values.ndim == len(shape) - 1 and (shape[0] == 1 or not isinstance(shape[0], int)):
        values = values[np.newaxis]  # one sample of a batch of one
    if values.ndim != len(shape) or any(
        isinstance(dim, int) and dim != size for dim, size in zip(shape, values.shape, strict=False)
    ):
        raise BadInput(_misfit(name, values.shape, kind, layout, where))
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise BadInput(f"{where}: input {plain(name)} holds {counted(bad, 'value')} that are not finite")
    if wanted.kind in "iu" and values.dtype.kind == "f" and (values != np.rint(values)).any():
        raise BadInput(f"{where}: input {plain(name)} is {wanted} and the file holds fractions")
    if wanted.kind in "iu":
        bounds = np.iinfo(wanted)
        if values.size and (values.min() < bounds.min or values.max() > bounds.max):
            raise BadInput(f"{where}: input {plain(name)} holds values that {wanted} cannot represent")
    return np.ascontiguousarray(values.astype(wanted, copy=False))


def _misfit(name: str, actual: tuple[int, ...], kind: TensorType, layout: str, where: str) -> str:
    text = f"{where}: input {plain(name)} is {kind} and the file holds {_dims(actual)}"
    shape = kind.shape or ()
    if len(shape) == 4 and len(actual) == 4 and layout != "nhwc":
        turned = (actual[0], actual[3], actual[1], actual[2])
        if all(not isinstance(dim, int) or dim == size for dim, size in zip(shape, turned, strict=True)):
            return f"{text}, which fits as NHWC: pass --input-layout {plain(name)} nhwc"
    return text


def _dims(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
