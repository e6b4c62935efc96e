"""The roles of tensors in ops with weights: weight, bias, and which axis is channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dlclint.analysis.matching.terms import other_operand, sole_reader
from dlclint.model.evaluation.bounds import real_numbers
from dlclint.model.op_facts import ABSORBED, CONVOLUTIONS, RECURRENT, WEIGHTED_OPS, Role, positions
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Model, Node
    from dlclint.model.tensors import Tensor

Array = npt.NDArray[np.float64]


@record
class WeightUse:
    """A stored tensor where an op with weights reads it."""

    node: Node
    tensor: Tensor
    is_bias: bool
    axis: int | None
    """The axis of output channels; None for a bias."""

    @property
    def channels(self) -> int | None:
        """The number of entries of a per-channel encoding; None if the shape does not determine it."""
        if self.axis is None or not -len(self.tensor.shape) <= self.axis < len(self.tensor.shape):
            return None
        return self.tensor.shape[self.axis]


def weight_uses(model: Model) -> Iterator[tuple[str, WeightUse]]:
    """Name and use of every stored weight and bias."""
    for graph in model.graphs():
        for node in graph.nodes:
            weights, bias = weight_positions(node)
            for position, name in enumerate(node.inputs):
                if not name or position not in (*weights, bias):
                    continue
                stored = graph.constant(name)
                if stored is None:
                    continue
                axis = None if position == bias else channel_axis(node, position)
                yield name, WeightUse(node, stored, position == bias, axis)


def layer_name(node: Node) -> str:
    """How users find a node: by its name, or else its first output."""
    return node.name or next(filter(None, node.outputs), f"{node.op_type} #{node.index}")


def weight_positions(node: Node) -> tuple[tuple[int, ...], int | None]:
    """Which inputs of a node are weights, where they are stored, and which is its bias."""
    if node.domain:
        return (), None
    if node.op_type not in WEIGHTED_OPS and node.op_type not in RECURRENT:
        return (), None
    bias = positions(node.op_type, Role.BIAS)
    return positions(node.op_type, Role.WEIGHT, Role.RECURRENT_WEIGHT), bias[0] if bias else None


def bias_name(node: Node) -> str:
    """What an op with weights adds in its accumulator: its bias, or that of a MatMul, "" if there is none.

    A MatMul of a stored matrix and an Add of a number for each column form one fully connected layer
    (80-63442-2 Rev BL, row FC; QNN's FullyConnected).
    """
    _, position = weight_positions(node)
    if position is not None:
        return node.input(position)
    add = added_bias(node)
    return "" if add is None else other_operand(add, node.output(0))


def added_bias(node: Node) -> Node | None:
    """The Add that gives a MatMul of a stored matrix its bias; both become one fully connected layer."""
    graph = node.graph
    matrix = graph.constant(node.input(1)) if node.op_type == "MatMul" and not node.domain else None
    add = sole_reader(graph, node.output(0)) if matrix is not None else None
    if matrix is None or add is None or add.op_type != "Add" or add.domain or len(matrix.shape) != 2:
        return None
    bias = graph.constant(other_operand(add, node.output(0)))
    if bias is None or not bias.shape or bias.shape[-1] != matrix.shape[1]:
        return None
    return add if all(size == 1 for size in bias.shape[:-1]) else None


def channel_axis(node: Node, position: int) -> int:
    """The axis of a weight that is the op's output channels (for a recurrent op: gates)."""
    if node.op_type == "Conv":
        return 0
    if node.op_type in RECURRENT:
        return 1
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if node.attribute("transB", 0) else 1
    return -1 if position == 1 else -2


def absorbed_chain(node: Node) -> list[Node]:
    """The ops after one with weights that run inside it, as long as nothing else reads between them."""
    chain: list[Node] = []
    passed = {node.key}
    current = node
    while True:
        following = sole_reader(current.graph, current.outputs[0])
        if (
            following is None
            or following.op_type not in ABSORBED
            or following.input(0) != current.outputs[0]
            or following.key in passed  # a cycle, which an invalid model may have
        ):
            break
        passed.add(following.key)
        chain.append(following)
        current = following
    return chain


def converted_weight(use: WeightUse) -> tuple[Array, bool]:
    """A weight as the converter sees it, and whether a batch normalization was folded into it.

    Raises:
        Unavailable: the values cannot be read.
    """
    values = use.tensor.numbers()
    factors = folded_factors(use)
    if factors is None or use.axis is None:
        return values, False
    shape = [1] * values.ndim
    shape[use.axis] = -1
    return values * factors.reshape(shape), True


def folded_norm(use: WeightUse) -> Node | None:
    """The batch normalization that is folded into a convolution's weight, if one follows it."""
    if use.axis is None or use.node.op_type not in CONVOLUTIONS:
        return None
    following = absorbed_chain(use.node)[:1]
    if not following or following[0].op_type != "BatchNormalization":
        return None
    group = int(use.node.attribute("group", 1) or 1)
    return None if use.node.op_type == "ConvTranspose" and group != 1 else following[0]


def folded_factors(use: WeightUse) -> Array | None:
    """The factor that folding applies to each output channel of a weight, shape [channels]; or None."""
    norm = folded_norm(use)
    factors = None if norm is None else fold_factors(norm)
    return factors if factors is not None and factors.shape == (use.channels,) else None


def fold_factors(norm: Node) -> Array | None:
    """The factor of a batch normalization for each channel, shape [channels]; None if not stored."""
    gamma, variance = (vector(norm.graph, norm.input(position)) for position in (1, 4))
    epsilon = norm.attribute("epsilon", 1e-5)
    if gamma is None or variance is None or epsilon is None:
        return None
    scale, spread = gamma.astype(np.float64), variance.astype(np.float64)
    if scale.shape != spread.shape or (spread + epsilon <= 0).any():
        return None
    return np.asarray(scale / np.sqrt(spread + epsilon))


def vector(graph: Graph, name: str) -> Array | None:
    """The values of a small float tensor that is stored or follows from the model; None for others."""
    values = graph.small_value(name, 1 << 20) if name else None
    if values is None and name:
        values = graph.model.values.whole(graph, name)
    return real_numbers(values) if values is not None and values.dtype.kind in "fV" else None
