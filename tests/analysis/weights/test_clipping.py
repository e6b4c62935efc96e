"""The best clipped grid is the one that trying them all finds, and its SQNR is the measured one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from dlclint.analysis.roles import WeightUse
from dlclint.analysis.weights import clipping, statistics
from dlclint.analysis.weights.clipping import ClippedGrid, best_clipping
from dlclint.analysis.weights.noise import decibels
from dlclint.analysis.weights.statistics import measure
from dlclint.analysis.weights.store import ConvertedWeight
from dlclint.encodings import grid
from dlclint.model.graph import Node
from dlclint.model.tensors import Array, Tensor

NO_NODE: Node = None  # type: ignore[assignment]


def weight_of(array: Array, factors: Array | None = None) -> ConvertedWeight:
    proto = numpy_helper.from_array(array, "w")
    tensor = Tensor("w", proto.data_type, tuple(proto.dims), proto, Path("nowhere"))
    tensor_statistics = measure(tensor, [0])
    channels = tensor_statistics.channels[0]
    by = np.ones(len(array)) if factors is None else factors
    ends = np.sort(np.stack([channels.minimum * by, channels.maximum * by]), axis=0)
    mean_square = channels.square_sum / channels.values * by**2
    use = WeightUse(NO_NODE, tensor, False, 0)
    return ConvertedWeight(
        "w", use, 1, tensor_statistics, channels.values, ends[0], ends[1], mean_square, factors
    )


def measured(array: Array, low: float, high: float, bits: int) -> float:
    wide = array.astype(np.float64)
    encoding = grid.fit(low, high, bits)
    error = wide - grid.dequantize(grid.quantize(wide, encoding), encoding)
    return float(decibels(np.square(wide).mean(), np.square(error).mean()))


def tailed(seed: int, size: int, outliers: int, far: float) -> Array:
    generator = np.random.default_rng(seed)
    array = generator.normal(0, 0.1, size)
    array[generator.choice(size, outliers, False)] *= far
    return array.astype(np.float32).reshape(8, -1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.floats(1, 60), st.sampled_from([4, 8]))
def test_gain_is_measured(seed: int, outliers: int, far: float, bits: int) -> None:
    array = tailed(seed, 1 << 15, outliers, far)
    weight = weight_of(array)
    clipped_grid = best_clipping(weight, bits, 3.0)
    if clipped_grid is None:
        return
    full = measured(array, weight.low, weight.high, bits)
    clipped = measured(array, clipped_grid.low, clipped_grid.high, bits)
    assert clipped_grid.full_sqnr == pytest.approx(full, abs=0.3)
    assert clipped_grid.clipped_sqnr == pytest.approx(clipped, abs=0.3)
    assert clipped_grid.outside == np.count_nonzero((array < clipped_grid.low) | (array > clipped_grid.high))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.floats(1, 100), st.sampled_from([4, 8]))
def test_sample_passes_over_nothing(seed: int, outliers: int, far: float, bits: int) -> None:
    array = tailed(seed, 1 << 17, outliers, far)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clipping, "_settled", lambda *_: False)
        exact = best_clipping(weight_of(array), bits, 6.02)
    assert best_clipping(weight_of(array), bits, 6.02) == exact


def test_normal_weights_are_settled_without_a_second_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = weight_of(tailed(1, 1 << 20, 0, 1.0))

    def fail(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(clipping, "_tail", fail)
    assert best_clipping(weight, 8, 6.02) is None


def test_folding_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "PIECE", 1000)
    array = tailed(3, 1 << 15, 1, 60.0)
    factors = np.linspace(-2.0, 3.0, 8)
    folded = (array * factors[:, None]).astype(np.float32)
    direct, through = (best_clipping(w, 4, 3.0) for w in (weight_of(folded), weight_of(array, factors)))
    assert isinstance(direct, ClippedGrid) and isinstance(through, ClippedGrid)
    assert replace(through, outside=0) == pytest.approx(replace(direct, outside=0)) or (
        through.gain == pytest.approx(direct.gain, abs=0.01) and through.outside == direct.outside
    )
