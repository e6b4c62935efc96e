"""Models to serve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx


def layered(path: Path, layers: int = 12, size: int = 200, external: bool = False) -> Path:
    """A chain of MatMul and Add, with weights far larger than the structure."""
    nodes, weights, x = [], [], "x"
    random = np.random.default_rng(0)
    for index in range(layers):
        for op, shape in (("MatMul", (size, size)), ("Add", (size,))):
            name = f"layer.{index}.{op}"
            weights.append(onnx.numpy_helper.from_array(random.standard_normal(shape, np.float32), name))
            nodes.append(onnx.helper.make_node(op, [x, name], [f"{name}_out"], name))
            x = f"{name}_out"
    graph = onnx.helper.make_graph(
        nodes,
        "layered",
        [onnx.helper.make_tensor_value_info("x", 1, [1, size])],
        [onnx.helper.make_tensor_value_info(x, 1, [1, size])],
        weights,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    model.ir_version = 8
    options = {"save_as_external_data": True, "location": f"{path.name}.data"} if external else {}
    onnx.save(model, path, **options)
    return path
