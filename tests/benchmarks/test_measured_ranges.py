"""The comparison of estimated with measured ranges says what it should of a model that is easily computed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dlclint.analysis.activations.estimate import Basis

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
from ranges import judge


def test_estimates_compared_with_measurements(tmp_path: Path) -> None:
    weights = {
        "w": np.eye(32, dtype=np.float32),
        "table": np.linspace(-1, 1, 32, dtype=np.float32).reshape(16, 2),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["y"]),
        helper.make_node("Gather", ["table", "ids"], ["g"]),
        helper.make_node("Mul", ["g", "g"], ["z"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 32]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, [50]),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "yz"]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    total, known, rows = judge(path, 3, moments=False)
    assert (total, known) == (3, 2)
    assert rows.keys() == {Basis.BOUND, Basis.PROPAGATED}
    total, known, rows = judge(path, 3, moments=True)
    assert (total, known) == (3, 3)
    ((ratio, share),) = rows[Basis.STATED]
    # 96 normal values reach about two and a half deviations either side; the range is put at six.
    assert 1.7 < ratio < 3.5 and share == 1.0
