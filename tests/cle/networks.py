"""Small convolutional networks with weights of any scale, for tests of equalization."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]


@dataclass
class Network:
    """Nodes and initializers in the making; `x` is the input, the last output is `y`."""

    channels: int
    size: int = 8
    dtype: Any = np.float32
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    values: dict[str, Array] = field(default_factory=dict)
    last: str = "x"

    def add(self, op: str, *more: str, **attributes: Any) -> Network:
        """Append a node that reads the last output first."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, [self.last, *more], [output], f"{op}_{len(self.nodes)}", **attributes)
        )
        self.last = output
        return self

    def value(self, values: Array, name: str = "") -> str:
        """Add an initializer."""
        name = name or f"v{len(self.values)}"
        self.values[name] = values.astype(self.dtype)
        return name

    def conv(
        self,
        random: np.random.Generator,
        outputs: int,
        inputs: int,
        kernel: int = 1,
        group: int = 1,
        spread: float = 0.0,
        bias: bool = False,
        norm: bool = False,
        transposed: bool = False,
        **attributes: Any,
    ) -> Network:
        """A convolution whose output and input channels differ in scale by exp(+-3 spread) or so."""
        weight = random.standard_normal((outputs, inputs // group, kernel, kernel))
        weight *= np.exp(spread * random.standard_normal((outputs, 1, 1, 1)))
        weight *= np.exp(spread * random.standard_normal((1, inputs // group, 1, 1)))
        if transposed:
            weight = random.standard_normal((inputs, outputs // group, kernel, kernel)) * np.exp(
                spread * random.standard_normal((inputs, 1, 1, 1))
            )
        names = [self.value(weight)]
        if bias:
            names.append(self.value(random.standard_normal(outputs)))
        if group > 1:
            attributes["group"] = group
        self.add("ConvTranspose" if transposed else "Conv", *names, **attributes)
        return self.norm(random, outputs, spread) if norm else self

    def norm(self, random: np.random.Generator, channels: int, spread: float = 0.0) -> Network:
        """A batch normalization with gammas of either sign."""
        gamma = np.exp(spread * random.standard_normal(channels)) * random.choice([-1.0, 1.0], channels)
        parts = [gamma, random.standard_normal(channels), random.standard_normal(channels)]
        parts.append(np.exp(random.standard_normal(channels)))
        return self.add("BatchNormalization", *map(self.value, parts))

    def model(self) -> onnx.ModelProto:
        """The model, opset 17."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", kind, [1, self.channels, self.size, self.size])],
            [helper.make_tensor_value_info("y", kind, [None] * 4)],
            [numpy_helper.from_array(value, name) for name, value in self.values.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def save(self, folder: Path, name: str = "m.onnx") -> Path:
        """Write the model."""
        path = folder / name
        onnx.save(self.model(), path)
        return path


def initializers(path: Path) -> dict[str, Array]:
    """Every initializer of a model by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def run(path: Path, feed: Array) -> Array:
    """The first output."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    result: Array = session.run(None, {"x": feed})[0]
    return result


def relative(one: Array, other: Array) -> float:
    """Largest difference as a part of the largest magnitude."""
    return float(np.abs(one - other).max() / np.abs(one).max())


def pair(**changes: Any) -> Network:
    """Conv-Relu-Conv with biases; `changes` puts other values under the names w1, b1, w2, b2."""
    random = np.random.default_rng(4)
    values = {
        "w1": random.standard_normal((4, 2, 1, 1)) * np.exp(2 * random.standard_normal((4, 1, 1, 1))),
        "b1": random.standard_normal(4),
        "w2": random.standard_normal((3, 4, 1, 1)),
        "b2": random.standard_normal(3),
    }
    network = Network(2, dtype=changes.pop("dtype", np.float32))
    for name, value in {**values, **changes}.items():
        network.value(np.asarray(value), name)
    return network.add("Conv", "w1", "b1").add("Relu").add("Conv", "w2", "b2")
