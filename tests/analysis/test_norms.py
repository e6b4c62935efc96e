"""Sums of squares: over how many values, what is known of them, and whether the advice helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser

from dlclint.analysis.norms import SumOfSquares, sums_of_squares
from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.target import Runtime, Target
from dlclint_schemas.thresholds import threshold


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("norms")


def sums(folder: Path, body: str, shape: str = "1,2,8,4") -> list[SumOfSquares]:
    text = f'<ir_version: 8, opset_import: ["" : 13]> g (float[{shape}] x) => (float z) {body}'
    path = folder / "m.onnx"
    onnx.save(parser.parse_model(text), path)
    # HTP computes LpNormalization at every size.
    return list(sums_of_squares(ModelView(read(path), Target((Runtime.GPU_FLOAT16,)))))


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("{ z = ReduceL2 <axes: ints = [-1]> (x) }", 4),
        ("{ z = ReduceL2 <axes: ints = [1, -1]> (x) }", 8),
        ("{ z = ReduceSumSquare (x) }", 64),
        ("{ z = LpNormalization <axis: int = 2> (x) }", 8),
        ("<int64[1] a = {2}> { q = Mul(x, x) z = ReduceSum(q, a) }", 8),
        ("<float two = {2.0}> { q = Pow(x, two) z = ReduceSum(q) }", 64),
    ],
)
def test_values_are_counted(folder: Path, body: str, count: int) -> None:
    (sum_of_squares,) = sums(folder, body)
    assert (sum_of_squares.tensor, sum_of_squares.count, sum_of_squares.expected, sum_of_squares.most) == (
        "x",
        count,
        None,
        None,
    )


@pytest.mark.parametrize(
    "body",
    [
        "{ z = ReduceL1 (x) }",
        "{ z = ReduceL2 <axes: ints = [0]> (x) }",
        "{ z = ReduceL2 <axes: ints = [7]> (x) }",
        "<float three = {3.0}> { q = Pow(x, three) z = ReduceSum(q) }",
        "<int64[0] a = {}> { q = Mul(x, x) z = ReduceSum <noop_with_empty_axes: int = 1> (q, a) }",
    ],
)
def test_other_sums_are_none(folder: Path, body: str) -> None:
    assert not sums(folder, body)


def test_an_open_size_is_not_a_count(folder: Path) -> None:
    assert not sums(folder, "{ z = ReduceL2 <axes: ints = [-1]> (x) }", "1,2,8,N")


@settings(max_examples=25, deadline=None)
@given(st.floats(-50, 50), st.floats(0, 50), st.integers(0, 2**32 - 1))
def test_sure_sums_hold(folder: Path, low: float, span: float, seed: int) -> None:
    stored = f"<float a = {{{low:.3f}}}, float b = {{{low + span:.3f}}}>"
    (square,) = sums(folder, f"{stored} {{ c = Clip(x, a, b) z = ReduceL2 (c) }}")
    values = np.clip(np.random.default_rng(seed).normal(0, 30, 64), round(low, 3), round(low + span, 3))
    assert square.most is not None
    assert square.least * (1 - 1e-4) - 1e-3 <= (values**2).sum() <= square.most * (1 + 1e-4) + 1e-3


def test_estimated_sums_are_near_and_the_advice_helps(folder: Path) -> None:
    """What float16 makes of real numbers: infinite as told, and finite with the factor of the help."""
    body = """<float[2] s = {9.0, 60.0}, float[2] b = {0.0, 1.0}, float[2] m = {0.0, 0.0},
        float[2] v = {1.0, 1.0}>
        { n = BatchNormalization(x, s, b, m, v) z = ReduceL2 <axes: ints = [2, 3]> (n) }"""
    (square,) = sums(folder, body)
    values = np.random.default_rng(0).normal(size=(1000, 32)) * 60 + 1
    assert square.expected == pytest.approx((values**2).sum(axis=1).mean(), rel=0.05)
    limit = threshold("float16_max")
    assert square.expected > limit
    factor = 2 ** int(np.ceil(np.log2(square.count * square.expected / limit) / 2))
    with np.errstate(over="ignore"):
        assert np.isinf((values[0].astype(np.float16) ** 2).sum(dtype=np.float16))
    assert np.isfinite(((values[0] / factor).astype(np.float16) ** 2).sum(dtype=np.float16))
