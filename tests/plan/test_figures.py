"""The SQNR that a plan predicts of activations is what quantizing and dequantizing leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlclint.analysis.activations.estimate import Basis, clipped, normal
from dlclint.analysis.plan.figures import activation_figures
from dlclint.encodings import grid


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 16),
    st.floats(0.0, 1.5),
    st.floats(-2.0, 2.0),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_predicted_is_measured(channels: int, unequal: float, mean: float, relu: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    deviation = 10.0 ** generator.uniform(-unequal, 0, channels)
    means = mean * deviation * generator.uniform(-1, 1, channels)
    estimate = normal(means, deviation, Basis.NORMALIZATION)
    values = generator.normal(means[:, None], deviation[:, None], (channels, 8000))
    if relu:
        estimate, values = clipped(estimate, 0.0, np.inf), np.maximum(values, 0.0)
    figures = activation_figures("x", estimate)
    assert figures is not None
    for bits, predicted in ((8, figures.sqnr8), (16, figures.sqnr16)):
        encoding = grid.fit(estimate.minimum, estimate.maximum, bits)
        error = values - grid.dequantize(grid.quantize(values, encoding), encoding)
        measured = 10.0 * np.log10(np.square(values).mean() / np.square(error).mean())
        # A zero is exact, so after ReLU up to all values of a channel err by nothing.
        least, most = (predicted - 0.7, np.inf) if relu else (predicted - 0.7, predicted + 0.7)
        assert least < measured < most


def test_without_moments_there_is_none() -> None:
    estimate = normal(np.zeros(1), np.zeros(1), Basis.NORMALIZATION)
    assert activation_figures("x", estimate) is None


@pytest.mark.parametrize(("bits", "decibels"), [(8, 37.4), (16, 85.6)])
def test_a_normal_activation(bits: int, decibels: float) -> None:
    figures = activation_figures("x", normal(np.zeros(1), np.ones(1), Basis.NORMALIZATION))
    assert figures is not None
    assert {8: figures.sqnr8, 16: figures.sqnr16}[bits] == pytest.approx(decibels, abs=0.1)
