"""High-bias absorption: constants moved from one convolution's output into the next one's bias.

Channel i of the first convolution outputs c_i less, the second adds the weighted sum of all c. Through Relu
that is correct where the channel is above c: with beta and |gamma| of the batch normalization as mean and
deviation, c = max(0, beta - 3 |gamma|) excludes the lowest 0.13 % of a normal distribution. Without an
activation c = beta, and with gamma 0 (the channel is constant) it is exact. A second convolution that pads
with zeros would still pad with zeros where c is now missing, so nothing is absorbed there.

Source: Nagel et al. 2019, arXiv 1906.04721, 4.1.3 (three standard deviations).
"""

from __future__ import annotations

import enum

import numpy as np

from dlclint.analysis.cle.layers import Layer
from dlclint.analysis.cle.matching import Pair
from dlclint.analysis.weights.statistics import Floats
from dlclint.model.graph import Node
from dlclint.model.op_facts import UNCHANGED

DEVIATIONS = 3.0
NEGLIGIBLE = 1e-4
"""A constant below this share of beta is rounding, not a high bias; `NEGLIGIBLE_HALF` for 16 bits."""
NEGLIGIBLE_HALF = 1e-2


class HighBias(enum.Enum):
    """What happens to high biases."""

    KEEP = "keep"
    """Nothing."""
    EXACT = "exact"
    """Absorbed where the function stays the same for every input."""
    ABSORB = "absorb"
    """Absorbed as in the paper, which clips values below three deviations."""


def absorbed(pair: Pair, first: Layer, how: HighBias) -> Floats:
    """The constant c of each channel between a pair, before any scaling; zeros where none is absorbed."""
    nothing = np.zeros(first.outputs)
    norm = first.norm
    if how is HighBias.KEEP or norm is None or is_padded(pair.second) or not _is_direct(pair):
        return nothing
    half = first.is_half
    if how is HighBias.EXACT and half:
        return nothing  # 16 bits do not hold the corrected bias exactly
    beta, deviation = norm.beta.values(), np.abs(norm.gamma.values())
    if pair.activation is None:
        return beta
    high = np.maximum(0.0, beta - DEVIATIONS * deviation)
    high[high <= (NEGLIGIBLE_HALF if half else NEGLIGIBLE) * np.abs(beta)] = 0.0
    return high if how is HighBias.ABSORB else np.where(deviation == 0, high, 0.0)


def _is_direct(pair: Pair) -> bool:
    """Whether only Relu (or ReLU6, to be replaced) is in between."""
    return all(node is pair.activation or node.op_type in UNCHANGED for node in pair.between) and (
        pair.activation is None or pair.relu6 or pair.activation.op_type == "Relu"
    )


def is_padded(conv: Node) -> bool:
    """Whether a convolution's output depends on the position even for a constant input."""
    if conv.op_type != "Conv":
        return True
    tensor_type = conv.graph.type_of(conv.input(1))
    kernel = conv.attribute("kernel_shape") or (
        tensor_type.shape[2:] if tensor_type and tensor_type.shape else None
    )
    if str(conv.attribute("auto_pad", "NOTSET")).startswith("SAME"):
        return kernel is None or any(size != 1 for size in kernel)
    return any(conv.attribute("pads") or ())
