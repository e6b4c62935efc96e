"""The numbers of a convolution that equalization needs: weights reduced over the kernel, normalisation, bias.

A weight is seen as the converter sees it, times gamma / sqrt(variance + epsilon) of the batch
normalisation behind it. All that the arithmetic needs of it are the smallest and largest value and
the sum of squares of each cell, the kernel between one input and one output channel: scales multiply
cells, so that an equalized weight need not be read again to say what becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx

from dlclint.model.graph import Graph, Node
from dlclint.model.tensors import Array, Tensor, Unavailable
from dlclint_schemas.record import record

Floats = npt.NDArray[np.float64]
Cells32 = npt.NDArray[np.float32]

HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, *HALF)


class CannotScale(Exception):
    """Why a convolution cannot be scaled; the argument completes the sentence "left alone: ..."."""


@record
class Stored:
    """A stored tensor under the name by which a node reads it.

    `is_shared` says that it is read elsewhere too, or is an output of the model. `home` is
    the graph that holds it as an initializer of that name, where it can be replaced; None for the value
    of a Constant node and what Identity hands on.
    """

    name: str
    tensor: Tensor
    is_shared: bool
    home: Graph | None

    def values(self) -> Floats:
        """The values.

        Raises:
            CannotScale: they cannot be had, are no floats, or not finite.
        """
        if self.tensor.data_type not in _FLOATS:
            raise CannotScale(f"{self.name!r} is no float tensor")
        try:
            found = self.tensor.array().astype(np.float64)
        except Unavailable as error:
            raise CannotScale(f"{self.name!r} cannot be read: {error}") from None
        if not np.isfinite(found).all():
            raise CannotScale(f"{self.name!r} holds NaN or infinity")
        return found


@dataclass(frozen=True)
class Norm:
    """A batch normalisation at inference: gamma, beta, mean and variance, one number a channel."""

    node: Node
    gamma: Stored
    beta: Stored
    mean: Stored
    variance: Stored

    @cached_property
    def factor(self) -> Floats:
        """What it multiplies a channel by.

        Raises:
            CannotScale: the statistics cannot be had, or the variance is negative.
        """
        spread = self.variance.values() + float(self.node.attribute("epsilon", 1e-5))
        if not (spread > 0).all():
            raise CannotScale(f"{self.variance.name!r} holds a negative variance")
        return np.asarray(self.gamma.values() / np.sqrt(spread))


@dataclass(frozen=True)
class Cells:
    """Of every cell of a weight: smallest and largest value, sum of squares; shape [group, out, in].

    `size` is the number of weights in a cell.
    """

    low: Cells32
    high: Cells32
    square: Cells32
    size: int

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        group, _, width = self.low.shape
        return int(group * width)

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        group, height, _ = self.low.shape
        return int(group * height)

    @cached_property
    def magnitude(self) -> Cells32:
        """Largest magnitude of each cell."""
        return np.maximum(-self.low, self.high)


@dataclass(frozen=True)
class Layer:
    """A convolution, what normalises it, and its weight in cells."""

    conv: Node
    weight: Stored
    bias: Stored | None
    norm: Norm | None
    group: int
    transposed: bool
    """Whether the weight lies as [in, out / group, ...], as that of ConvTranspose."""
    cells: Cells

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return self.cells.outputs

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return self.cells.inputs

    @property
    def is_half(self) -> bool:
        """Whether something that scaling writes has 16 bits."""
        stored = [self.weight, *([self.bias] if self.bias else [])]
        if self.norm is not None:
            stored += [self.norm.gamma, self.norm.beta, self.norm.mean]
        return any(item.tensor.data_type in HALF for item in stored)


def read_layer(conv: Node, norm: Node | None) -> Layer:
    """Read a convolution with the batch normalisation behind it.

    Raises:
        CannotScale: with the reason.
    """
    weight = _stored(conv, 1)
    if weight.is_shared:
        raise CannotScale(f"its weight {weight.name!r} is shared with another node")
    bias = _stored(conv, 2) if conv.input(2) else None
    found = None if norm is None else Norm(norm, *(_stored(norm, place) for place in range(1, 5)))
    transposed = conv.op_type == "ConvTranspose"
    group = int(conv.attribute("group", 1))
    shaped = _shaped(weight, group, transposed)
    outputs = group * shaped.shape[1]
    if bias is not None and bias.values().shape != (outputs,):
        raise CannotScale(f"its bias {bias.name!r} has not one value for each of {outputs} channels")
    factor = np.ones(outputs) if found is None else found.factor
    if found is not None:
        for item in (found.gamma, found.beta, found.mean, found.variance):
            if item.values().shape != (outputs,):
                raise CannotScale(f"{item.name!r} has not one value for each of {outputs} channels")
    with np.errstate(over="ignore", invalid="ignore"):  # found out and said below
        cells = _cells(shaped, factor.reshape(group, -1, 1).astype(np.float32))
    if not np.isfinite(cells.square).all():
        raise CannotScale(f"its weight {weight.name!r} holds NaN, infinity or numbers beyond 1e19")
    return Layer(conv, weight, bias, found, group, transposed, cells)


def _stored(node: Node, position: int) -> Stored:
    """The stored tensor behind an input, through Identity nodes that share it out."""
    name = source = node.input(position)
    shared = False
    while True:
        home = _home(node.graph, source)
        readings = sum(item.inputs.count(source) for item in home.consumers(source))
        shared = shared or readings > 1 or source in home.outputs
        tensor = home.constant(source)
        if tensor is not None:
            return Stored(
                name, tensor, shared, home if source == name and name in home.initializers else None
            )
        maker = home.producer(source)
        if maker is None or maker.op_type != "Identity" or maker.domain:
            made = f"computed by {maker.op_type}" if maker is not None else "given to the model"
            raise CannotScale(f"{name!r} is not stored but {made}")
        source = maker.input(0)


def _home(graph: Graph, name: str) -> Graph:
    """The graph, this or one around it, that stores or makes a tensor."""
    scope: Graph | None = graph
    while scope is not None:
        maker = scope.producer(name)
        if name in scope.initializers or (maker is not None and maker.graph is scope):
            return scope
        scope = scope.parent
    return graph


def _shaped(weight: Stored, group: int, transposed: bool) -> Array:
    """The weight as [group, out, in, kernel]."""
    tensor = weight.tensor
    if tensor.data_type not in _FLOATS:
        raise CannotScale(f"its weight {weight.name!r} is no float tensor")
    try:
        values = tensor.array()
    except Unavailable as error:
        raise CannotScale(f"its weight {weight.name!r} cannot be read: {error}") from None
    if values.ndim < 2 or values.size == 0:
        raise CannotScale(f"its weight {weight.name!r} has shape {list(tensor.shape)}")
    if group < 1 or values.shape[0] % group:
        raise CannotScale(
            f"the {values.shape[0]} channels of {weight.name!r} do not divide into {group} groups"
        )
    shaped = values.reshape(group, values.shape[0] // group, values.shape[1], -1)
    return shaped.transpose(0, 2, 1, 3) if transposed else shaped


def _cells(shaped: Array, factor: Cells32) -> Cells:
    """Cells of a weight times a factor for each output channel."""
    size = shaped.shape[-1]
    first = shaped[..., 0].astype(np.float32)
    low, high, square = first.copy(), first.copy(), np.square(first)
    for position in range(1, size):  # a reduction over an axis of nine numbers is slow
        values = shaped[..., position].astype(np.float32)
        np.minimum(low, values, out=low)
        np.maximum(high, values, out=high)
        square += np.square(values)
    low *= factor
    high *= factor
    square *= np.square(factor)
    return Cells(np.minimum(low, high), np.maximum(low, high), square, size)
