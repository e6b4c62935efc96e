"""The checker's complaints are about the model, not about what was left in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from dlclint.model.reading import read


def test_weights_left_in_the_file_are_not_called_incomplete(tmp_path: Path) -> None:
    """A complaint about the model makes the nodes be checked one by one, with their values emptied too."""
    weight = numpy_helper.from_array(np.ones((64, 3, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["w"], value=weight),
            helper.make_node("Conv", ["x", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert read(path).complaints == ("Field 'shape' of 'type' is required but missing.",)
