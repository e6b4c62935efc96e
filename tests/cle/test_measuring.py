"""Reading a weight piece by piece gives the result of the whole weight, whatever its layout and the cuts."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlclint.analysis.cle.cells import CannotScale, Cells
from dlclint.analysis.cle.measuring import measured_weight, survey
from dlclint.analysis.weights.statistics import Floats
from dlclint.model.tensors import Array, Produced, Tensor


def cells_of(values: Array, group: int, transposed: bool) -> Cells:
    stored = Produced.of(values)
    tensor = Tensor("w", stored.data_type, stored.shape, onnx.TensorProto(), Path(), stored)
    return Cells("w", tensor, group, transposed)


def whole(values: Array, group: int, transposed: bool) -> Floats:
    """The weight as [out, in, kernel] over all channels; NaN between channels of different groups."""
    shaped = values.astype(np.float64).reshape(group, -1, *values.shape[1:])
    if transposed:
        shaped = shaped.swapaxes(1, 2)
    _, height, width, size = shaped.shape
    assembled = np.full((group * height, group * width, size), np.nan)
    for number, part in enumerate(shaped):
        assembled[number * height : (number + 1) * height, number * width : (number + 1) * width] = part
    return assembled


def read(piece: int) -> mock._patch[int]:
    """Pieces of so many weights, though none of less than a row."""
    return mock.patch("dlclint.analysis.cle.cells._PIECE", piece)


shapes = st.tuples(
    st.sampled_from([1, 2, 3]), st.integers(1, 5), st.integers(1, 9), st.sampled_from([1, 2, 9])
)


@given(
    shapes,
    st.booleans(),
    st.sampled_from([np.float32, np.float64, np.float16, ml_dtypes.bfloat16]),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_pieces_give_the_result_of_the_whole(
    shape: tuple[int, int, int, int], transposed: bool, dtype: type, piece: int, seed: int
) -> None:
    group, height, width, size = shape
    random = np.random.default_rng(seed)
    values = random.standard_normal((group * height, width, size)).astype(dtype)
    cells, full = cells_of(values, group, transposed), whole(values, group, transposed)
    outputs = np.exp(random.standard_normal(len(full))) * random.choice([-1.0, 1.0], len(full))
    inputs = np.exp(random.standard_normal(full.shape[1]))
    by_input, by_output = full * inputs[:, np.newaxis], full * np.abs(outputs)[:, np.newaxis, np.newaxis]
    with read(piece):
        weight = survey(cells, np.ones(cells.outputs))
        while True:
            measured, complete = measured_weight(cells, weight.peaks, outputs, inputs)
            if complete:
                break
        sums = cells.weighted_sums(inputs)
    expected = {
        "low": np.minimum(np.nanmin(by_input, axis=(1, 2)), 0),
        "high": np.maximum(np.nanmax(by_input, axis=(1, 2)), 0),
        "output_energy": np.nansum(np.square(by_input), axis=(1, 2)),
        "input_energy": np.nansum(np.square(by_output), axis=(0, 2)),
    }
    for name, numbers in expected.items():
        np.testing.assert_allclose(getattr(measured, name), numbers, rtol=1e-5, atol=1e-30, err_msg=name)
    np.testing.assert_allclose(
        weight.peaks.output_ranges(inputs), np.nanmax(np.abs(by_input), axis=(1, 2)), rtol=1e-6
    )
    np.testing.assert_allclose(
        weight.peaks.input_ranges(outputs), np.nanmax(np.abs(by_output), axis=(0, 2)), rtol=1e-6
    )
    np.testing.assert_allclose(sums, np.nansum(by_input, axis=(1, 2)), rtol=1e-5, atol=1e-5)


@given(shapes, st.booleans(), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_blocks_are_the_weight_in_storage_order(
    shape: tuple[int, int, int, int], transposed: bool, piece: int
) -> None:
    group, height, width, size = shape
    values = np.arange(group * height * width * size, dtype=np.float32).reshape(-1, width, size)
    cells = cells_of(values, group, transposed)
    parts = []
    with read(piece):
        for block in cells.blocks():
            stored = block.values.transpose(0, 2, 1, 3) if transposed else block.values
            parts.append(stored.reshape(-1).copy())
    assert np.array_equal(np.concatenate(parts), values.reshape(-1))


def test_equal_cells_give_one_peak_for_each_channel_and_part() -> None:
    """A constant weight is all largest cells; holding them all would hold the weight."""
    cells = cells_of(np.ones((512, 512, 1), np.float32), 1, False)
    weight = survey(cells, np.ones(512))
    assert len(weight.peaks) <= 9 * 512


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e25])
def test_what_cannot_be_measured(value: float) -> None:
    values = np.ones((4, 3, 9), np.float32)
    values[2, 1, 5] = value
    with pytest.raises(CannotScale, match="NaN, infinity or numbers beyond"):
        survey(cells_of(values, 1, False), np.ones(4))


def test_a_file_that_became_shorter(tmp_path: Path) -> None:
    path = tmp_path / "w.data"
    np.ones((64, 64, 3, 3), np.float32).tofile(path)
    proto = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL, data_type=1, dims=[64, 64, 3, 3])
    proto.external_data.add(key="location", value="w.data")
    cells = Cells("w", Tensor("w", 1, (64, 64, 3, 3), proto, tmp_path / "m.onnx"), 1, False)
    survey(cells, np.ones(64))
    path.write_bytes(b"short")
    with pytest.raises(CannotScale, match="its weight 'w' cannot be read"):
        survey(cells, np.ones(64))
