"""Models with real structure and random weights, streamed to disk so that building stays small."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

CHUNK = 1 << 22
SPREAD = 1.2
"""Standard deviation of the scale of a trained channel, as a natural logarithm."""


@dataclass
class Builder:
    """Nodes and weights of a network in the making; weights are only shapes until written."""

    opset: int
    trained: bool = False
    """Whether convolutions get weights as training leaves them: signed, channels scales apart."""
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[tuple[str, tuple[int, ...], float]] = field(default_factory=list)

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        """Append a node; returns its output."""
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"/{output}", **attributes))
        return output

    def weight(self, *shape: int, deviation: float = 0.0) -> str:
        """A float32 weight: positive and near one, or with a deviation around zero."""
        name = f"weight_{len(self.weights)}"
        self.weights.append((name, shape, deviation))
        return name

    def constant(self, value: float | list[int]) -> str:
        """A Constant node."""
        whole = isinstance(value, list)
        kind = TensorProto.INT64 if whole else TensorProto.FLOAT
        tensor = helper.make_tensor("", kind, [len(value)] if whole else [], value if whole else [value])
        return self.add("Constant", value=tensor)

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        """MatMul and bias, as exporters write a linear layer."""
        return self.add("Add", self.add("MatMul", x, self.weight(inputs, outputs)), self.weight(outputs))

    def layer_norm(self, x: str, size: int) -> str:
        """Layer normalization in single ops, as before opset 17."""
        centered = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        square = self.add("Pow", centered, self.constant(2.0))
        variance = self.add("Add", self.add("ReduceMean", square, axes=[-1]), self.constant(1e-5))
        scaled = self.add("Mul", self.add("Div", centered, self.add("Sqrt", variance)), self.weight(size))
        return self.add("Add", scaled, self.weight(size))

    def gelu(self, x: str) -> str:
        """GELU by Erf."""
        erf = self.add("Erf", self.add("Div", x, self.constant(math.sqrt(2))))
        return self.add(
            "Mul", self.add("Mul", x, self.add("Add", erf, self.constant(1.0))), self.constant(0.5)
        )

    def attention(self, x: str, size: int, heads: int, tokens: int) -> str:
        """Multi-head self-attention with reshapes and transposes."""
        parts = []
        for turn in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            shape = self.constant([1, tokens, heads, size // heads])
            split = self.add("Reshape", self.linear(x, size, size), shape)
            parts.append(self.add("Transpose", split, perm=turn))
        scores = self.add(
            "Div", self.add("MatMul", parts[0], parts[1]), self.constant(math.sqrt(size // heads))
        )
        mixed = self.add("MatMul", self.add("Softmax", scores, axis=-1), parts[2])
        joined = self.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.linear(self.add("Reshape", joined, self.constant([1, tokens, size])), size, size)

    def block(self, x: str, size: int, heads: int, tokens: int) -> str:
        """A transformer block."""
        x = self.layer_norm(self.add("Add", x, self.attention(x, size, heads, tokens)), size)
        inner = self.gelu(self.linear(x, size, 4 * size))
        return self.layer_norm(self.add("Add", x, self.linear(inner, 4 * size, size)), size)

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, relu: bool = True) -> str:
        """Conv, BatchNormalization and ReLU."""
        pad = kernel // 2
        deviation = math.sqrt(2 / (inputs * kernel**2)) if self.trained else 0.0
        output = self.add(
            "Conv",
            x,
            self.weight(outputs, inputs, kernel, kernel, deviation=deviation),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
        )
        output = self.add("BatchNormalization", output, *(self.weight(outputs) for _ in range(4)))
        return self.add("Relu", output) if relu else output


def transformer(size: int, layers: int, tokens: int, vocabulary: int) -> tuple[Builder, onnx.GraphProto]:
    """Embedding, blocks, and a head over the vocabulary."""
    builder = Builder(13)
    x = builder.add("Gather", builder.weight(vocabulary, size), "ids")
    for _ in range(layers):
        x = builder.block(x, size, max(1, size // 64), tokens)
    result = builder.linear(x, size, size)
    graph = helper.make_graph(
        builder.nodes,
        "transformer",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, tokens])],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, [1, tokens, size])],
    )
    return builder, graph


def resnet(
    widths: tuple[int, ...] = (64, 128, 256, 512),
    depths: tuple[int, ...] = (3, 4, 6, 3),
    trained: bool = False,
) -> tuple[Builder, onnx.GraphProto]:
    """Bottleneck blocks as in ResNet-50."""
    builder = Builder(12, trained)
    x = builder.conv("image", 3, widths[0], 7, 2)
    x = builder.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = widths[0]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for index in range(depth):
            stride = 2 if stage and not index else 1
            inner = builder.conv(builder.conv(x, channels, width, 1), width, width, 3, stride)
            inner = builder.conv(inner, width, 4 * width, 1, relu=False)
            skip = x if index else builder.conv(x, channels, 4 * width, 1, stride, relu=False)
            x, channels = builder.add("Relu", builder.add("Add", inner, skip)), 4 * width
    return builder, classifier(builder, x, channels)


def vgg(width: int = 64) -> tuple[Builder, onnx.GraphProto]:
    """The convolutions of VGG-19 with batch normalization: one way from the image to the classifier."""
    builder = Builder(12, trained=True)
    x, channels = "image", 3
    for stage, depth in enumerate((2, 2, 4, 4, 4)):
        outputs = width << min(stage, 3)
        for _ in range(depth):
            x, channels = builder.conv(x, channels, outputs, 3), outputs
        x = builder.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return builder, classifier(builder, x, channels)


def classifier(builder: Builder, x: str, channels: int) -> onnx.GraphProto:
    """The network with a mean over the image and a fully connected layer on top."""
    x = builder.add("Flatten", builder.add("GlobalAveragePool", x))
    result = builder.add("Gemm", x, builder.weight(1000, channels), builder.weight(1000), transB=1)
    return helper.make_graph(
        builder.nodes,
        "convolutions",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, [1, 1000])],
    )


def chain(count: int) -> tuple[Builder, onnx.GraphProto]:
    """Nodes of common ops in one long chain."""
    builder = Builder(12)
    x = "x"
    for index in range(count):
        op = ("Relu", "Sigmoid", "Add", "Mul", "Tanh")[index % 5]
        operands = (x, builder.weight(8) if index % 100 == 2 else "x") if op in ("Add", "Mul") else (x,)
        x = builder.add(op, *operands)
    graph = helper.make_graph(
        builder.nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 8])],
    )
    return builder, graph


def write(made: tuple[Builder, onnx.GraphProto], path: Path, external: bool = False) -> None:
    """Write a model; the weights go from the generator to the file piece by piece."""
    builder, graph = made
    model = onnx.ModelProto(ir_version=8)
    model.opset_import.add(version=builder.opset)
    body = graph.SerializeToString()
    if external:
        offset = 0
        for name, shape, _ in builder.weights:
            size = 4 * math.prod(shape)
            tensor = TensorProto(name=name, data_type=1, dims=shape, data_location=1)
            for key, value in (("location", f"{path.name}.data"), ("offset", offset), ("length", size)):
                tensor.external_data.add(key=key, value=str(value))
            graph.initializer.append(tensor)
            offset += size
        model.graph.CopyFrom(graph)
        path.write_bytes(model.SerializeToString())
        with path.with_name(f"{path.name}.data").open("wb") as stream:
            for _, shape, deviation in builder.weights:
                random_weights(stream, shape, deviation)
        return
    heads = []
    for name, shape, _ in builder.weights:
        size = 4 * math.prod(shape)
        inner = TensorProto(name=name, data_type=1, dims=shape).SerializeToString() + header(9, size)
        heads.append(header(5, len(inner) + size) + inner)
    total = len(body) + sum(map(len, heads)) + sum(4 * math.prod(shape) for _, shape, _ in builder.weights)
    with path.open("wb") as stream:
        stream.write(model.SerializeToString() + header(7, total) + body)
        for head, (_, shape, deviation) in zip(heads, builder.weights, strict=True):
            stream.write(head)
            random_weights(stream, shape, deviation)


def header(number: int, size: int) -> bytes:
    """Tag and length of a length-delimited protobuf field."""
    out = bytearray([number << 3 | 2])
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(out) + bytes([size])


def random_weights(stream: BinaryIO, shape: tuple[int, ...], deviation: float = 0.0) -> None:
    """Positive values near one, so that any weight may be a variance too.

    With a deviation, values around zero; each slice along the first axis, an output channel, has a scale
    of its own, log-normal with a mean square of one.
    """
    generator = np.random.default_rng(0)
    left = math.prod(shape)
    row = left // shape[0]
    while left:
        count = min(left, max(1, CHUNK // row) * row if deviation else CHUNK)
        values = generator.standard_normal(count, dtype=np.float32)
        if deviation:
            scales = np.exp(SPREAD * generator.standard_normal(count // row) - SPREAD**2)
            values *= np.repeat((deviation * scales).astype(np.float32), row)
        else:
            values = 1 + 0.02 * values
        stream.write(values.tobytes())
        left -= count


MODELS: dict[str, Callable[[Path], None]] = {
    "resnet50": lambda path: write(resnet(), path),
    "bert_base": lambda path: write(transformer(768, 12, 128, 30522), path),
    "decoder_2gb": lambda path: write(transformer(1280, 22, 64, 50257), path),
    "decoder_2gb_external": lambda path: write(transformer(1280, 22, 64, 50257), path, external=True),
    "chain_12500": lambda path: write(chain(12_500), path),
    "chain_25000": lambda path: write(chain(25_000), path),
    "chain_50000": lambda path: write(chain(50_000), path),
}
WIDE = (292, 584, 1168, 2336)
CONVOLUTIONAL: dict[str, Callable[[Path], None]] = {
    "wide_resnet_2gb": lambda path: write(resnet(WIDE, trained=True), path),
    "wide_resnet_2gb_external": lambda path: write(resnet(WIDE, trained=True), path, external=True),
    "wide_vgg_2gb": lambda path: write(vgg(320), path),
}
"""For `benchmarks/equalize.py`: chains of three convolutions, most of them 1x1, and one chain of sixteen."""


def ensure(name: str, folder: Path) -> Path:
    """The path of a benchmark model, built on first use."""
    path = folder / f"{name}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.onnx.part"
        build = {**MODELS, **CONVOLUTIONAL}[name]
        if name.endswith("external"):
            build(path)
        else:
            build(part)
            part.replace(path)
    return path
