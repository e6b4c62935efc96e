"""A plan evaluates the tensors that share a grid one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlclint.cli.main import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "quantization" / "shared-grid"


def planned(
    capsys: pytest.CaptureFixture[str], *arguments: str, topic: str = "one grid for several"
) -> list[dict[str, Any]]:
    main(["plan", "--isolated", "--format", "json", *arguments])
    advice = json.loads(capsys.readouterr().out)["advice"]
    return [row for row in advice if row["topic"] == topic]


def test_scores_next_to_boxes_get_16_bits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "overrides.json"
    model = str(FIXTURES / "bad_detector.onnxtxt")
    (advice,) = planned(capsys, "--soc", "SM8550", "--emit-overrides", str(file), model)
    assert advice["choice"] == "16 bits there"
    assert advice["evidence"]["lost"] == "odds"
    assert advice["evidence"]["steps"] == pytest.approx(1 / ((496 + 464) / 255))
    assert json.loads(file.read_text())["activation_encodings"]["y"] == [{"bitwidth": 16, "dtype": "int"}]


def test_v66_lets_them_leave_apart(capsys: pytest.CaptureFixture[str]) -> None:
    (advice,) = planned(capsys, "--runtime", "dsp", str(FIXTURES / "bad_detector.onnxtxt"))
    assert advice["choice"] == "separate outputs"
    assert "16 bits" not in advice["reason"]


def test_unknown_boxes_are_to_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    (advice,) = planned(capsys, "--runtime", "htp", str(FIXTURES / "bad_unknown_boxes.onnxtxt"))
    assert advice["choice"] == "look at it"


def test_a_large_number_next_to_what_is_not_known_is_to_be_looked_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (advice,) = planned(capsys, "--runtime", "htp", str(FIXTURES / "bad_number_beside_unknown.onnxtxt"))
    assert advice["choice"] == "look at it"
    assert "16 bits" not in advice["reason"]


def test_what_is_not_evaluated_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    model = str(FIXTURES / "good_unknown_not_stretched.onnxtxt")
    assert planned(capsys, "--runtime", "htp", model) == []
    (advice,) = planned(capsys, "--runtime", "htp", model, topic="shared grids")
    assert (advice["choice"], advice["evidence"]) == ("unknown", {"grids": 1})
    assert "'s' (0 to 1) and 'p'" in advice["reason"]


@pytest.mark.parametrize("width", [["--act-bitwidth", "16"], ["--float"]])
def test_no_word_where_all_fit(capsys: pytest.CaptureFixture[str], width: list[str]) -> None:
    assert planned(capsys, "--runtime", "htp", *width, str(FIXTURES / "bad_detector.onnxtxt")) == []


def test_overrides_keep_scales_at_8_bits_and_fixed_ranges_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,4] x) => (float[1,3,4] y)
<float[4] scale = {0.5, 1.0, 1.5, -0.25}, float[4] bias = {0, 0.1, 0, 0}>
{
  n = LayerNormalization(x, scale, bias)
  y = Tanh(n)
}"""
    model, file = tmp_path / "m.onnxtxt", tmp_path / "o.json"
    model.write_text(text)
    options = ["--soc", "SA8295", "--act-bitwidth", "16", "--emit-overrides", str(file)]
    main(["plan", "--isolated", *options, "--estimated-activations", str(model)])
    data = json.loads(file.read_text())
    (scale,) = data["param_encodings"]["scale"]
    assert (scale["bitwidth"], scale["is_symmetric"]) == (8, "False")
    (output,) = data["activation_encodings"]["y"]
    assert (output["min"], output["scale"], output["offset"]) == (-1.0, 2 / 65536, -32768)
    capsys.readouterr()
    kind = ["--soc", "SA8295", "--quantize", "--act-bitwidth", "16"]
    main(["check", "--isolated", "--format", "json", *kind, str(model), "--encodings", str(file)])
    files = json.loads(capsys.readouterr().out)["files"]
    rules = {finding["rule"] for each in files for finding in each["findings"]}
    assert not rules & {"runtime/side-input", "encodings/side-input", "encodings/range-not-fixed"}
