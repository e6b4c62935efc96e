"""Two bits with a grid that passes zero by, small floats, and scales that are quantized themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlclint.analysis.precision import Precision, entry_precisions
from dlclint.analysis.weights.entries import weight_entries
from dlclint.diagnostic import Severity
from dlclint.encodings.convert import CannotConvert, TensorFacts, convert
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.reading import read_bytes
from dlclint.encodings.show import rows, spelled
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file

WEIGHT = {"w": TensorFacts(True, 0, 2)}
HALF = {"name": "w", "output_dtype": "int2", "y_scale": [0.1, 0.2], "y_zero_point": [-0.5, -0.5], "axis": 0}
SHIFTED = {
    "name": "w",
    "bw": 2,
    "dtype": "INT",
    "enc_type": "PER_CHANNEL",
    "is_sym": True,
    "scale": [0.1, 0.2],
    "offset": [-2.0, -2.0],
    "zero_point_shift": [0.5, 0.5],
}
LPBQ = {"x": [[3, 5], [11, 16]], "x_scale": [0.001, 0.002], "axis": 0}


def flat(*entries: dict[str, Any], version: str = "2.0.0") -> dict[str, Any]:
    return {"encodings": list(entries), "version": version}


def listed(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"activation_encodings": [], "param_encodings": list(entries), "version": "1.0.0"}


def document(value: Any) -> EncodingsDocument:
    return read_bytes(json.dumps(value).encode(), Path("x.encodings"))


def said(value: Any, tmp_path: Path, at_least: Severity = Severity.WARNING) -> dict[str, str]:
    path = tmp_path / "x.encodings"
    path.write_text(json.dumps(value))
    findings = lint_file(Job(path, kind="encodings")).diagnostics
    return {finding.rule: finding.message for finding in findings if finding.severity.rank <= at_least.rank}


def test_a_wrong_shift_is_reported_once_for_all_channels(tmp_path: Path) -> None:
    path = tmp_path / "x.encodings"
    path.write_text(json.dumps(listed({**SHIFTED, "zero_point_shift": ["a", "b"]})))
    messages = [finding.message for finding in lint_file(Job(path, kind="encodings")).diagnostics]
    assert [text for text in messages if "zero_point_shift" in text] == [
        "'w': zero_point_shift is \"a\", not a number in 2 channels"
    ]


@pytest.mark.parametrize("value", [flat(HALF), listed(SHIFTED)], ids=["2.0.0", "1.0.0"])
def test_the_half_grid_is_legal_and_shown_as_it_is(value: Any, tmp_path: Path) -> None:
    assert not said(value, tmp_path)
    (row,) = rows(document(value))
    assert [spelled(span) for span in (row.offset, row.minimum, row.maximum)] == [
        "-1.5",
        "-0.3..-0.15",
        "0.15..0.3",
    ]


def test_the_half_grid_goes_to_1_0_0_and_back() -> None:
    over = json.loads(convert(document(flat(HALF)), "1.0.0", WEIGHT))
    assert over["param_encodings"] == [SHIFTED]
    back = json.loads(convert(document(over), "2.0.0", WEIGHT))
    assert back["encodings"] == [HALF]
    with pytest.raises(CannotConvert, match="zero_point_shift has no place"):
        convert(document(over), "0.6.1", WEIGHT)


def test_an_unsigned_half_grid_keeps_its_type() -> None:
    unsigned = {**HALF, "output_dtype": "uint2", "y_zero_point": [1.5, 1.5]}
    over = convert(document(flat(unsigned)), "1.0.0", WEIGHT)
    assert json.loads(convert(document(json.loads(over)), "2.0.0", WEIGHT))["encodings"] == [unsigned]


@pytest.mark.parametrize(
    ("entry", "rule", "words"),
    [
        (
            {"output_dtype": "uint8", "y_scale": 0.1, "y_zero_point": 3.5},
            "fractional-offset",
            "point 3.5 is no",
        ),
        (
            {"output_dtype": "int2", "y_scale": 0.1, "y_zero_point": -0.3},
            "fractional-offset",
            "point -0.3 is",
        ),
        (
            {"output_dtype": "int8", "y_scale": [0.1, 0.2], "y_zero_point": [3, 0], "axis": 0},
            "per-channel-asymmetric",
            "with y_zero_point 3 in 1 of 2",
        ),
        (
            {"output_dtype": "uint8", "y_scale": 0.1, "y_zero_point": 300},
            "zero-off-grid",
            "y_zero_point 300 lies",
        ),
    ],
)
def test_zero_points_are_named_as_the_file_has_them(
    entry: dict[str, Any], rule: str, words: str, tmp_path: Path
) -> None:
    assert words in said(flat({"name": "w", **entry}), tmp_path)[f"encodings/{rule}"]


@pytest.mark.parametrize("dtype", ["float8e4m3fn", "float8e5m2", "float4e2m1"])
def test_small_floats_have_a_scale_for_each_channel(dtype: str, tmp_path: Path) -> None:
    value = flat({"name": "w", "output_dtype": dtype, "y_scale": [0.1, 0.2], "axis": 0})
    assert not said(value, tmp_path)
    (row,) = rows(document(value))
    assert (spelled(row.minimum), spelled(row.offset), spelled(row.scale)) == ("-", "-", "0.1..0.2")


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        ({"x_scale": 0.1}, "without x,"),
        ({"x": [[1, 2]]}, "without x_scale"),
        ({"x": [[0.5, 2.0]], "x_scale": 0.1}, "input_dtype must name"),
        ({"x": [["a"]], "x_scale": 0.1}, "not a number"),
    ],
)
def test_a_quantized_scale_must_be_whole(scale: dict[str, Any], words: str, tmp_path: Path) -> None:
    entry = {"name": "w", "output_dtype": "int4", "axis": 1, "block_size": 2, "y_scale": scale}
    assert words in said(flat(entry, version="2.1.0"), tmp_path)["encodings/field-type"]


def test_a_quantized_scale_is_of_2_1_0(tmp_path: Path) -> None:
    entry = {"name": "w", "output_dtype": "int4", "axis": 1, "block_size": 2, "y_scale": LPBQ}
    assert "encodings/version" not in said(flat(entry, version="2.1.0"), tmp_path)
    assert "which is of 2.1.0" in said(flat(entry), tmp_path)["encodings/version"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "min": 0.0, "max": 1.0}, "lacks scale"),
        ({"bitwidth": 8, "dtype": "int", "scale": 0.1, "offset": 0}, "lacks is_symmetric"),
        ({"dtype": "int", "is_symmetric": "False", "scale": 0.1, "offset": 0}, "lacks bitwidth"),
        ({"bitwidth": 8, "dtype": "int"}, "an entry without a range has no place in 1.0.0"),
    ],
)
def test_partial_entries_are_refused_in_sentences(entry: dict[str, Any], words: str) -> None:
    value = {"activation_encodings": {"x": [entry]}, "param_encodings": {}, "version": "0.6.1"}
    with pytest.raises(CannotConvert) as refused:
        convert(document(value), "1.0.0")
    assert any(words in loss for loss in refused.value.losses)
    assert "Error" not in str(refused.value)


def test_a_shift_of_another_length_is_reported(tmp_path: Path) -> None:
    findings = said(listed({**SHIFTED, "zero_point_shift": [0.5, 0.5, 0.5]}), tmp_path)
    assert "zero_point_shift has 3 values, scale has 2" in findings["encodings/field-type"]
    assert np.isfinite(document(listed({**SHIFTED, "zero_point_shift": None})).elements.offset).all()


@pytest.mark.parametrize(
    ("name", "bits"), [("float32", 32), ("float", 32), ("float16", 16), ("bfloat16", 16), ("float8e4m3fn", 8)]
)
def test_a_float_type_has_its_width(name: str, bits: int, tmp_path: Path) -> None:
    """As an entry of another layout that states it, but a narrow one, named by its type, is not reported."""
    entry = {"name": "w", "output_dtype": name} | ({"y_scale": 0.5} if bits < 16 else {})
    value = flat(entry)
    assert document(value).elements.bitwidth.tolist() == [bits]
    weight = weight_entries(document(value))["w"]
    assert (weight.is_float, weight.bitwidth) == (True, bits)
    # An op that reads a narrow one runs in another type.
    precisions = entry_precisions(document(value))
    assert precisions == ({"w": Precision(True, bits)} if bits >= 16 else {})
    assert "encodings/dtype" not in said(value, tmp_path)
    (row,) = rows(document(value))
    assert row.dtype == name and np.isnan(row.minimum).all()
