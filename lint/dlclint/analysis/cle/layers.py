"""The numbers of a convolution that equalization needs: its measured weight, normalization and bias.

A weight is used as the converter sees it, times gamma / sqrt(variance + epsilon) of the batch normalization
after it. Only vectors with one number per channel are held of a convolution, and the few cells of its weight
that determine ranges; the weight itself stays in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx

from dlclint.analysis.cle.cells import CannotScale, Cells
from dlclint.analysis.cle.measuring import Weight, survey
from dlclint.analysis.matching.terms import LONGEST
from dlclint.analysis.weights.statistics import Floats
from dlclint.model.graph import Graph, Node
from dlclint.model.tensors import Tensor, Unavailable
from dlclint_schemas.record import record

HALF = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, *HALF)


@record
class StoredTensor:
    """A stored tensor under the name by which a node reads it.

    `is_shared` means that other nodes read it too, or that it is an output of the model. `home` is the graph
    that holds it as an initializer of that name, where it can be replaced; None for the value of a Constant
    node and for the output of Identity.
    """

    name: str
    tensor: Tensor
    is_shared: bool
    home: Graph | None

    def values(self) -> Floats:
        """The values.

        Raises:
            CannotScale: they are not available, not floats, or not finite.
        """
        if self.tensor.data_type not in _FLOATS:
            raise CannotScale(f"{self.name!r} is not a float tensor")
        try:
            numbers = self.tensor.numbers()
        except Unavailable as error:
            raise CannotScale(f"{self.name!r} cannot be read: {error}") from None
        if not np.isfinite(numbers).all():
            raise CannotScale(f"{self.name!r} holds NaN or infinity")
        return numbers


@dataclass(frozen=True)
class Norm:
    """A batch normalization at inference: gamma, beta, mean and variance, one number per channel."""

    node: Node
    gamma: StoredTensor
    beta: StoredTensor
    mean: StoredTensor
    variance: StoredTensor

    @cached_property
    def factor(self) -> Floats:
        """The factor that it multiplies each channel by.

        Raises:
            CannotScale: the statistics are not available, or the variance is negative.
        """
        spread = self.variance.values() + float(self.node.attribute("epsilon", 1e-5))
        if not (spread > 0).all():
            raise CannotScale(f"{self.variance.name!r} holds a negative variance")
        return np.asarray(self.gamma.values() / np.sqrt(spread))


@dataclass(frozen=True)
class Layer:
    """A convolution, its normalization, and its measured weight."""

    conv: Node
    stored: StoredTensor
    """The weight as stored."""
    bias: StoredTensor | None
    norm: Norm | None
    weight: Weight

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return self.weight.cells.outputs

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return self.weight.cells.inputs

    @property
    def is_half(self) -> bool:
        """Whether a tensor that scaling writes has 16 bits."""
        stored = [self.stored, *([self.bias] if self.bias else [])]
        if self.norm is not None:
            stored += [self.norm.gamma, self.norm.beta, self.norm.mean]
        return any(stored_tensor.tensor.data_type in HALF for stored_tensor in stored)


def read_layer(conv: Node, norm: Node | None) -> Layer:
    """Read a convolution with the batch normalization after it.

    Raises:
        CannotScale: with the reason.
    """
    stored = _stored(conv, 1)
    if stored.is_shared:
        raise CannotScale(f"its weight {stored.name!r} is shared with another node")
    bias = _stored(conv, 2) if conv.input(2) else None
    batch_norm = None if norm is None else Norm(norm, *(_stored(norm, position) for position in range(1, 5)))
    cells = _cells(conv, stored)
    if bias is not None and bias.values().shape != (cells.outputs,):
        raise CannotScale(f"its bias {bias.name!r} has not one value for each of {cells.outputs} channels")
    if batch_norm is not None:
        for stored_tensor in (batch_norm.gamma, batch_norm.beta, batch_norm.mean, batch_norm.variance):
            if stored_tensor.values().shape != (cells.outputs,):
                raise CannotScale(
                    f"{stored_tensor.name!r} has not one value for each of {cells.outputs} channels"
                )
    factor = np.ones(cells.outputs) if batch_norm is None else batch_norm.factor
    return Layer(conv, stored, bias, batch_norm, survey(cells, factor))


def _stored(node: Node, position: int) -> StoredTensor:
    """The stored tensor of an input, through Identity nodes that share it."""
    name = source = node.input(position)
    shared = False
    passed: set[str] = set()
    while True:
        passed.add(source)
        home = node.graph.home(source)
        consumers = home.consumers(source)
        several = len(consumers) > 1 or any(reader.inputs.count(source) > 1 for reader in consumers)
        shared = shared or several or source in home.outputs
        tensor = home.constant(source)
        if tensor is not None:
            return StoredTensor(
                name, tensor, shared, home if source == name and name in home.initializers else None
            )
        maker = home.producer(source)
        if maker is None or maker.op_type != "Identity" or maker.domain:
            origin = f"computed by {maker.op_type}" if maker is not None else "given to the model"
            raise CannotScale(f"{name!r} is not stored but {origin}")
        source = maker.input(0)
        if source in passed:
            raise CannotScale(f"{name!r} is not stored but made of itself")
        if len(passed) > LONGEST:
            raise CannotScale(f"{name!r} is behind more than {LONGEST} Identity nodes")


def _cells(conv: Node, weight: StoredTensor) -> Cells:
    """The cells of a convolution's weight, without those of its normalization."""
    tensor = weight.tensor
    if tensor.data_type not in _FLOATS:
        raise CannotScale(f"its weight {weight.name!r} is not a float tensor")
    if len(tensor.shape) < 2 or min(tensor.shape) < 1:
        raise CannotScale(f"its weight {weight.name!r} has shape {list(tensor.shape)}")
    try:
        # Declared shapes prove nothing: no vector of so many channels before the values are found.
        if tensor.location() is None:
            next(tensor.chunks(), None)
    except Unavailable as error:
        raise CannotScale(f"its weight {weight.name!r} cannot be read: {error}") from None
    said = conv.attribute("group", 1)
    group = 1 if said is None else int(said)  # None: a function's caller determines it
    if group < 1 or tensor.shape[0] % group:
        raise CannotScale(
            f"the {tensor.shape[0]} channels of {weight.name!r} do not divide into {group} groups"
        )
    return Cells(weight.name, tensor, group, conv.op_type == "ConvTranspose")
