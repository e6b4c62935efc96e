"""Estimates through convolutions and matrix products, from the moments of their inputs."""

from __future__ import annotations

import math

import numpy as np

from dlclint.analysis.activations.estimate import Basis, Estimate, Floats, normal
from dlclint.analysis.roles import channel_axis, vector
from dlclint.analysis.weights.store import Weights
from dlclint.model.graph import Node
from dlclint.model.op_facts import CONVOLUTIONS
from dlclint.model.tensors import Array, Unavailable

MOST = 1 << 23
"""The number of values above which weights are not read a second time to distinguish their input channels."""


def through_weights(node: Node, estimate: Estimate | None, weights: Weights) -> Estimate | None:
    """The output's moments, assuming that the values of the input are independent.

    Neighboring values of an image are not independent, so deviations are too small for real data, commonly by
    a factor of two to three.
    """
    if estimate is None or not estimate.known:
        return None
    if node.op_type == "MatMul" or estimate.channels == 1:
        return _of_whole(node, estimate.whole(), weights)
    matrices = _matrices(node)
    if matrices is None:
        return None
    sums, squares = matrices
    groups = _groups(node)
    if estimate.channels != sums.shape[1] * groups:
        return _of_whole(node, estimate.whole(), weights)
    mean = _product(sums, estimate.mean, groups)
    variance = _product(squares, np.square(estimate.deviation), groups)
    return _finished(node, mean, variance, estimate.basis)


def _of_whole(node: Node, estimate: Estimate, weights: Weights) -> Estimate | None:
    """For an input whose channels are not distinguished: the statistics of the weight suffice."""
    tensor_statistics = weights.statistics(node.graph, node.input(1))
    stored = node.graph.constant(node.input(1))
    if (
        tensor_statistics is None
        or stored is None
        or tensor_statistics.finite != tensor_statistics.count
        or len(stored.shape) < 2
    ):
        return None
    channels = tensor_statistics.channels.get(channel_axis(node, 1) % len(stored.shape))
    if channels is None:
        return None
    share = 1.0
    if node.op_type == "ConvTranspose":
        if _groups(node) != 1:
            return None
        share /= _stride(node)
    alpha = float(node.attribute("alpha", 1.0)) if node.op_type == "Gemm" else 1.0
    mean = estimate.mean * channels.sum * alpha * share
    variance = np.square(estimate.deviation * alpha) * channels.square_sum * share
    return _finished(node, mean, variance, estimate.basis)


def _finished(node: Node, mean: Floats, variance: Floats, basis: Basis) -> Estimate | None:
    bias = _bias(node, len(mean))
    if bias is None:
        return None
    estimate = normal(mean + bias, np.sqrt(variance), max(basis, Basis.PROPAGATED))
    by_channel = node.op_type in CONVOLUTIONS or _is_flat(node)
    return estimate if by_channel else estimate.whole()


def _is_flat(node: Node) -> bool:
    return node.op_type == "Gemm" or node.graph.rank(node.outputs[0]) == 2


def _matrices(node: Node) -> tuple[Floats, Floats] | None:
    """Sums and sums of squares of the weight over its taps, shape [outputs, inputs of a group]."""
    stored = node.graph.constant(node.input(1))
    if stored is None or not stored.shape or stored.count > MOST or stored.count == 0:
        return None
    try:
        weight = stored.numbers()
    except Unavailable:
        return None
    if not np.isfinite(weight).all():
        return None
    scale = 1.0
    if node.op_type == "Gemm":
        if weight.ndim != 2 or node.attribute("transA", 0):
            return None
        weight = (weight if node.attribute("transB", 0) else weight.T) * float(node.attribute("alpha", 1.0))
    elif weight.ndim < 3:
        return None
    elif node.op_type == "ConvTranspose":
        weight = _turned(weight, _groups(node))
        # One in `stride` taps per dimension contributes to each output.
        scale = 1.0 / _stride(node)
    flat = weight.reshape(*weight.shape[:2], -1)
    return flat.sum(axis=2) * scale, np.square(flat).sum(axis=2) * scale


def _groups(node: Node) -> int:
    """The groups of a convolution; 1 where they do not divide the first dimension of its weight."""
    weight = node.graph.constant(node.input(1))
    if node.op_type not in CONVOLUTIONS or weight is None or not weight.shape:
        return 1
    groups = int(node.attribute("group", 1) or 1)
    return groups if 0 < groups <= weight.shape[0] and not weight.shape[0] % groups else 1


def _stride(node: Node) -> float:
    """The product of the strides; 1 where one of them is not positive."""
    strides = [float(stride) for stride in node.attribute("strides") or [1]]
    return max(1.0, math.prod(strides))


def _turned(weight: Array, groups: int) -> Array:
    """[inputs, outputs of a group, taps] as [outputs, inputs of a group, taps]."""
    inputs, outputs = weight.shape[:2]
    split = weight.reshape(groups, inputs // groups, outputs, -1).transpose(0, 2, 1, 3)
    return np.asarray(split.reshape(groups * outputs, inputs // groups, -1))


def _product(matrix: Floats, vector: Floats, groups: int) -> Floats:
    if groups == 1:
        return np.asarray(matrix @ vector)
    split = matrix.reshape(groups, len(matrix) // groups, -1)
    return np.asarray(np.einsum("goi,gi->go", split, vector.reshape(groups, -1)).reshape(-1))


def _bias(node: Node, outputs: int) -> Floats | None:
    """The bias by output; None where there is one that is not stored."""
    if node.op_type == "MatMul" or not node.input(2):
        return np.zeros(outputs)
    stored = vector(node.graph, node.input(2))
    if stored is None or stored.size not in (1, outputs) or not np.isfinite(stored).all():
        return None
    factor = float(node.attribute("beta", 1.0)) if node.op_type == "Gemm" else 1.0
    return np.asarray(np.broadcast_to(stored.astype(np.float64).reshape(-1) * factor, outputs))
