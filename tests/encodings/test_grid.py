"""The documented worked examples to every printed digit, and properties that must hold for any range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlclint.encodings import grid

BOUND = st.floats(-1e6, 1e6, allow_nan=False)
BITS = st.integers(2, 32)
RANGES = st.tuples(BOUND, BOUND).map(sorted)


def test_worked_example_quantizes_and_back() -> None:
    encoding = grid.fit(-1.8, 0.5, 8)
    assert [f"{v:.6f}" for v in (encoding.minimum, encoding.maximum)] == ["-1.803922", "0.496078"]
    assert f"{encoding.scale:.6f}" == "0.009020"
    integers = grid.quantize([-1.8, -1.0, 0.0, 0.5], encoding)
    assert integers.tolist() == [0, 89, 200, 255]
    numbers = grid.dequantize(integers, encoding)
    # The page prints -1.0011 for the second; its own numbers give -1.001176 (document slip).
    assert [f"{v:.6f}" for v in numbers] == ["-1.803922", "-1.001176", "0.000000", "0.496078"]


@pytest.mark.parametrize(
    ("ends", "expected", "zero"),
    [
        ((-5.1, 5.1), ("-5.12", "5.08"), 128),
        ((5.0, 10.0), ("0.00", "10.00"), 0),
        ((-20.0, -6.0), ("-20.00", "0.00"), 255),
    ],
)
def test_documented_zero_cases(ends: tuple[float, float], expected: tuple[str, str], zero: int) -> None:
    encoding = grid.fit(*ends, 8)
    assert (f"{encoding.minimum:.2f}", f"{encoding.maximum:.2f}") == expected
    assert grid.quantize(0.0, encoding) == zero
    assert encoding.offset == -zero


def test_documented_per_channel_example() -> None:
    scale = [0.005520610358771377, 0.004116586343509945, 0.005801794566507415]
    encoding = grid.on_grid(scale, -128.0, 8)
    printed = [-0.7066381259227362, -0.5269230519692729, -0.7426297045129491]
    np.testing.assert_allclose(encoding.minimum, printed, rtol=1e-7)
    np.testing.assert_allclose(
        encoding.maximum, [0.7011175155639648, 0.5228064656257629, 0.7368279099464417], rtol=1e-7
    )


@pytest.mark.parametrize("bits", [2, 4, 8, 16, 31, 32])
def test_degenerate_range_gets_the_minimum_range(bits: int) -> None:
    encoding = grid.fit(0.0, 0.0, bits)
    assert encoding.maximum - encoding.minimum == pytest.approx(grid.MINIMUM_RANGE)
    wider = grid.fit(0.0, 0.0, bits, grid.MINIMUM_RANGE_IN_FORMULA)
    assert wider.maximum - wider.minimum == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("low", "high", "bits", "words"),
    [
        (1.0, -1.0, 8, "exceeds"),
        (float("nan"), 1.0, 8, "finite"),
        (-1.7e308, 1.7e308, 8, "finite"),
        (0.0, 1.0, 1, "bitwidth"),
        (0.0, 1.0, 33, "bitwidth"),
        (0.0, 1.0, 7.5, "bitwidth"),
    ],
)
def test_refused(low: float, high: float, bits: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        grid.fit(low, high, bits)


@given(RANGES, BITS)
def test_zero_is_on_the_grid(span: list[float], bits: int) -> None:
    encoding = grid.fit(*span, bits)
    zero = grid.quantize(0.0, encoding)
    assert grid.dequantize(zero, encoding) == 0.0
    assert encoding.offset == np.rint(encoding.offset)
    assert -grid.steps(bits) <= encoding.offset <= 0


@given(RANGES, BITS)
def test_range_is_covered_to_half_a_step(span: list[float], bits: int) -> None:
    for encoding in (grid.fit(*span, bits), grid.fit_symmetric(*span, bits)):
        slack = encoding.scale * (0.5 + 1e-6 * grid.steps(bits))
        assert encoding.minimum <= span[0] + slack
        assert encoding.maximum >= span[1] - slack


@given(RANGES, BITS, st.floats(0, 1))
def test_rounding_error_is_at_most_half_a_step(span: list[float], bits: int, part: float) -> None:
    number = span[0] + part * (span[1] - span[0])
    encoding = grid.fit(*span, bits)
    back = grid.dequantize(grid.quantize(number, encoding), encoding)
    assert abs(back - number) <= encoding.scale * (0.5 + 1e-6 * grid.steps(bits))


@given(RANGES, BITS, st.lists(BOUND, min_size=2, max_size=8))
def test_idempotent_and_monotone(span: list[float], bits: int, numbers: list[float]) -> None:
    encoding = grid.fit(*span, bits)
    integers = grid.quantize(sorted(numbers), encoding)
    assert np.all(np.diff(integers) >= 0)
    again = grid.quantize(grid.dequantize(integers, encoding), encoding)
    assert np.array_equal(again, integers)


@given(RANGES, BITS)
def test_symmetric(span: list[float], bits: int) -> None:
    encoding = grid.fit_symmetric(*span, bits)
    assert encoding.offset == -(2 ** (bits - 1))
    assert grid.quantize(0.0, encoding) == 2 ** (bits - 1)


@given(st.floats(0, 1e6), BITS)
def test_unsigned_symmetric(high: float, bits: int) -> None:
    encoding = grid.fit_unsigned_symmetric(high, bits)
    assert encoding.offset == 0
    assert encoding.minimum == 0
    assert encoding.maximum >= high * (1 - 1e-12)


@given(st.lists(RANGES, min_size=1, max_size=6), BITS)
def test_vectorized_equals_one_by_one(spans: list[list[float]], bits: int) -> None:
    lows, highs = np.array(spans).T
    together = grid.fit(lows, highs, bits)
    for i, span in enumerate(spans):
        alone = grid.fit(*span, bits)
        assert (together.scale[i], together.offset[i]) == (alone.scale, alone.offset)


@given(RANGES, BITS)
def test_the_step_of_one_range_is_that_of_its_grid(span: list[float], bits: int) -> None:
    assert grid.step_of_range(*span, bits) == grid.fit(*span, bits).scale


@pytest.mark.parametrize("span", [(1.0, 0.0), (0.0, math.inf), (math.nan, 1.0), (-1e308, 1e308)])
def test_the_step_of_no_range_is_refused(span: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="minimum"):
        grid.step_of_range(*span, 8)
    with pytest.raises(ValueError, match="bitwidth"):
        grid.step_of_range(0.0, 1.0, 33)


def test_zero_error() -> None:
    assert grid.zero_error(-1.0, 1.0, 8) == pytest.approx(0.5)
    assert grid.zero_error(-1.28, 1.27, 8) == pytest.approx(0.0, abs=1e-9)
    assert np.isinf(grid.zero_error(0.5, 1.0, 8))
    # The page's own Conv2d/weights example is 0.08 of a step off.
    assert grid.zero_error(-2.1006477158567995, 1.700559472933134, 8) == pytest.approx(0.08, abs=0.001)
