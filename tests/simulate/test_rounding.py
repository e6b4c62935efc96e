"""The arithmetic: the documents' worked examples, and properties that hold for every range."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_networks import evaluator_of, saved

from dlclint.encodings import grid
from dlclint.simulate.assigning import SCALE_RATIO, Settings, weight_grid
from dlclint.simulate.observing import Observation
from dlclint.simulate.quantizers import activation_grid, adjusted, cut, param_grid, searched_range
from dlclint.simulate.scheme import Grid, ParamGrid, Scheme, grid_of_range, stored_bias
from dlclint_schemas.quantization import quantization_facts

FINITE = st.floats(-1e4, 1e4, allow_nan=False, allow_subnormal=False, width=32)


def test_worked_example() -> None:
    quantized, dequantized = quantization_facts()["worked_examples"]
    low, high = quantized["first_encoding"]
    actual = grid_of_range(low, high, 8)
    assert (actual.low, actual.high) == pytest.approx(quantized["encoding"], abs=5e-7)
    assert actual.scale == pytest.approx(quantized["step"], abs=5e-6)
    rounded = actual.rounded(np.array(quantized["input"], np.float32))
    integers = np.rint(rounded / np.float32(actual.scale)).astype(int) + actual.zero
    assert integers.tolist() == list(quantized["quantized"])
    assert rounded == pytest.approx(np.array(dequantized["dequantized_recomputed"]), abs=1e-6)


@pytest.mark.parametrize("case", quantization_facts()["algorithm"]["zero_cases"][:2], ids=lambda c: c["case"])
def test_zero_is_on_the_grid(case: dict[str, object]) -> None:
    example = case["example"]
    assert isinstance(example, dict) or hasattr(example, "keys")
    actual = grid_of_range(*example["range"], 8)  # type: ignore[index]
    assert [actual.low, actual.high] == pytest.approx(list(example["encoding"]))  # type: ignore[index]
    assert actual.zero == example["zero_at"]  # type: ignore[index]


@given(FINITE, FINITE, st.sampled_from([8, 16]))
def test_rounding_is_the_grids_own(low: float, high: float, bits: int) -> None:
    actual = grid_of_range(low, high, bits)
    values = np.linspace(low - 1, high + 1, 257).astype(np.float32)
    rounded = actual.rounded(values)
    assert (actual.rounded(rounded) == rounded).all()
    assert (actual.rounded(np.zeros(1, np.float32)) == 0).all()
    inside = (values >= actual.low) & (values <= actual.high)
    slack = 0.5 * actual.scale + 4e-7 * float(np.abs(values).max())
    assert (np.abs(rounded - values)[inside] <= slack).all()
    assert rounded.min() >= actual.low - slack
    assert rounded.max() <= actual.high + slack


def test_what_is_not_a_number_becomes_the_smallest() -> None:
    actual = Grid(0.5, 2, 8)
    rounded = actual.rounded(np.array([np.nan, np.inf, -np.inf], np.float32))
    assert rounded.tolist() == [-1.0, 126.5, -1.0]


@given(st.floats(-100, 100, width=32), st.floats(-100, 100, width=32))
def test_adjusted_widens_one_end_only(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    encoding = adjusted(low, high, 8)
    assert float(encoding.offset) == round(float(encoding.offset))
    slack = 1e-6 * max(abs(low), abs(high), 1e-4)
    assert float(encoding.minimum) <= min(low, 0.0) + slack
    assert float(encoding.maximum) >= max(high, 0.0) - slack


def test_enhanced_has_the_smaller_error_and_leaves_a_uniform_range_alone() -> None:
    random = np.random.default_rng(0)
    tailed, even = Observation(), Observation()
    values = np.append(random.normal(size=1_000_000), 60.0).astype(np.float32)
    tailed.see(values, True)
    even.see(random.uniform(-1, 1, 100_000).astype(np.float32), True)
    low, high = searched_range(tailed, 8)
    assert high < 30
    assert tailed.low <= low < -3
    assert searched_range(even, 8) == pytest.approx((even.low, even.high), rel=0.05)
    errors = [
        np.square(activation_grid(tailed, q, 8).rounded(values) - values).sum() for q in ("enhanced", "tf")
    ]
    assert errors[0] < 0.8 * errors[1]


def test_percentile_keeps_what_it_says() -> None:
    seen = Observation()
    values = np.arange(-1000, 9001, dtype=np.float32)
    seen.see(values, True)
    low, high = cut(seen, 90.0)
    kept = ((values >= low) & (values <= high)).mean()
    assert 0.89 <= kept <= 0.92
    assert cut(seen, 100.0) == pytest.approx((seen.low, seen.high), abs=8)


@given(st.lists(st.lists(FINITE, min_size=1, max_size=40), min_size=1, max_size=6))
def test_an_observation_does_not_depend_on_the_order(parts: list[list[float]]) -> None:
    one, other = Observation(), Observation()
    for part in parts:
        one.see(np.array(part, np.float32), True)
    for part in reversed(parts):
        other.see(np.array(part, np.float32), True)
    assert (one.low, one.high, one.count) == (other.low, other.high, other.count)
    assert one.counts.sum() == other.counts.sum() == one.count
    assert one.exponent == other.exponent
    filled = [dict(zip((o.first + np.flatnonzero(o.counts)).tolist(), o.counts[o.counts > 0].tolist(),
                       strict=True)) for o in (one, other)]  # fmt: skip
    assert filled[0] == filled[1]


@pytest.mark.parametrize(("axis", "bits"), [(None, 8), (0, 8), (0, 4), (None, 16)])
def test_param_grids(axis: int | None, bits: int) -> None:
    values = np.random.default_rng(1).normal(size=(6, 4, 3)).astype(np.float32)
    values[2] *= 20
    actual = param_grid(values, "tf", bits, axis)
    assert actual.symmetric == (axis is not None or bits != 8)
    assert actual.scale.shape == (() if axis is None else (6,))
    apart = np.abs(actual.rounded(values) - values)
    scale = actual.spread(values.shape)[0]
    # Symmetric grids lack half a step at the positive end.
    assert (apart <= scale * 0.51).all()


def test_blocks_are_rounded_each_on_its_own() -> None:
    values = np.array([[0.1, -0.2, 30.0, 10.0]], np.float32)
    actual = ParamGrid(np.array([[0.1, 10.0]]), np.full((1, 2), 8.0), 4, True, axis=1, block=2)
    assert actual.rounded(values) == pytest.approx(values)


def test_a_bias_saturates_at_int32() -> None:
    bias = np.array([3.0, 0.5], np.float32)
    stored = stored_bias(bias, np.array([1e-12, 1e-4]), None)
    assert stored[0] == pytest.approx(2.0**31 * 1e-12)
    assert stored[1] == pytest.approx(0.5)


def test_an_8_bit_bias_is_rounded_first() -> None:
    bias = np.array([-1.0, 0.003, 1.0], np.float32)
    grid8 = param_grid(bias, "tf", 8)
    stored = stored_bias(bias, np.array(1e-6), grid8)
    assert stored[1] == pytest.approx(0.0, abs=1e-6)
    assert stored_bias(bias, np.array(1e-6), None)[1] == pytest.approx(0.003, abs=1e-6)


def test_a_narrower_grid_keeps_the_range() -> None:
    wide = grid_of_range(-3.0, 5.0, 16)
    narrow = wide.at(8)
    assert (narrow.low, narrow.high) == pytest.approx((wide.low, wide.high), abs=narrow.scale)
    assert math.isclose(narrow.scale, wide.scale * 257, rel_tol=1e-3)
    assert narrow.high - narrow.low >= grid.MINIMUM_RANGE


def test_scales_of_channels_stay_within_what_htp_takes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sizes = 2.0 ** -np.arange(0, 24, 3.0)
    weights = (random.uniform(-1, 1, (8, 4, 3, 3)) * sizes.reshape(-1, 1, 1, 1)).astype(np.float32)
    body = "g (float[1,4,8,8] x) => (float[1,8,6,6] y) { y = Conv(x, w) }"
    evaluator = evaluator_of(saved(tmp_path, body, {"w": weights}))
    (step,) = evaluator.network.steps
    actual = weight_grid(step, 1, weights, Settings(16, 8, 32, True))
    plainly = param_grid(weights, "tf", 8, 0)
    assert actual.scale.min() == actual.scale.max() * SCALE_RATIO
    assert (actual.scale[:4] == plainly.scale[:4]).all()
    # What the smallest channels lose is less than a step of a 16-bit output.
    lost = np.abs(actual.rounded(weights) - weights).reshape(8, -1).sum(1)
    assert (lost[5:] <= np.abs(weights).sum() / 8 * 2.0**-13).all()


def test_float_biases_are_added_as_they_are(tmp_path: Path) -> None:
    """A bias of a seventh of a step of the accumulator is lost in int32, and kept where biases are float."""
    path = saved(
        tmp_path,
        "g (float[1,1,1,1] x) => (float[1,1,1,1] y) { y = Conv(x, w, b) }",
        {"w": np.ones((1, 1, 1, 1), np.float32), "b": np.array([1 / 7 / 127], np.float32)},
    )
    evaluator = evaluator_of(path)
    scheme = Scheme({"x": Grid(1.0, 0, 8)}, {"w": param_grid(np.array([1.0]), "symmetric", 8)}, otherwise=8)
    feed = {"x": np.zeros((1, 1, 1, 1), np.float32)}
    assert evaluator.run(feed, scheme)["y"].item() == 0.0
    scheme.float_biases = True
    assert evaluator.run(feed, scheme)["y"].item() == pytest.approx(1 / 7 / 127)
    assert scheme.copy().float_biases
    assert scheme.digest() != Scheme(scheme.activations, scheme.params, otherwise=8).digest()
