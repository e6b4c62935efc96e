"""The grid of one QuantizeLinear or DequantizeLinear node: scale, zero point, type, axis and block.

Source: the ONNX operator definitions (versions 10, 13, 19, 21, 23, 25) and those of the domain
com.microsoft, which have 4- and 16-bit types at every opset.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from dlclint.analysis.matching.terms import copied_from
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import is_qdq
from dlclint.model.tensors import Array, Tensor, Unavailable
from dlclint.model.types import is_float
from dlclint_schemas.record import record

_KINDS = onnx.TensorProto.DataType
QUANTIZED_TYPES = frozenset(
    value
    for name, value in _KINDS.items()
    if name.startswith(("INT", "UINT", "FLOAT8", "FLOAT4")) and not name.endswith("64")
)
"""The types of quantized tensors; damaged files have others."""


def is_quantize(node: Node) -> bool:
    """Whether a node is QuantizeLinear of ONNX or com.microsoft."""
    return node.op_type == "QuantizeLinear" and is_qdq(node.op_type, node.domain)


def is_dequantize(node: Node) -> bool:
    """Whether a node is DequantizeLinear of ONNX or com.microsoft."""
    return node.op_type == "DequantizeLinear" and is_qdq(node.op_type, node.domain)


@record
class BlockScales:
    """Integers that represent the scales of blocks: each times the scale of its channel.

    Both are float64 of the tensor's rank, and `channels` has one number along the axis of the blocks.
    """

    integers: npt.NDArray[np.float64]
    channels: npt.NDArray[np.float64]


@record
class Quantization:
    """The grid that a node puts a tensor on.

    `scale` and `zero` are float64 of one shape: () per tensor, (channels,) per channel, the tensor's
    rank per block. `axis` is that of the channels, or of the blocks.
    """

    dtype: str
    """Spelled as in override files of 2.0.0: int8, uint16, float8e4m3fn, ..."""
    scale: npt.NDArray[np.float64]
    zero: npt.NDArray[np.float64]
    axis: int | None
    block_size: int | None
    result: int
    """The TensorProto type of the dequantized tensor."""
    blocks: BlockScales | None = None
    """Where the scales are dequantized themselves, as in low-power block quantization."""

    def same_grid(self, other: Quantization) -> bool:
        """Whether both put the same numbers on the same grid."""
        return (
            (self.dtype, self.axis, self.block_size) == (other.dtype, other.axis, other.block_size)
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero, other.zero)
        )


def quantization(node: Node) -> Quantization | None:
    """The grid of a quantizing or dequantizing node; None where its scale or type is not known here."""
    graph = node.graph
    scale = stored(graph, node.input(1))
    blocks = _block_scales(node) if scale is None else None
    if scale is not None:
        values, result = _numbers(scale), scale.data_type
    elif blocks is not None:
        values, result = blocks.integers * blocks.channels, int(onnx.TensorProto.FLOAT)
    else:
        return None
    kind = _integer_type(node)
    point = stored(graph, node.input(2)) if node.input(2) else None
    if (
        values is None
        or not np.isfinite(values).all()
        or kind not in QUANTIZED_TYPES
        or not is_float(result)
        or (node.input(2) and point is None)
    ):
        return None
    zero = np.zeros_like(values) if point is None else _numbers(point)
    if zero is None or zero.size not in (1, values.size):
        return None
    zero = np.broadcast_to(zero.reshape(values.shape if zero.size == values.size else ()), values.shape)
    axis: int | None = None
    block: int | None = None
    if values.size == 1 and values.ndim < 2:
        values, zero = values.reshape(()), zero.reshape(())
    else:
        axis = _axis(node)
        block = int(node.attribute("block_size", 0) or 0) or None
        if axis is None or (values.ndim > 1) != (block is not None) or (block or 1) < 0:
            return None
    if blocks is not None and (axis is None or blocks.channels.shape[axis : axis + 1] != (1,)):
        blocks = None
    return Quantization(_KINDS.Name(kind).lower(), values, zero, axis, block, result, blocks)


def gives_scales(node: Node) -> bool:
    """Whether a node dequantizes only what others use as scales."""
    output = node.output(0)
    readers = node.graph.consumers(output)
    alone = all(is_qdq(reader.op_type, reader.domain) for reader in readers)
    return alone and bool(readers) and all(reader.input(1) == output for reader in readers)


def _block_scales(node: Node) -> BlockScales | None:
    """What dequantizes a node's scales: stored integers, with one scale for each channel."""
    maker = node.graph.producer(node.input(1))
    if maker is None or not is_dequantize(maker) or stored(maker.graph, maker.input(1)) is None:
        return None
    inner, integers = quantization(maker), stored(maker.graph, maker.input(0))
    values = None if integers is None else _numbers(integers)
    if inner is None or values is None or inner.zero.any():
        return None
    try:
        each = spread(inner.scale, inner, values.shape)
    except Unavailable:
        return None
    # A block of scales is one number along its axis where it has the length of that axis.
    if inner.block_size is not None and inner.axis is not None and inner.scale.shape[inner.axis] == 1:
        each = inner.scale
    elif inner.block_size is not None:
        return None
    return BlockScales(values, np.asarray(each.reshape((1,) * (values.ndim - each.ndim) + each.shape)))


def stored(graph: Graph, name: str) -> Tensor | None:
    """The tensor stored under a name, through Identity, with which exporters share equal parameters."""
    home, source = copied_from(graph, name)
    return home.constant(source)


def dequantized(tensor: Tensor, grid: Quantization) -> Array:
    """The numbers that stored integers represent, as DequantizeLinear computes them.

    Raises:
        Unavailable: the integers cannot be read, or do not fit the grid.
    """
    values = tensor.array()
    kind = onnx.helper.tensor_dtype_to_np_dtype(grid.result)
    if values.dtype.kind in "iu" or grid.dtype.startswith(("int", "uint")):
        centered = (values.astype(np.int64) - spread(grid.zero, grid, values.shape).astype(np.int64)).astype(
            np.float32
        )
    else:  # float8 and float4 have no zero point but 0
        centered = values.astype(np.float32)
    return np.asarray(centered * spread(grid.scale, grid, values.shape).astype(np.float32)).astype(kind)


def spread(values: npt.NDArray[np.float64], grid: Quantization, shape: tuple[int, ...]) -> Array:
    """Numbers of a grid, reshaped so that they broadcast over the tensor.

    Raises:
        Unavailable: the grid does not fit a tensor of this shape.
    """
    if grid.axis is None:
        return values
    axis = grid.axis
    if axis >= len(shape):
        raise Unavailable(f"axis {axis} does not exist in a tensor of shape {list(shape)}")
    if grid.block_size is None:
        wide = [1] * len(shape)
        wide[axis] = values.size
        reshaped = values.reshape(wide)
    elif values.ndim != len(shape):
        raise Unavailable(f"scales of {values.ndim} dimensions do not fit a tensor of {len(shape)}")
    else:
        # A block may be longer than its axis.
        size = min(grid.block_size, max(1, shape[axis]))
        blocks = values[(*[slice(None)] * axis, slice(-(-shape[axis] // size)))]
        reshaped = np.repeat(blocks, size, axis=axis)[(*[slice(None)] * axis, slice(shape[axis]))]
    try:
        if np.broadcast_shapes(reshaped.shape, shape) == shape:
            return reshaped
    except ValueError:
        pass
    raise Unavailable(f"scales of shape {list(values.shape)} do not fit a tensor of shape {list(shape)}")


def _integer_type(node: Node) -> int:
    """The TensorProto type of the quantized side; 0 where it is not known."""
    point = node.graph.type_of(node.input(2)) if node.input(2) else None
    if point is None and node.input(2):
        constant = stored(node.graph, node.input(2))
        return 0 if constant is None else constant.data_type
    if point is not None:
        return point.data_type
    if is_quantize(node):
        return int(node.attribute("output_dtype", 0) or 0) or onnx.TensorProto.UINT8
    read = node.graph.type_of(node.input(0))
    return 0 if read is None else read.data_type


def _axis(node: Node) -> int | None:
    axis: Any = node.attribute("axis", 1)
    rank = node.graph.rank(node.input(0))
    if not isinstance(axis, int) or rank is None or not -rank <= axis < rank:
        return None
    return axis % rank


def _numbers(tensor: Tensor) -> npt.NDArray[np.float64] | None:
    try:
        return tensor.numbers()
    except Unavailable:
        return None
