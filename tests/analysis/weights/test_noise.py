"""The predicted quantization noise agrees with quantizing and dequantizing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from dlclint.analysis.roles import WeightUse
from dlclint.analysis.weights.noise import channel_sqnr, decibels, per_channel_scale, per_tensor_scale, sqnr
from dlclint.analysis.weights.statistics import measure
from dlclint.analysis.weights.store import ConvertedWeight
from dlclint.encodings import grid
from dlclint.model.tensors import Array, Tensor

DRAWS = {
    "normal": lambda g, shape: g.normal(size=shape),
    "uniform": lambda g, shape: g.uniform(-1, 1, shape),
    "laplace": lambda g, shape: g.laplace(size=shape),
    "one-sided": lambda g, shape: g.gamma(2.0, size=shape),
}


def weight_of(array: Array) -> ConvertedWeight:
    proto = numpy_helper.from_array(array, "w")
    tensor = Tensor("w", proto.data_type, tuple(proto.dims), proto, Path("nowhere"))
    statistics = measure(tensor, [0])
    channels = statistics.channels[0]
    use = WeightUse(None, tensor, False, 0)  # type: ignore[arg-type]
    mean_square = channels.square_sum / channels.values
    return ConvertedWeight(
        "w", use, 1, statistics, channels.values, channels.minimum, channels.maximum, mean_square, None
    )


def measured(array: Array, encoding: grid.Encoding) -> float:
    wide = array.astype(np.float64)
    error = wide - grid.dequantize(grid.quantize(wide, encoding), encoding)
    return float(decibels(np.square(wide).mean(), np.square(error).mean()))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(DRAWS)),
    st.integers(1, 12),
    st.integers(1000, 4000),
    st.sampled_from([4, 8, 16]),
    st.floats(0.0, 2.0),
    st.integers(0, 2**32 - 1),
)
def test_predicted_is_measured(
    draw: str, channels: int, values: int, bits: int, unequal: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    spread = 10.0 ** generator.uniform(-unequal, 0, (channels, 1))
    array = (0.3 * spread * DRAWS[draw](generator, (channels, values))).astype(np.float32)
    weight = weight_of(array)
    whole = grid.fit(weight.low, weight.high, bits)
    each = grid.fit_symmetric(weight.minimum[:, None], weight.maximum[:, None], bits)
    # Measured is a mean of at least 1000 squares, whose own deviation is 0.12 dB. With 4 bits the
    # deviation of a small channel may be near a third of a step, where neither s^2/12 nor the mean
    # square is right: 1.1 dB is the largest difference of 1500 draws.
    tolerance = 1.5 if bits == 4 else 0.7
    assert abs(sqnr(weight, per_tensor_scale(weight, bits)) - measured(array, whole)) < tolerance
    assert abs(sqnr(weight, per_channel_scale(weight, bits)) - measured(array, each)) < tolerance
    by_channel = np.mean([measured(row, one) for row, one in zip(array, rows_of(each), strict=True)])
    assert abs(channel_sqnr(weight, per_channel_scale(weight, bits)) - by_channel) < tolerance
    with_one = np.array([measured(row, whole) for row in array])
    if with_one.min() > 10.0:  # below it, see the module's words
        assert abs(channel_sqnr(weight, per_tensor_scale(weight, bits)) - with_one.mean()) < tolerance


def rows_of(encoding: grid.Encoding) -> list[grid.Encoding]:
    """The encoding of each row."""
    parts = (encoding.minimum, encoding.maximum, encoding.scale, encoding.offset, encoding.bitwidth)
    return [
        grid.Encoding(*(np.broadcast_to(part, encoding.scale.shape)[i] for part in parts))
        for i in range(len(encoding.scale))
    ]
