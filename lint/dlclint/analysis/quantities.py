"""The numbers that documented limits use, read from a node: channels, kernels, strides, widths.

Tensors are NCHW as in ONNX; unknown numbers are absent. Names are those of the limitations' `expr`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dlclint.model.graph import Node
from dlclint.model.op_facts import CONVOLUTIONS, MATRICES, RESIZERS

_NCHW = ("batch", "C", "H", "W")


def quantities(node: Node, is_image: bool) -> dict[str, Any]:
    """Name to number (or list of numbers) for one node.

    `is_image`: its first input is NCHW; where it is not, no axis is treated as channels.
    """
    numbers: dict[str, Any] = {}
    kind = node.graph.type_of(node.input(0))
    if kind is not None and kind.shape is not None:
        numbers["rank"] = len(kind.shape)
        numbers.update(of_tensor(kind.shape) if is_image else {})
    if node.op_type in CONVOLUTIONS:
        numbers.update(_of_convolution(node))
    elif node.op_type in MATRICES:
        numbers.update(_of_matrix(node))
    elif node.op_type == "Concat" and is_image:
        numbers.update(_of_concat(node))
    elif node.op_type in RESIZERS:
        numbers.update(_of_resize(node))
    return numbers


def of_tensor(shape: tuple[Any, ...] | None) -> dict[str, Any]:
    """Names of a 4-D tensor's dimensions; empty for other ranks. Symbols are left out."""
    if shape is None or len(shape) != 4:
        return {}
    sizes = {name: dim for name, dim in zip(_NCHW, shape, strict=True) if isinstance(dim, int)}
    if "C" in sizes:
        sizes["channels"] = sizes["C"]
        sizes["packed_channels"] = -(-sizes["C"] // 4)
    if "W" in sizes:
        sizes["width"] = sizes["W"]
    return sizes


def _of_convolution(node: Node) -> dict[str, Any]:
    kind = node.graph.type_of(node.input(1))
    shape = None if kind is None else kind.static_shape
    if shape is None or len(shape) < 3 or min(shape) < 1:
        return {}
    group = int(node.attribute("group", 1) or 1)
    kernel = list(shape[2:])
    strides = list(node.attribute("strides") or [1] * len(kernel))
    if len(strides) != len(kernel):
        return {}
    first, second = shape[0], shape[1] * group
    outputs, inputs = (first, second) if node.op_type == "Conv" else (second, first)
    numbers: dict[str, Any] = {
        "group": group,
        "output_channels": outputs,
        "input_channels": inputs,
        "channels": inputs,
        "kernel": kernel,
        "kernel_i": kernel,
        # The limit squares it: what matters for a filter that is not square is its area.
        "filter_size": round(math.sqrt(math.prod(kernel)), 2),
        "strides": strides,
        "stride_i": strides,
    }
    if len(kernel) == 2:
        numbers.update(filter_h=kernel[0], filter_w=kernel[1], stride_w=strides[1])
    return numbers


def _of_matrix(node: Node) -> Mapping[str, Any]:
    """Of a fully connected layer: a constant matrix on the right."""
    weight = node.graph.constant(node.input(1))
    if weight is None or len(weight.shape) != 2:
        return {}
    transposed = node.op_type == "Gemm" and node.attribute("transB", 0)
    inputs, outputs = reversed(weight.shape) if transposed else weight.shape
    numbers = {"input_features": inputs, "output_features": outputs, "output_channels": outputs}
    kind = node.graph.type_of(node.input(0))
    shape = None if kind is None else kind.static_shape
    if shape and not (node.op_type == "Gemm" and node.attribute("transA", 0)):
        batch = 1
        for dim in shape[:-1]:
            batch *= dim
        numbers["batch"] = batch
    return numbers


def _of_concat(node: Node) -> Mapping[str, Any]:
    kinds = [node.graph.type_of(name) for name in node.inputs]
    shapes = [None if kind is None else kind.shape for kind in kinds]
    rank = next((len(shape) for shape in shapes if shape), 4)
    numbers: dict[str, Any] = {"axis": int(node.attribute("axis", 1) or 0) % rank, "channel": 1}
    channels = [shape[1] for shape in shapes if shape is not None and len(shape) >= 2]
    if len(channels) == len(shapes) and all(isinstance(count, int) for count in channels):
        numbers["C_i"] = channels
    return numbers


def _of_resize(node: Node) -> Mapping[str, Any]:
    kinds = [node.graph.type_of(name) for name in (node.input(0), node.output(0))]
    shapes = [None if kind is None else kind.static_shape for kind in kinds]
    if shapes[0] is None or shapes[1] is None or 0 in shapes[0]:
        return {}
    if not len(shapes[0]) == len(shapes[1]) == 4:
        return {}
    return {"scale": [after / before for before, after in zip(shapes[0][2:], shapes[1][2:], strict=True)]}
