"""Errors and agreement, against numpy on whole tensors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dlclint.simulate.measuring import Agreement, Error, Scores


def test_an_error_is_that_of_the_whole() -> None:
    random = np.random.default_rng(0)
    exact = [random.normal(size=(3, 50_000)).astype(np.float32) for _ in range(2)]
    noisy = [values + random.normal(0, 0.01, values.shape).astype(np.float32) for values in exact]
    error = Error()
    for one, two in zip(exact, noisy, strict=True):
        error.add(one, two)
    one, two = (np.concatenate(parts).astype(np.float64).reshape(-1) for parts in (exact, noisy))
    assert error.sqnr == pytest.approx(10 * math.log10((one @ one) / ((two - one) @ (two - one))), abs=1e-3)
    assert error.cosine == pytest.approx(one @ two / np.sqrt((one @ one) * (two @ two)), abs=1e-6)
    assert error.largest == pytest.approx(np.abs(two - one).max(), rel=1e-5)
    assert error.magnitude == pytest.approx(np.abs(one).max())


def test_what_is_exact_and_what_is_lost() -> None:
    same, lost, zero = Error(), Error(), Error()
    values = np.array([1.0, 2.0], np.float32)
    same.add(values, values.copy())
    lost.add(values, np.array([1.0, np.nan], np.float32))
    zero.add(values, np.zeros(2, np.float32))
    assert (same.sqnr, same.cosine) == (math.inf, pytest.approx(1.0))
    assert (lost.sqnr, lost.odd) == (-math.inf, 1)
    assert (zero.sqnr, zero.cosine) == (0.0, 0.0)


def test_values_that_are_not_finite_in_the_float_model_do_not_count() -> None:
    error = Error()
    error.add(np.array([-np.inf, 4.0], np.float32), np.array([-8.0, 4.0], np.float32))
    assert (error.sqnr, error.odd) == (math.inf, 0)


def test_agreement_counts_classes_of_positions() -> None:
    agreement = Agreement()
    exact = np.array([[[0.9, 0.1], [0.1, 0.2]]], np.float32)  # [1, classes, positions]
    values = np.array([[[0.9, 0.3], [0.1, 0.2]]], np.float32)
    agreement.add(Scores(1, 0, 2), exact, values)
    assert agreement.rate == 0.5


def test_of_independent_scores_those_near_the_largest_count() -> None:
    agreement = Agreement()
    exact = np.array([[[0.9, 0.1], [0.1, 0.2]]], np.float32)
    values = np.array([[[0.9, 0.3], [0.1, 0.2]]], np.float32)
    agreement.add(Scores(1, 0, 2, independent=True), exact, values)
    assert (agreement.rate, agreement.total) == (1.0, 1)
