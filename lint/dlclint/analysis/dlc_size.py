"""The size of the parameters in a float and in a quantized DLC, estimated from shapes only.

Source: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models (float DLC: parameters in float32;
quantized: weights and biases at their widths; 4-bit values are packed two to a byte, per channel or
row where quantized so, which rounds every channel up).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from dlclint.analysis.folding import is_static
from dlclint.analysis.roles import absorbed_chain, channel_axis
from dlclint.analysis.view import ModelView
from dlclint.model.graph import Node
from dlclint.model.op_facts import CONVOLUTIONS, WEIGHTED_OPS
from dlclint.model.types import TensorType, is_float
from dlclint.target import DlcKind
from dlclint_schemas.record import record

_PER_CHANNEL = (*CONVOLUTIONS, "Gemm")
"""Ops whose weights `--use_per_channel_quantization` concerns: convolution, transposed convolution and
fully connected (80-63442-2 Rev BL, Tools)."""


@record
class Parameter:
    """A static tensor that reaches the DLC. `axis`: the axis along which it may be quantized per channel."""

    shape: tuple[int, ...]
    is_float: bool
    is_weight: bool
    is_bias: bool
    axis: int | None

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def packed_bytes(shape: tuple[int, ...], bits: int, axis: int | None) -> int:
    """Bytes of values of `bits` bits; below 8 bits each channel along `axis` is packed separately.

    A channel of 27 values at 4 bits takes 14 bytes.
    """
    count = math.prod(shape)
    if axis is None or not count or not -len(shape) <= axis < len(shape):
        return -(-count * bits // 8)
    channels = shape[axis]
    return channels * -(-(count // channels) * bits // 8)


def parameter_bytes(parameter: Parameter, kind: DlcKind) -> int:
    """Bytes of one parameter in a DLC of this kind."""
    if not parameter.is_float:
        return parameter.count * 4
    if not kind.quantize:
        bits = kind.float_bias_bitwidth if parameter.is_bias else None
        return parameter.count * (bits or kind.float_bitwidth) // 8
    if parameter.is_bias:
        return parameter.count * kind.bias_bitwidth // 8
    if parameter.is_weight:
        axis = parameter.axis if kind.per_channel else None
        return packed_bytes(parameter.shape, kind.weights_bitwidth, axis)
    # Parameters other than layer weights have no 4-bit form.
    return parameter.count * max(8, kind.weights_bitwidth) // 8


def dlc_bytes(view: ModelView, kind: DlcKind) -> int:
    """Estimated bytes of a DLC's parameters, without names, graph and HTP caches."""
    return sum(parameter_bytes(parameter, kind) for parameter in parameters(view).values())


def parameters(view: ModelView) -> Mapping[tuple[str, str], Parameter]:
    """Every static tensor that a node reads at run time, once, by graph path and name.

    Batch normalization that is folded into the layer before it has no parameters.
    """
    by_name: dict[tuple[str, str], Parameter] = {}
    absorbed = set(_folded_norms(view))
    for node in view.nodes():
        if node.key in absorbed or view.model.is_function(node):
            continue
        for position, name in enumerate(node.inputs):
            if not name or not is_static(node.graph, name, view.folded):
                continue
            kind = node.graph.type_of(name)
            shape = None if kind is None else kind.static_shape
            if kind is None or shape is None:
                continue
            parameter = _parameter(node, position, kind, shape)
            known = by_name.get((node.graph.path, name))
            if known is None or (parameter.is_weight and not known.is_weight):
                by_name[node.graph.path, name] = parameter
    return by_name


def _parameter(node: Node, position: int, kind: TensorType, shape: tuple[int, ...]) -> Parameter:
    weighted = not node.domain and node.op_type in WEIGHTED_OPS
    is_bias = weighted and node.op_type != "MatMul" and position == 2
    is_weight = weighted and (position == 1 or node.op_type == "MatMul")
    axis: int | None = None
    if is_weight and node.op_type in _PER_CHANNEL:
        axis = channel_axis(node, position)  # 0 or 1 for these ops
        axis = axis if axis < len(shape) else None
    return Parameter(shape, is_float(kind.data_type), is_weight, is_bias, axis)


def _folded_norms(view: ModelView) -> Iterator[tuple[str, int]]:
    for node in view.nodes():
        if not node.domain and node.op_type in CONVOLUTIONS:
            for following in absorbed_chain(node)[:1]:
                if following.op_type == "BatchNormalization":
                    yield following.key
