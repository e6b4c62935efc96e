"""Equalization's arithmetic: ranges meet, the product stays, and figures predict what is measured."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlclint.analysis.cle.cells import Cells
from dlclint.analysis.cle.figures import chain_figures
from dlclint.analysis.cle.measuring import Weight, survey
from dlclint.analysis.cle.scaling import Scaled, equalizing_factors
from dlclint.analysis.weights.statistics import Floats
from dlclint.encodings import grid
from dlclint.model.tensors import Produced, Tensor


def weight_of(values: Floats, group: int = 1, transposed: bool = False) -> Weight:
    """A weight [out, in / group, kernel], or [in, out / group, kernel] if transposed."""
    stored = Produced.of(values.astype(np.float32))
    tensor = Tensor("w", stored.data_type, stored.shape, onnx.TensorProto(), Path(), stored)
    outputs = group * values.shape[1] if transposed else len(values)
    return survey(Cells("w", tensor, group, transposed), np.ones(outputs))


def dense(values: Floats, group: int = 1) -> Floats:
    """The largest magnitude of each cell as a matrix [out, in] of all channels, zero outside the groups."""
    outputs, width = values.shape[:2]
    whole = np.zeros((outputs, group * width), np.float32)
    for row, column in enumerate(np.arange(outputs) // (outputs // group) * width):
        whole[row, column : column + width] = np.abs(values[row]).max(axis=1)
    return whole


@st.composite
def chains(draw: st.DrawFn) -> list[tuple[Floats, int]]:
    """Weights of a chain, dense, grouped or depthwise, with channels of very different scales."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.floats(0, 4))
    inputs = draw(st.sampled_from([1, 2, 4, 8]))
    collected = []
    for _ in range(draw(st.integers(2, 5))):
        kind = draw(st.sampled_from(["dense", "grouped", "depthwise"]))
        group = {"dense": 1, "grouped": 2 if inputs > 1 else 1, "depthwise": inputs}[kind]
        outputs = inputs if kind == "depthwise" else 2 * draw(st.integers(1, 6))
        weight = random.standard_normal((outputs, inputs // group, draw(st.sampled_from([1, 9]))))
        weight *= np.exp(spread * random.standard_normal((outputs, 1, 1)))
        weight *= np.exp(spread * random.standard_normal((1, inputs // group, 1)))
        if draw(st.booleans()):
            weight[draw(st.integers(0, outputs - 1))] = 0.0
        collected.append((weight, group))
        inputs = outputs
    return collected


def settle(chain: list[tuple[Floats, int]], whole_powers: bool = False) -> Scaled:
    weights = [weight_of(*layer) for layer in chain]
    frozen = [np.zeros(weight.cells.outputs, bool) for weight in weights[:-1]]
    return equalizing_factors(weights, frozen, [whole_powers] * len(frozen))


def scaled_ranges(
    chain: list[tuple[Floats, int]], factors: tuple[Floats, ...]
) -> list[tuple[Floats, Floats]]:
    """Output range of the first and input range of the second for each link, from the whole weights."""
    collected = []
    for link, (first, second) in enumerate(itertools.pairwise(dense(*layer) for layer in chain)):
        before = factors[link - 1] if link else np.ones(first.shape[1])
        after = 1 / factors[link + 1] if link + 1 < len(factors) else np.ones(len(second))
        outputs = (first * before).max(axis=1) / factors[link]
        collected.append((outputs, (second * after[:, np.newaxis]).max(axis=0) * factors[link]))
    return collected


@given(chains())
@settings(max_examples=150, deadline=None)
def test_ranges_meet_and_dead_channels_stay(chain: list[tuple[Floats, int]]) -> None:
    scaled = settle(chain)
    assert scaled.converged
    assert all((factor > 0).all() and np.isfinite(factor).all() for factor in scaled.factors)
    for (first, second), factor in zip(scaled_ranges(chain, scaled.factors), scaled.factors, strict=True):
        alive = (first > 0) & (second > 0)
        np.testing.assert_allclose(first[alive], second[alive], rtol=3e-4)
        assert (factor[~alive] == 1).all()


@given(chains())
@settings(max_examples=80, deadline=None)
def test_powers_of_two_come_within_a_factor_of_two(chain: list[tuple[Floats, int]]) -> None:
    scaled = settle(chain, whole_powers=True)
    assert scaled.converged
    for (first, second), factor in zip(scaled_ranges(chain, scaled.factors), scaled.factors, strict=True):
        assert (np.log2(factor) == np.rint(np.log2(factor))).all()
        alive = (first > 0) & (second > 0)
        assert (np.abs(np.log2(first[alive] / second[alive])) <= 1 + 1e-6).all()


def test_a_pair_has_the_geometric_mean() -> None:
    first, second = np.array([[[4.0]], [[0.5]]]), np.array([[[9.0], [2.0]]])
    scaled = settle([(first, 1), (second, 1)])
    np.testing.assert_allclose(scaled.factors[0], [np.sqrt(4 / 9), np.sqrt(0.5 / 2)])


def test_a_depthwise_triple_has_the_cube_root() -> None:
    """As the closed form of Nagel et al. has it for three layers."""
    ranges = np.array([8.0, 0.1]), np.array([0.01, 3.0]), np.array([1.0, 50.0])
    chain = [
        (ranges[0].reshape(2, 1, 1), 1),
        (ranges[1].reshape(2, 1, 1), 2),
        (ranges[2].reshape(1, 2, 1), 1),
    ]
    scaled = settle(chain)
    root = np.cbrt(ranges[0] * ranges[1] * ranges[2])
    np.testing.assert_allclose(scaled.factors[0], ranges[0] / root, rtol=1e-5)
    np.testing.assert_allclose(scaled.factors[1], root / ranges[2], rtol=1e-5)


def test_frozen_channels_keep_their_scale() -> None:
    first, second = np.array([[[4.0]], [[0.5]]]), np.array([[[9.0], [2.0]]])
    scaled = equalizing_factors([weight_of(first), weight_of(second)], [np.array([True, False])], [False])
    assert scaled.factors[0][0] == 1
    assert scaled.factors[0][1] == pytest.approx(0.5)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(4, True), (8, True), (8, False)]),
    st.sampled_from([1, 9]),
    st.floats(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_figures_predict_measured_noise(
    seed: int, case: tuple[int, bool], kernel: int, spread: float
) -> None:
    bitwidth, even = case
    random = np.random.default_rng(seed)
    shapes = (64, 16, kernel), (16, 64, kernel)
    draw = random.standard_normal if even else random.standard_cauchy
    first, second = (draw(shape).clip(-50, 50).astype(np.float32) for shape in shapes)
    first *= np.exp(spread * random.standard_normal((64, 1, 1)))
    second *= np.exp(spread * random.standard_normal((1, 64, 1)))
    chain = [weight_of(first), weight_of(second)]
    scaled = equalizing_factors(chain, [np.zeros(64, bool)], [False])
    figures = chain_figures(chain, scaled, bitwidth)
    for factors, predicted_figures in zip(([np.ones(64)], list(scaled.factors)), figures, strict=True):
        weights = first / factors[0][:, None, None], second * factors[0][None, :, None]
        energy = np.square(weights[0]).sum(axis=(1, 2)), np.square(weights[1]).sum(axis=(0, 2))
        importance = energy[1][:, None, None], energy[0][None, :, None]
        for weight, weighed, figure in zip(weights, importance, predicted_figures, strict=True):
            encoding = grid.fit(weight.min(), weight.max(), bitwidth)
            error = np.square(grid.dequantize(grid.quantize(weight, encoding), encoding) - weight)
            square = np.square(weight)
            measured = 10 * np.log10(square.sum() / error.sum())
            in_chain = 10 * np.log10((square * weighed).sum() / (error * weighed).sum())
            for predicted, found_by_trial in ((figure.sqnr, measured), (figure.chain_sqnr, in_chain)):
                if even:
                    # Far apart, a handful of weights carry the sums, and chance has its say.
                    near = 5.0 if spread > 0.5 else 1.0 if bitwidth == 8 else 2.0
                    assert predicted == pytest.approx(found_by_trial, abs=near)
                else:
                    # In a long tail few weights of a cell carry its energy, and the many small ones have
                    # less noise than the cell as a whole shows, or a little more where they are cells of one.
                    assert predicted <= found_by_trial + 5.0
