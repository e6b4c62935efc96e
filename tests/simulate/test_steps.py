"""Networks: what runs step by step is what the whole model computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, save
from simulated_networks import evaluator_of, inputs, saved, small_conv

from dlclint.simulate.assigning import Settings, assign, fused, leaders
from dlclint.simulate.inputs.samples import Samples
from dlclint.simulate.network import CannotSimulate
from dlclint.simulate.reference import observe
from dlclint.simulate.running import CannotRun


def whole(path: Path, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def test_steps_compute_what_the_model_computes(tmp_path: Path) -> None:
    path = small_conv(tmp_path)
    evaluator = evaluator_of(path)
    assert [step.op for step in evaluator.network.steps].count("BatchNormalization") == 0
    feed = inputs(path)
    outputs = evaluator.run(feed, None)
    assert outputs["y"] == pytest.approx(whole(path, feed)["y"], rel=1e-4, abs=1e-5)


def test_what_follows_from_constants_and_shapes_is_not_a_step(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        """g (float[1,4] x) => (float[1,2,2] y) <float two = {2}, int64[1] one = {1}> {
          s = Shape(x) n = ReduceProd<keepdims=0>(s) h = Constant<value_int=2>() m = Div(n, h)
          k = Concat<axis=0>(one, o, o) a = Add(two, two) p = Mul(x, a) y = Reshape(p, k)
          o = Unsqueeze(m, zero) }""".replace("k = Concat", "o = Unsqueeze(m, zero) k = Concat").replace(
            " o = Unsqueeze(m, zero) }", " }"
        ),
        {"zero": np.zeros(1, np.int64)},
    )
    evaluator = evaluator_of(path)
    assert [step.op for step in evaluator.network.steps] == ["Mul", "Reshape"]
    feed = inputs(path)
    assert evaluator.run(feed, None)["y"] == pytest.approx(whole(path, feed)["y"])


def test_bodies_see_the_graph_around_them(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["inner"])], "then", [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [3])],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [3.0])],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["same"])], "else", [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, [3])],
    )  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=other)], "g",
        [helper.make_tensor_value_info("c", TensorProto.BOOL, []),
         helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    feed = {"c": np.array(True), "x": np.ones(3, np.float32)}
    assert evaluator_of(path).run(feed, None)["y"].tolist() == [3.0, 3.0, 3.0]


def test_data_movement_and_clipping_share_a_grid(tmp_path: Path) -> None:
    evaluator = evaluator_of(small_conv(tmp_path))
    shared = leaders(evaluator.network)
    assert shared == {"n": "r", "m": "r", "f": "g"}
    assert fused(evaluator.network) == {"n": "r"}
    samples = Samples("", (lambda: inputs(tmp_path / "m.onnx"),))
    scheme = assign(evaluator.network, observe(evaluator, samples, False), Settings(), shared)
    assert scheme.activations["n"] is scheme.activations["r"] is scheme.activations["m"]
    assert set(scheme.params) == {"w1", "w2", "w3"}
    assert scheme.activations["r"].zero == 0


def test_a_step_that_does_not_run_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, "g (float[2,3] a, float[4,5] b) => (float[2,5] y) { y = MatMul(a, b) }")
    evaluator = evaluator_of(path)
    with pytest.raises(CannotRun, match=r"^MatMul y does not run: "):
        evaluator.run(inputs(path), None)


def test_a_tensor_from_nowhere_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, "g (float[2] a) => (float[2] y) { y = Add(a, ghost) }")
    with pytest.raises(CannotSimulate, match="'ghost' comes from nowhere"):
        evaluator_of(path)
