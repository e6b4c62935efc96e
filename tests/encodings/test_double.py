"""Scales that are quantized themselves: what they represent, and where it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dlclint.encodings import double
from dlclint.encodings.convert import convert
from dlclint.encodings.reading import read_encodings
from dlclint.encodings.show import rows

SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))


@given(st.data(), SHAPES, st.integers(-3, 2), st.booleans())
def test_a_scale_along_an_axis_is_broadcast(
    data: st.DataObject, shape: tuple[int, ...], axis: int, shifted: bool
) -> None:
    stored = data.draw(arrays(np.int64, shape, elements=st.integers(1, 16)))
    step = data.draw(arrays(np.float64, shape[axis], elements=st.floats(1e-3, 1)))
    zero = data.draw(arrays(np.int64, shape[axis], elements=st.integers(-8, 8))) if shifted else None
    scale: dict[str, Any] = {"x": stored.tolist(), "x_scale": step.tolist(), "axis": axis}
    if zero is not None:
        scale["x_zero_point"] = zero.tolist()
    for index in np.ndindex(shape):
        channel = index[axis]
        expected = (stored[index] - (0 if zero is None else zero[channel])) * step[channel]
        values = np.array(double.effective_scale(scale))
        assert values.shape == shape and values[index] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ({"x": [3, 5], "x_scale": 0.5}, [1.5, 2.5]),
        ({"x": 3, "x_scale": 0.5}, 1.5),
        ({"x": [[1, 2, 3, 4]], "x_scale": [[1.0, 10.0]], "axis": 1, "block_size": 2}, [[1, 2, 30, 40]]),
        ({"x": [[1, 2], [3, 4]], "x_scale": [[1.0], [10.0]]}, [[1, 2], [30, 40]]),
    ],
)
def test_other_forms(scale: dict[str, Any], expected: Any) -> None:
    assert double.effective_scale(scale) == expected
    assert not double.flaws(scale)


@pytest.mark.parametrize(
    "scale",
    [
        {"x": [[1, 2], [3]], "x_scale": 0.5},
        {"x": [1, "2"], "x_scale": 0.5},
        {"x": [[1, 2]], "x_scale": [0.5, 0.5]},
        {"x": [[1, 2]], "x_scale": [0.5, 0.5], "axis": 2},
        {"x": [[1, 2]], "x_scale": [0.5, 0.5], "axis": "1"},
        {"x": [1, 10**400], "x_scale": 0.5},
        {"x": {}, "x_scale": 0.5},
        {"x": [1, 2], "x_scale": None},
        {},
    ],
)
def test_what_does_not_fit_has_no_scale_and_is_reported(scale: dict[str, Any]) -> None:
    assert double.effective_scale(scale) is None
    assert double.flaws(scale)


def test_the_object_is_shown_as_the_plain_blocks_it_represents(tmp_path: Path) -> None:
    scale = {"x": [[3, 5], [11, 9]], "x_scale": [0.001, 0.002], "axis": 0}
    entry = {"name": "w", "output_dtype": "int4", "axis": 1, "block_size": 4}
    files = {"double": scale, "plain": double.effective_scale(scale)}
    values = []
    for name, value in files.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"version": "2.1.0", "encodings": [{**entry, "y_scale": value}]}), "utf-8")
        values.append(list(rows(read_encodings(path))))
    assert values[0] == values[1]
    assert values[0][0].elements == 4
    assert values[0][0].scale == pytest.approx((0.003, 0.022))


def test_a_quantized_scale_by_channel_converts(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    entry = {"name": "w", "output_dtype": "int8", "axis": 0, "y_scale": {"x": [2, 4], "x_scale": 0.5}}
    path.write_text(json.dumps({"version": "2.1.0", "encodings": [entry]}), "utf-8")
    (encoding,) = json.loads(convert(read_encodings(path), "2.0.0"))["encodings"]
    assert encoding["y_scale"] == [1.0, 2.0]
