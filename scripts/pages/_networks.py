"""The networks whose reports the documentation shows, built from nothing, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, parser

Floats = npt.NDArray[np.float32]
FLAWED = """<ir_version: 8, opset_import: ["" : 17]>
flawed (float[N,3,224,224] image, bool[8] keep) => (float[N] result, float[count,64] kept) {
  erf = Erf(image)
  mean = ReduceMean<axes = [2, 3], keepdims = 0>(erf)
  wide = Gemm(mean, weight)
  square = Reshape(wide, square_shape)
  result = Det(square)
  chosen = Compress<axis = 1>(wide, keep)
  size = Shape(chosen)
  kept = Reshape(chosen, size)
}"""


class Builder:
    """Nodes and weights in the making."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []

    def node(self, op: str, inputs: list[str], name: str, **attributes: object) -> str:
        """Append a node; its output is called by its name."""
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def store(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Add an initializer."""
        self.stored.append(numpy_helper.from_array(values, name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        """Add normal weights of the size that keeps activations where they are."""
        scale = 1 / np.sqrt(max(1, int(np.prod(shape[1:]))))
        return self.store(name, (self._random.standard_normal(shape) * scale).astype(np.float32))

    def conv(self, data: str, name: str, inputs: int, outputs: int, stride: int = 1) -> str:
        """A 3x3 convolution with ReLU."""
        names = [
            data,
            self.weight(f"{name}.weight", outputs, inputs, 3, 3),
            self.weight(f"{name}.bias", outputs),
        ]
        made = self.node("Conv", names, name, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[stride] * 2)
        return self.node("Relu", [made], f"{name}.relu")

    def model(self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """The whole."""
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


def value(name: str, *dims: int | str) -> onnx.ValueInfoProto:
    """A float input or output."""
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(dims))


def clean() -> onnx.ModelProto:
    """A classifier of convolutions without errors."""
    made = Builder(1)
    data = "image"
    for number, (inputs, outputs) in enumerate(((32, 32), (32, 64), (64, 64))):
        data = made.conv(data, f"conv{number}", inputs, outputs, 2)
    data = made.node("GlobalAveragePool", [data], "pool")
    data = made.node("Flatten", [data], "flat")
    made.node(
        "Gemm", [data, made.weight("fc.weight", 10, 64), made.weight("fc.bias", 10)], "scores", transB=1
    )
    return made.model([value("image", 1, 32, 64, 64)], [value("scores", 1, 10)])


def flawed() -> onnx.ModelProto:
    """A small model with several flaws, some of which follow from others."""
    model = parser.parse_model(FLAWED)
    weight = np.random.default_rng(2).standard_normal((3, 9)).astype(np.float32)
    shape = np.array([-1, 3, 3], np.int64)
    model.graph.initializer.extend(
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(shape, "square_shape")]
    )
    return model


def transformer(layers: int = 48, width: int = 64, tokens: int = 16) -> onnx.ModelProto:
    """An encoder of many layers, as exported with a mask of the smallest float."""
    made = Builder(3)
    made.store("scale", np.float32(8))
    made.store("one", np.float32(1))
    made.store("lowest", np.float32(np.finfo(np.float32).min))
    masked = made.node("Mul", [made.node("Sub", ["one", "mask"], "unmasked"), "lowest"], "masked")
    data = "embedded"
    for layer in range(layers):
        data = "".join(_layer(made, f"layer.{layer}", data, masked, width, tokens))
    made.node("Identity", [data], "encoded")
    inputs = [value("embedded", 1, tokens, width), value("mask", 1, 1, tokens)]
    return made.model(inputs, [value("encoded", 1, tokens, width)])


def _layer(made: Builder, name: str, data: str, mask: str, width: int, tokens: int) -> Iterator[str]:
    def linear(source: str, part: str, inputs: int, outputs: int) -> str:
        weight = made.weight(f"{name}.{part}.weight", outputs, inputs)
        values = numpy_helper.to_array(made.stored.pop()).T.copy()
        return made.node("MatMul", [source, made.store(weight, values)], f"{name}.{part}")

    query, key, content = (linear(data, part, width, width) for part in ("query", "key", "value"))
    turned = made.node("Transpose", [key], f"{name}.turned", perm=[0, 2, 1])
    product = made.node("MatMul", [query, turned], f"{name}.scores")
    scaled = made.node("Div", [product, "scale"], f"{name}.scaled")
    masked = made.node("Add", [scaled, mask], f"{name}.masked")
    weights = made.node("Softmax", [masked], f"{name}.weights", axis=-1)
    mixed = linear(made.node("MatMul", [weights, content], f"{name}.mixed"), "output", width, width)
    data = made.node("Add", [data, mixed], f"{name}.sum")
    hidden = made.node("Relu", [linear(data, "up", width, 4 * width)], f"{name}.hidden")
    yield made.node("Add", [data, linear(hidden, "down", 4 * width, width)], name)


def detector() -> onnx.ModelProto:
    """A detector with open height and width, whose output joins boxes in pixels and scores."""
    made = Builder(4)
    data = made.conv("images", "backbone.0", 3, 16, 2)
    data = made.conv(data, "backbone.1", 16, 32, 2)
    for head, channels in (("box", 4), ("score", 20)):
        weight = made.weight(f"{head}.weight", channels, 32, 1, 1)
        made.node("Conv", [data, weight, made.weight(f"{head}.bias", channels)], head, kernel_shape=[1, 1])
        made.store(f"{head}.shape", np.array([1, channels, -1], np.int64))
        made.node("Reshape", [head, f"{head}.shape"], f"{head}.flat")
    made.store("stride", np.float32(32))
    made.node("Mul", ["box.flat", "stride"], "pixels")
    made.node("Sigmoid", ["score.flat"], "scores")
    made.node("Concat", ["pixels", "scores"], "detections", axis=1)
    inputs = [value("images", "batch", 3, "height", "width")]
    return made.model(inputs, [value("detections", "batch", 24, "boxes")])


NETWORKS = {
    "clean": (clean, "a classifier without errors"),
    "flawed": (flawed, "flaws, some of which follow from others"),
    "transformer": (transformer, "an encoder of 48 layers"),
    "detector": (detector, "a detector with open sizes"),
}
"""What is shown: what builds it, and what it is."""
