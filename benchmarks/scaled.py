"""ResNet-50-like and MobileNetV2-like models whose channels have very different scales, as after training.

Structure and sizes are those of the networks; the weights are seeded random numbers. Inside each block a
channel has its own scale (log-normal, so that the largest is some hundred times the smallest) that one
convolution applies and the next removes: the function is the same as with equal scales, the weights are not.
Batch normalization is kept, with means and variances that normalize.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Floats = npt.NDArray[np.float64]

SPREAD = 1.2
"""Standard deviation of a channel's scale, as a natural logarithm."""


class Net:
    """Nodes and weights of a network in the making."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; returns its output."""
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], f"/{output}", **attributes))
        return output

    def weight(self, values: Floats) -> str:
        """A float32 initializer."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def scales(self, channels: int) -> Floats:
        """The scale of each channel between two convolutions."""
        return np.exp(SPREAD * self.random.standard_normal(channels))

    def conv(
        self, x: str, input_scale: Floats, output_scale: Floats, kernel: int, stride: int = 1,
        depthwise: bool = False, relu: bool = True,
    ) -> str:  # fmt: skip
        """Conv, BatchNormalization and Relu, with a scale for each input and each output channel."""
        outputs, inputs = len(output_scale), len(input_scale)
        shape = (outputs, 1 if depthwise else inputs, kernel, kernel)
        weight = self.random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        weight /= input_scale[:, None, None, None] if depthwise else input_scale[None, :, None, None]
        deviation = np.exp(0.3 * self.random.standard_normal(outputs))
        output = self.add(
            "Conv",
            x,
            self.weight(weight * deviation[:, None, None, None]),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=outputs if depthwise else 1,
        )
        beta = 0.3 * self.random.standard_normal(outputs) * output_scale
        mean = 0.1 * self.random.standard_normal(outputs) * deviation
        norms = (output_scale, beta, mean, np.square(deviation))
        output = self.add("BatchNormalization", output, *map(self.weight, norms))
        return self.add("Relu", output) if relu else output

    def model(self, x: str, channels: int, size: int) -> onnx.ModelProto:
        """The network with a classifier on top of `x`."""
        x = self.add("Flatten", self.add("GlobalAveragePool", x))
        weight = self.random.standard_normal((1000, channels)) / np.sqrt(channels)
        result = self.add("Gemm", x, self.weight(weight), self.weight(np.zeros(1000)), transB=1)
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, [1, 1000])],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def resnet50(width: int = 64, depths: tuple[int, ...] = (3, 4, 6, 3), size: int = 224) -> onnx.ModelProto:
    """Bottleneck blocks; scales differ inside a block, and are equal on the skip connections."""
    net, even = Net(50), np.ones
    x = net.conv("image", even(3), even(width), 7, 2)
    x = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = width
    for stage, depth in enumerate(depths):
        inner = width << stage
        for index in range(depth):
            stride = 2 if stage and not index else 1
            first, second = net.scales(inner), net.scales(inner)
            output = net.conv(x, even(channels), first, 1)
            output = net.conv(output, first, second, 3, stride)
            output = net.conv(output, second, 0.2 * even(4 * inner), 1, relu=False)
            if not index:
                x = net.conv(x, even(channels), even(4 * inner), 1, stride, relu=False)
            x, channels = net.add("Relu", net.add("Add", output, x)), 4 * inner
    return net.model(x, channels, size)


def mobilenet_v2(width: float = 1.0, size: int = 224) -> onnx.ModelProto:
    """Inverted residual blocks, with Relu instead of ReLU6 (as after the quantizer's equalization)."""
    settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    net, even = Net(2), np.ones
    channels = int(32 * width)
    x = net.conv("image", even(3), even(channels), 3, 2)
    for expansion, outputs, repeats, stride in settings:
        outputs = int(outputs * width)
        for index in range(repeats):
            hidden = channels * expansion
            first, second = net.scales(hidden), net.scales(hidden)
            if expansion == 1:
                output, first = x, even(hidden)
            else:
                output = net.conv(x, even(channels), first, 1)
            output = net.conv(output, first, second, 3, 1 if index else stride, depthwise=True)
            output = net.conv(output, second, even(outputs), 1, relu=False)
            x = net.add("Add", output, x) if index else output
            channels = outputs
    last = int(1280 * max(1.0, width))
    return net.model(net.conv(x, even(channels), even(last), 1), last, size)


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {"resnet50": resnet50, "mobilenet_v2": mobilenet_v2}


def ensure(name: str, folder: Path) -> Path:
    """The path of a model, built on first use."""
    path = folder / f"{name}_scaled.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # In a separate process: what this one holds counts as memory of its children.
        subprocess.run([sys.executable, __file__, name, str(path)], check=True)
    return path


if __name__ == "__main__":
    part = Path(sys.argv[2]).with_suffix(".part")
    part.write_bytes(MODELS[sys.argv[1]]().SerializeToString())
    part.replace(sys.argv[2])
