"""Equalizing odd weights: what has a shape, a type or numbers of its own is scaled rightly or left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from networks import Network, initializers, pair
from onnx import numpy_helper

from dlclint.analysis.cle.outcome import EqualizeOutcome
from dlclint.engine.equalize import Options, write_equalized

pytest.importorskip("onnxruntime")
EXTENDED = Options(extended=True)


def outcome(network: Network | onnx.ModelProto, folder: Path, options: Options = EXTENDED) -> EqualizeOutcome:
    path = folder / "m.onnx"
    onnx.save(network if isinstance(network, onnx.ModelProto) else network.model(), path)
    return write_equalized(path, folder / "o.onnx", options)


def only_reason(equalized: EqualizeOutcome) -> str:
    assert not equalized.changed
    (left,) = equalized.left_alone
    return left.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"w1": np.full((4, 2, 1, 1), np.nan)}, "its weight 'w1' holds NaN"),
        ({"w2": np.full((3, 4, 1, 1), np.inf)}, "its weight 'w2' holds NaN, infinity"),
        ({"w1": np.full((4, 2, 1, 1), 1e30)}, "numbers beyond 1e17"),
        ({"b1": np.array([np.nan, 0, 0, 0])}, "'b1' holds NaN"),
        ({"b1": np.zeros(3)}, "its bias 'b1' has not one value for each of 4 channels"),
        ({"w2": np.zeros((3, 5, 1, 1))}, "the first has 4 output channels, the second 5 input channels"),
        ({"w2": np.zeros((0, 4, 1, 1))}, "its weight 'w2' has shape [0, 4, 1, 1]"),
    ],
)
def test_odd_weights_are_left_alone(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    assert reason in only_reason(outcome(pair(**changes), tmp_path))


@pytest.mark.parametrize("group", [3, 0, -2, 1 << 40])
def test_groups_that_do_not_divide(tmp_path: Path, group: int) -> None:
    model = pair().model()
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("group", group))
    reason = f"the 4 channels of 'w1' do not divide into {group} groups"
    assert reason in only_reason(outcome(model, tmp_path))


@pytest.mark.parametrize(
    ("dims", "reason"),
    [
        ([1 << 40, 2, 1, 1], "its weight 'w1' cannot be read"),
        ([1 << 33, 1 << 33, 1, 1], "its weight 'w1' cannot be read"),
        ([5, 2, 1, 1], "its weight 'w1' cannot be read"),
        ([-4, 2, 1, 1], "its weight 'w1' has shape [-4, 2, 1, 1]"),
        ([8], "its weight 'w1' has shape [8]"),
        ([], "its weight 'w1' has shape []"),
    ],
)
@pytest.mark.parametrize("external", [False, True])
def test_a_declared_shape_proves_nothing(
    tmp_path: Path, dims: list[int], reason: str, external: bool
) -> None:
    model = pair().model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
    if external:
        (tmp_path / "w.data").write_bytes(weight.raw_data)
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="w.data")
    del weight.dims[:]
    weight.dims.extend(dims)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert reason in only_reason(write_equalized(path, tmp_path / "o.onnx", EXTENDED))


@pytest.mark.parametrize("field", ["float_data", "int32_data"])
def test_weights_that_are_not_stored_as_raw_bytes(tmp_path: Path, field: str) -> None:
    model = pair(dtype=np.float32 if field == "float_data" else np.float16).model()
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight).ravel()
        weight.ClearField("raw_data")
        getattr(weight, field).extend(values if field == "float_data" else values.view(np.uint16))
    equalized = outcome(model, tmp_path, Options(runs=2))
    assert (equalized.changed, equalized.left_alone) == (True, ())


def test_one_element_and_one_channel(tmp_path: Path) -> None:
    values = {name: np.full((1, 1, 1, 1), value) for name, value in (("w1", 2.0), ("w2", 8.0))}
    network = pair(**values, b1=np.ones(1), b2=np.ones(1))
    network.channels = 1
    equalized = outcome(network, tmp_path, Options(runs=2))
    assert equalized.changed
    assert [float(initializers(tmp_path / "o.onnx")[name].item()) for name in ("w1", "w2")] == [4.0, 4.0]


@pytest.mark.parametrize("sizes", [(1e-42, 1.0), (1.0, 1e-42), (1e-40, 1e-42), (1e16, 1e-16), (1e-18, 1e16)])
def test_weights_of_extreme_sizes(tmp_path: Path, sizes: tuple[float, float]) -> None:
    network = pair()
    for name, size in zip(("w1", "w2"), sizes, strict=True):
        network.values[name] = (network.values[name] * size).astype(np.float32)
    equalized = outcome(network, tmp_path)
    assert all(np.isfinite(tensor).all() for tensor in initializers(tmp_path / "o.onnx").values())
    figures = [getattr(row, field) for row in equalized.layers for field in row.__slots__]
    assert not any(isinstance(figure, float) and np.isnan(figure) for figure in figures)
    assert not write_equalized(tmp_path / "o.onnx", tmp_path / "p.onnx", EXTENDED).changed


@pytest.mark.parametrize("name", ["w1", "w2"])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_zero_and_constant_weights(tmp_path: Path, name: str, value: float) -> None:
    shape = {"w1": (4, 2, 1, 1), "w2": (3, 4, 1, 1)}[name]
    equalized = outcome(pair(**{name: np.full(shape, value)}), tmp_path)
    assert equalized.changed is (value != 0)
    assert all(np.isfinite(tensor).all() for tensor in initializers(tmp_path / "o.onnx").values())


def test_a_dead_channel_keeps_its_numbers(tmp_path: Path) -> None:
    network = pair()
    network.values["w1"][2] = 0.0
    outcome(network, tmp_path)
    after = initializers(tmp_path / "o.onnx")
    assert after["b1"][2] == network.values["b1"][2]
    assert np.array_equal(after["w2"][:, 2], network.values["w2"][:, 2])
    assert not np.array_equal(after["w2"][:, 1], network.values["w2"][:, 1])


def test_a_bias_that_would_overflow_keeps_its_channel(tmp_path: Path) -> None:
    network = pair(w1=np.full((4, 2, 1, 1), 1e-12), b1=np.array([3e38, 0, 0, 0]), w2=np.ones((3, 4, 1, 1)))
    equalized = outcome(network, tmp_path)
    after = initializers(tmp_path / "o.onnx")
    assert equalized.changed
    assert np.isfinite(after["b1"]).all()
    assert after["w1"][0, 0, 0, 0] == network.values["w1"][0, 0, 0, 0]
    assert after["w1"][1, 0, 0, 0] > 1e-7


def test_a_shared_weight_is_refused_with_a_word(tmp_path: Path) -> None:
    network = Network(4)
    network.value(np.random.default_rng(5).standard_normal((4, 4, 1, 1)), "w")
    network.add("Conv", "w").add("Relu").add("Conv", "w")
    assert "its weight 'w' is shared with another node" in only_reason(outcome(network, tmp_path))


def test_shared_vectors_are_parted(tmp_path: Path) -> None:
    """Exporters store equal vectors once: here beta and mean of the first, and both biases."""
    random = np.random.default_rng(6)
    network = Network(4)
    network.value(np.zeros(4), "zeros")
    weights = [
        network.value(random.standard_normal((4, 4, 1, 1)) * 10.0 ** random.integers(-2, 2, (4, 1, 1, 1)))
        for _ in range(2)
    ]
    ones = network.value(np.ones(4))
    network.add("Conv", weights[0], "zeros").add("BatchNormalization", ones, "zeros", "zeros", ones)
    network.add("Relu").add("Conv", weights[1], "zeros")
    equalized = outcome(network, tmp_path, Options(runs=3))
    assert equalized.changed
    assert np.array_equal(initializers(tmp_path / "o.onnx")["zeros"], np.zeros(4))


def test_weights_of_constant_nodes_and_behind_identity(tmp_path: Path) -> None:
    model = pair().model()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w1")
    model.graph.initializer.remove(weight)
    constant = onnx.helper.make_node("Constant", [], ["w1"], value=weight)
    model.graph.node.insert(0, onnx.helper.make_node("Identity", ["b1"], ["b1_read"]))
    model.graph.node.insert(0, constant)
    model.graph.node[2].input[2] = "b1_read"
    equalized = outcome(model, tmp_path, Options(runs=3))
    assert (equalized.changed, equalized.left_alone) == (True, ())
    after = onnx.load(tmp_path / "o.onnx")
    assert [node.op_type for node in after.graph.node] == ["Conv", "Relu", "Conv"]


def test_a_computed_weight_is_left_alone(tmp_path: Path) -> None:
    model = pair().model()
    model.graph.node.insert(0, onnx.helper.make_node("Sqrt", ["w1"], ["w1_root"]))
    model.graph.node[1].input[1] = "w1_root"
    assert "'w1_root' is not stored but computed by Sqrt" in only_reason(outcome(model, tmp_path))


def test_half_precision_is_scaled_by_powers_of_two(tmp_path: Path) -> None:
    for dtype in (np.float16, ml_dtypes.bfloat16):
        network = pair(dtype=dtype)
        assert outcome(network, tmp_path).changed
        after = initializers(tmp_path / "o.onnx")
        for name in ("w1", "b1", "w2"):
            ratio = np.abs(after[name].astype(np.float64) / network.values[name].astype(np.float64))
            assert np.array_equal(np.log2(ratio), np.rint(np.log2(ratio))), name
            assert after[name].dtype == dtype
        assert not write_equalized(tmp_path / "o.onnx", tmp_path / "p.onnx", EXTENDED).changed


def test_missing_external_data_leave_the_pair_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(pair().model(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "m.data").unlink()
    equalized = write_equalized(path, tmp_path / "o.onnx", EXTENDED)
    assert "'m.data' not found next to the model" in only_reason(equalized)


def test_external_data_stay_external(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(pair().model(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    data = (tmp_path / "m.data").read_bytes()
    equalized = write_equalized(path, tmp_path / "o.onnx", Options(runs=2))
    assert equalized.changed
    assert (tmp_path / "m.data").read_bytes() == data
    stored = {
        tensor.name: tensor
        for tensor in onnx.load(tmp_path / "o.onnx", load_external_data=False).graph.initializer
    }
    assert stored["b2"].data_location == onnx.TensorProto.EXTERNAL


def test_a_pair_inside_a_branch_of_if(tmp_path: Path) -> None:
    inner = pair().model().graph
    inner.node[0].input[0] = "x"
    del inner.input[:]
    inner.name = "then"
    other = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])], "else", [], list(inner.output),
        [numpy_helper.from_array(np.ones((3, 2, 1, 1), np.float32), "w")],
    )  # fmt: skip
    choice = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=other)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 2, 8, 8])
    c = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])
    graph = onnx.helper.make_graph([choice], "g", [x, c], list(inner.output))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    equalized = outcome(model, tmp_path, Options(runs=6))
    assert (equalized.changed, equalized.pairs) == (True, 1)
