"""Weights of recurrent ops: two with a row for each gate of each hidden unit, and one bias for both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.biases import bias_errors
from dlclint.cli.main import main
from dlclint.model.reading import read
from dlclint.target import DlcKind, Target

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
HIDDEN, INPUT, DIRECTIONS = 6, 5, 2


def save(path: Path, op: str) -> dict[str, np.ndarray]:
    """A bidirectional recurrent op, its weights returned."""
    generator = np.random.default_rng(4)
    rows = GATES[op] * HIDDEN
    shapes = {"w": (DIRECTIONS, rows, INPUT), "r": (DIRECTIONS, rows, HIDDEN), "b": (DIRECTIONS, 2 * rows)}
    tensors = {name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    tensors["w"][:, 0] *= 1000.0
    node = helper.make_node(op, ["x", *tensors], ["y"], hidden_size=HIDDEN, direction="bidirectional")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [7, 1, INPUT])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [7, DIRECTIONS, 1, HIDDEN])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return tensors


@pytest.mark.parametrize("op", GATES)
def test_each_row_of_both_weights_is_a_channel(op: str, tmp_path: Path) -> None:
    tensors = save(tmp_path / "m.onnx", op)
    view = ModelView(read(tmp_path / "m.onnx"), Target(kind=DlcKind(quantize=True)))
    weights = {weight.name: weight for weight in view.weights.converted()}
    assert weights.keys() == {"w", "r"}
    for name, weight in weights.items():
        np.testing.assert_allclose(weight.minimum, tensors[name].min(axis=(0, 2)))
        np.testing.assert_allclose(weight.maximum, tensors[name].max(axis=(0, 2)))
        np.testing.assert_allclose(
            weight.mean_square, np.square(tensors[name].astype(float)).mean(axis=(0, 2)), rtol=1e-5
        )
    (bias,) = bias_errors(view)
    np.testing.assert_array_equal(bias.values, tensors["b"].reshape(-1))
    assert (bias.output_steps, bias.accumulator_steps) == (None, None)


@pytest.mark.parametrize("op", GATES)
def test_a_plan_counts_them_and_gives_them_one_grid(
    op: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = save(tmp_path / "m.onnx", op)
    out = tmp_path / "o.json"
    options = ["--soc", "SM8650", "--format", "json", "--emit-overrides", str(out)]
    main(["plan", "--isolated", str(tmp_path / "m.onnx"), *options])
    plan = json.loads(capsys.readouterr().out)
    assert [(row["op"], row["weight"]) for row in plan["layers"]] == [(op, "w"), (op, "r")]
    assert plan["layers"][0]["per_channel_db"] > plan["layers"][0]["chosen_db"] + 20
    assert not plan["choice"]["per_row"] and not plan["choice"]["per_channel"]
    params = json.loads(out.read_text("utf-8"))["param_encodings"]
    assert {name: len(entries) for name, entries in params.items()} == {"w": 1, "r": 1}
    assert params["w"][0]["min"] == pytest.approx(tensors["w"].min(), rel=0.01)
