"""Streamed statistics equal those of numpy on the whole array, however the pieces fall."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dlclint.analysis.weights import statistics
from dlclint.analysis.weights.statistics import measure
from dlclint.analysis.weights.store import Weights
from dlclint.model.reading import read
from dlclint.model.tensors import Array, Tensor

DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)
SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=4)
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, 1e-38, 3e38)


def stored(array: Array) -> Tensor:
    proto = numpy_helper.from_array(array, "w")
    return Tensor("w", proto.data_type, tuple(proto.dims), proto, Path("nowhere"))


@settings(deadline=None)
@given(SHAPES, st.sampled_from(DTYPES), st.integers(1, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_equals_numpy(shape: list[int], dtype: type, piece: int, seed: int, odd: bool) -> None:
    generator = np.random.default_rng(seed)
    array = generator.normal(0.1, 2.0, shape).astype(dtype)
    if odd:
        places = generator.integers(0, array.size, 3)
        with np.errstate(over="ignore"):
            array.reshape(-1)[places] = generator.choice(SPECIAL, 3).astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "PIECE", piece)
        tensor_statistics = measure(stored(array), range(array.ndim))
    wide = array.astype(np.float64)
    assert (tensor_statistics.count, tensor_statistics.nan) == (array.size, np.count_nonzero(np.isnan(wide)))
    assert tensor_statistics.infinite == np.count_nonzero(np.isinf(wide))
    tame = np.nan_to_num(wide, nan=0.0, posinf=0.0, neginf=0.0)
    assert (tensor_statistics.minimum, tensor_statistics.maximum) == (tame.min(), tame.max())
    assert tensor_statistics.square_sum == pytest.approx(np.square(tame).sum(), rel=1e-5, abs=1e-30)
    assert set(tensor_statistics.channels) == set(range(array.ndim))
    scale = max(1.0, float(np.abs(tame).max()))
    for axis, channels in tensor_statistics.channels.items():
        others = tuple(other for other in range(array.ndim) if other != axis)
        np.testing.assert_array_equal(channels.minimum, tame.min(axis=others))
        np.testing.assert_array_equal(channels.maximum, tame.max(axis=others))
        np.testing.assert_allclose(
            channels.square_sum, np.square(tame).sum(axis=others), rtol=1e-5, atol=1e-30
        )
        np.testing.assert_allclose(channels.sum, tame.sum(axis=others), rtol=1e-4, atol=1e-3 * scale)
        assert channels.values * shape[axis] == array.size


def test_sample_is_even_and_small() -> None:
    array = np.arange(300 * 640, dtype=np.float32).reshape(300, 640)
    tensor_statistics = measure(stored(array))
    assert 0.9 * statistics.SAMPLE < len(tensor_statistics.sample) <= 1.1 * statistics.SAMPLE
    np.testing.assert_array_equal(tensor_statistics.sample, array.reshape(-1)[:: tensor_statistics.stride])
    assert len(np.unique(tensor_statistics.sample % 640)) > 600
    small = array[:2]
    np.testing.assert_array_equal(measure(stored(small)).sample, small.reshape(-1))


@pytest.mark.parametrize("values", [[], [5.0], [0.0, 0.0], [np.nan], [np.inf, -np.inf]])
def test_next_to_nothing(values: list[float]) -> None:
    tensor_statistics = measure(stored(np.array(values, np.float32)), [0])
    finite = [value for value in values if np.isfinite(value)]
    assert tensor_statistics.finite == len(finite)
    assert (tensor_statistics.minimum, tensor_statistics.maximum) == (
        min(finite, default=0.0),
        max(finite, default=0.0),
    )


def model_of(path: Path, *nodes: onnx.NodeProto, **weights: Array) -> Weights:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return Weights(read(path))


def test_batch_normalization_is_folded(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    weight = generator.normal(size=(4, 2, 3, 3)).astype(np.float32)
    gamma = np.array([1.0, -2.0, 0.5, 0.0], np.float32)
    spread = np.array([1.0, 4.0, 0.25, 9.0], np.float32)
    weights = model_of(
        tmp_path / "m.onnx",
        helper.make_node("Conv", ["x", "w"], ["c"], group=2),
        helper.make_node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["y"], epsilon=0.0),
        w=weight,
        gamma=gamma,
        beta=gamma,
        mean=gamma,
        var=spread,
    )
    (converted_weight,) = weights.converted()
    folded = weight * (gamma / np.sqrt(spread)).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(converted_weight.minimum, folded.min(axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(converted_weight.maximum, folded.max(axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(
        converted_weight.mean_square, np.square(folded).mean(axis=(1, 2, 3)), rtol=1e-5
    )


def test_axis_of_each_op(tmp_path: Path) -> None:
    square = np.diag([1.0, 2.0, 3.0]).astype(np.float32)
    tall = square[:, :, None, None]
    weights = model_of(
        tmp_path / "m.onnx",
        helper.make_node("Conv", ["x", "conv"], ["a"]),
        helper.make_node("ConvTranspose", ["a", "up"], ["b"]),
        helper.make_node("Gemm", ["b", "gemm"], ["c"]),
        helper.make_node("Gemm", ["c", "turned"], ["d"], transB=1),
        helper.make_node("MatMul", ["d", "shared"], ["e"]),
        helper.make_node("MatMul", ["shared", "e"], ["f"]),
        conv=tall,
        up=tall,
        gemm=square[:, :2],
        turned=square[:2],
        shared=square[:, ::-1].copy(),
    )
    rows = [(w.name, w.maximum.tolist(), w.uses) for w in weights.converted()]
    assert rows == [
        ("conv", [1.0, 2.0, 3.0], 1),
        ("up", [1.0, 2.0, 3.0], 1),
        ("gemm", [1.0, 2.0], 1),
        ("turned", [1.0, 2.0], 1),
        ("shared", [3.0, 2.0, 1.0], 2),
        ("shared", [1.0, 2.0, 3.0], 2),
    ]


def test_every_tensor_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def counting(tensor: Tensor, *rest: object) -> statistics.TensorStatistics:
        reads.append(tensor.name)
        return measure(tensor, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("dlclint.analysis.weights.store.measure", counting)
    square = np.eye(3, dtype=np.float32)
    weights = model_of(
        tmp_path / "m.onnx",
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("MatMul", ["w", "a"], ["b"]),
        w=square,
    )
    assert reads == []
    for _ in range(2):
        assert len(list(weights.converted())) == 2
        assert weights.statistics(weights.model.graph, "w") is not None
    assert reads == ["w"]
