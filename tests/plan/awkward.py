"""Networks that an override file or a plan must get right: every kind of weight, uneven channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def awkward(path: Path) -> Path:
    """Grouped, depthwise, transposed, shared, folded, half-width, zero, constant and broken weights."""
    generator = np.random.default_rng(3)
    weights: dict[str, np.ndarray] = {}

    def weight(name: str, *shape: int, dtype: type = np.float32, scale: float = 0.2) -> str:
        weights[name] = (scale * generator.normal(size=shape)).astype(dtype)
        return name

    def vector(name: str, value: float = 1.0) -> str:
        weights[name] = np.full(8, value, np.float32)
        return name

    norm = [vector("gamma", -2.0), vector("beta"), vector("mean", 0.5), vector("var", 4.0)]
    weight("grouped", 8, 4, 3, 3)
    weights["grouped"][3] = 0.0
    weight("depthwise", 8, 1, 3, 3)
    weights["depthwise"][2] *= 1e-6
    weight("one", 1, 8, 1, 1)
    weights["constant"] = np.full((8, 1, 1, 1), 0.5, np.float32)
    weights["zero"] = np.zeros((8, 8, 1, 1), np.float32)
    weight("broken", 8, 8, 1, 1)
    weights["broken"][0, 0] = np.nan
    weights["target"] = np.array([0, -1], np.int64)
    node = helper.make_node
    nodes = [
        node("Conv", ["x", weight("shared", 8, 8, 3, 3), vector("bias")], ["a"], pads=[1] * 4),
        node("BatchNormalization", ["a", *norm], ["b"]),
        node("Relu", ["b"], ["c"]),
        node("Conv", ["c", "shared"], ["d"], pads=[1] * 4),
        node("Conv", ["d", "grouped"], ["e"], pads=[1] * 4, group=2),
        node("BatchNormalization", ["e", *norm], ["f"]),
        node("Conv", ["f", "depthwise"], ["g"], pads=[1] * 4, group=8),
        node("ConvTranspose", ["g", weight("up", 8, 8, 3, 3)], ["h"], pads=[1] * 4),
        node("Conv", ["h", "one"], ["i"]),
        node("Conv", ["i", "constant"], ["j"]),
        node("Conv", ["j", "zero"], ["k"]),
        node("Conv", ["k", "broken"], ["l"]),
        node("Reshape", ["l", "target"], ["m"]),
        node("Gemm", ["m", weight("gemm", 16, 128), "gemm_bias"], ["n"], transB=1),
        node("MatMul", ["n", weight("matrix", 16, 4)], ["o"]),
        node("Sigmoid", ["o"], ["y"]),
        node("Cast", ["o"], ["p"], to=TensorProto.FLOAT16),
        node("MatMul", ["p", weight("half", 4, 4, dtype=np.float16)], ["z"]),
    ]
    weights["gemm_bias"] = np.zeros(16, np.float32)
    graph = helper.make_graph(
        nodes,
        "awkward",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 4, 4])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT16, ["n", 4]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def save(
    name: str, nodes: list[onnx.NodeProto], shapes: dict[str, list[int]], weights: dict[str, np.ndarray]
) -> str:
    """A model from the first name of `shapes` to the others."""
    kinds = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes.items()]
    tensors = [numpy_helper.from_array(array, n) for n, array in weights.items()]
    graph = helper.make_graph(nodes, "g", kinds[:1], kinds[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), name)
    return name


def uneven(wide: int, name: str = "uneven.onnx") -> str:
    """Twelve normalized tensors, of which `wide` have one channel a thousand times the others'."""
    weights = {name: np.full(256, value, np.float32) for name, value in (("zero", 0.0), ("one", 1.0))}
    weights["uneven"] = np.array([1000.0, *[1.0] * 255], np.float32)
    nodes = [
        helper.make_node(
            "BatchNormalization", ["x", "uneven" if i < wide else "one", "zero", "zero", "one"], [f"n{i}"]
        )
        for i in range(12)
    ]
    return save(name, nodes, {name: [1, 256, 4, 4] for name in ("x", *(f"n{i}" for i in range(12)))}, weights)
