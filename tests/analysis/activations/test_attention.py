"""Estimates through attention, tables, biases after Identity, and from statistics of the inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlclint.analysis.activations.estimate import Basis
from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.model.tensors import Array
from dlclint.target import Target

WIDTH, TOKENS = 64, 40
GENERATOR = np.random.default_rng(11)


def save(
    path: Path, nodes: list[onnx.NodeProto], weights: dict[str, Array], inputs: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    """A model whose outputs are those of all nodes."""
    outputs = [onnx.ValueInfoProto(name=node.output[0]) for node in nodes]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return model


def transformer(path: Path) -> tuple[onnx.ModelProto, list[str]]:
    """Token table, layer normalization, one head of attention, residual, root mean square normalization."""
    node = helper.make_node
    square = lambda: GENERATOR.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32)  # noqa: E731
    weights = {
        "table": GENERATOR.normal(0, 0.02, (100, WIDTH)).astype(np.float32),
        "gamma": np.ones(WIDTH, np.float32),
        "beta": np.zeros(WIDTH, np.float32),
        "bias": GENERATOR.normal(0, 0.1, WIDTH).astype(np.float32),
        **{f"w{name}": square() for name in "qkvo"},
        "root": np.array(WIDTH**0.5, np.float32),
        "two": np.array(2.0, np.float32),
        "eps": np.array(1e-6, np.float32),
    }
    nodes = [
        node("Gather", ["table", "ids"], ["embedded"]),
        node("LayerNormalization", ["embedded", "gamma", "beta"], ["normed"]),
        # Exporters share equal biases through Identity.
        node("Identity", ["bias"], ["shared"]),
        node("MatMul", ["normed", "wq"], ["q_product"]),
        node("Add", ["shared", "q_product"], ["q"]),
        node("MatMul", ["normed", "wk"], ["k"]),
        node("Transpose", ["k"], ["k_turned"], perm=[0, 2, 1]),
        node("MatMul", ["q", "k_turned"], ["scores"]),
        node("Div", ["scores", "root"], ["scaled"]),
        node("Softmax", ["scaled"], ["shares"], axis=-1),
        node("MatMul", ["normed", "wv"], ["v"]),
        node("MatMul", ["shares", "v"], ["mixed"]),
        node("MatMul", ["mixed", "wo"], ["projected"]),
        node("Add", ["projected", "normed"], ["residual"]),
        node("Pow", ["residual", "two"], ["squares"]),
        node("ReduceMean", ["squares"], ["mean"], axes=[-1], keepdims=1),
        node("Add", ["mean", "eps"], ["lifted"]),
        node("Sqrt", ["lifted"], ["rms"]),
        node("Div", ["residual", "rms"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, TOKENS])]
    estimated = ["embedded", "normed", "q_product", "q", "k", "scores", "scaled", "shares", "v", "mixed"]
    return save(path, nodes, weights, inputs), [*estimated, "projected", "residual", "y"]


def test_attention(tmp_path: Path) -> None:
    model, names = transformer(tmp_path / "m.onnx")
    activations = ModelView(read(tmp_path / "m.onnx"), Target()).activations
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ids = GENERATOR.integers(0, 100, (1, TOKENS))
    measured = dict(zip(names, session.run(names, {"ids": ids}), strict=True))
    for name in names:
        values, estimate = measured[name], activations[name]
        inside = np.mean((values >= estimate.minimum) & (values <= estimate.maximum))
        assert inside == 1.0, name
        if name not in ("shares", "mixed", "projected", "residual"):  # an average is taken for too wide
            assert (estimate.maximum - estimate.minimum) / np.ptp(values) < 3.0, name
            square = np.square(values, dtype=np.float64).mean()
            assert estimate.mean_square == pytest.approx(square, rel=0.5), name
    assert activations["embedded"].basis is Basis.BOUND
    assert activations["y"].basis is Basis.NORMALIZATION
    assert activations["mixed"].maximum <= activations["v"].maximum


@pytest.mark.parametrize(("axis", "shares"), [(-1, True), (2, True), (1, False)])
def test_only_the_last_axis_of_softmax_makes_shares(axis: int, shares: bool, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["p"], axis=axis),
        helper.make_node("Tanh", ["x"], ["v"]),
        helper.make_node("MatMul", ["p", "v"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5, 5])]
    save(tmp_path / "m.onnx", nodes, {}, inputs)
    activations = ModelView(read(tmp_path / "m.onnx"), Target()).activations
    assert ("y" in activations) == shares
    if shares:
        assert (activations["y"].minimum, activations["y"].maximum, activations["y"].known) == (
            -1.0,
            1.0,
            False,
        )


@pytest.mark.parametrize("deviation", [0.5, 2.0])
def test_from_the_inputs_on(deviation: float, tmp_path: Path) -> None:
    channels = 24
    weights = {
        f"w{i}": GENERATOR.normal(0.02, 0.1, (channels, channels, 3, 3)).astype(np.float32) for i in range(3)
    }
    nodes = []
    for i in range(3):
        nodes.append(helper.make_node("Conv", [f"r{i - 1}" if i else "x", f"w{i}"], [f"c{i}"], pads=[0] * 4))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 24, 24])]
    model = save(tmp_path / "m.onnx", nodes, weights, inputs)
    assert not ModelView(read(tmp_path / "m.onnx"), Target()).activations
    said = Target(input_moments=(("x", 0.3, deviation),))
    activations = ModelView(read(tmp_path / "m.onnx"), said).activations
    names = [node.output[0] for node in nodes]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = GENERATOR.normal(0.3, deviation, (1, channels, 24, 24)).astype(np.float32)
    for name, values in zip(names, session.run(names, {"x": x}), strict=True):
        estimate = activations[name]
        assert estimate.basis is Basis.STATED
        inside = np.mean((values >= estimate.minimum) & (values <= estimate.maximum))
        assert inside >= 0.999, name
        assert estimate.mean_square == pytest.approx(np.square(values.astype(float)).mean(), rel=0.35), name
