"""`plan --inputs`: each choice next to its measurement, and which of the two decides."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from simulated_networks import YOLO, inputs, saved, small_conv, unequal

from dlclint.cli.main import main


def inputs_file(path: Path, count: int = 3) -> str:
    """A file of normal samples for a model."""
    rows = [inputs(path, seed) for seed in range(count)]
    file = path.with_suffix(".npz")
    np.savez(file, **{name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
    return str(file)


def plan(path: Path, *arguments: str) -> int:
    return main(["plan", "--isolated", str(path), *arguments])


def report(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert plan(path, "--format", "json", *arguments) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    schema = resources.files("dlclint_schemas").joinpath("plan-v1.schema.json").read_text("utf-8")
    jsonschema.Draft202012Validator(json.loads(schema)).validate(data)
    return data


def topic(report_json: dict[str, Any], name: str) -> dict[str, Any]:
    return next(advice for advice in report_json["advice"] if advice["topic"] == name)


def test_every_choice_shows_predicted_and_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_conv(tmp_path)
    report_json = report(path, capsys, "--soc", "sm8550", "--inputs", inputs_file(path))
    assert "3 of 3" not in report_json["inputs"]
    assert report_json["inputs"].startswith("3 samples of")
    shown = {advice["topic"]: advice["measured"] for advice in report_json["advice"] if advice["measured"]}
    assert set(shown) >= {
        "outputs", "activations", "grid of convolutions", "weights", "4-bit weights", "range of weights",
        "biases",
    }  # fmt: skip
    for name, measured in shown.items():
        assert np.isfinite(measured["measured_db"]), name
        if (
            measured["decided"] == "measurement"
            and measured["predicted_db"] is not None
            and name != "outputs"
        ):
            assert abs(measured["measured_db"] - measured["predicted_db"]) > 3, name
        if measured["decided"] == "prediction" and measured["predicted_db"] is not None and name != "weights":
            assert abs(measured["measured_db"] - measured["predicted_db"]) <= 3, name
    assert topic(report_json, "outputs")["choice"] == "kept"
    # Without inputs nothing is reported as measured.
    assert all(advice["measured"] is None for advice in report(path, capsys, "--soc", "sm8550")["advice"])


def test_scores_that_a_shared_grid_loses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, file = saved(tmp_path, YOLO), tmp_path / "o.encodings"
    wanted = ("--soc", "sm8550", "--inputs", inputs_file(path), "--emit-overrides", str(file))
    report_json = report(path, capsys, *wanted)
    outputs = topic(report_json, "outputs")
    assert outputs["choice"] == "kept"
    assert "best class the same in 9" in outputs["reason"] or "in 100" in outputs["reason"]
    assert report_json["activations"]["wide_by_overrides"] == ["out"]
    assert topic(report_json, "activations")["choice"] == "8 bits, 16 for 1"
    # The file holds the grids that were measured: simulated, it leaves what the plan says.
    arguments = ["simulate", "--isolated", str(path), "--inputs", inputs_file(path), "--encodings", str(file)]
    assert main([*arguments, "--bias-bitwidth", "32", "--format", "json"]) == 0
    row = json.loads(capsys.readouterr().out)["files"][0]["engines"][0]["outputs"][0]
    assert row["sqnr"] == pytest.approx(outputs["measured"]["measured_db"], abs=0.05)
    # Nothing but the grid that two unlike tensors share is against it, and that is at 16 bits now.
    assert main(["check", "--isolated", str(path), "--encodings", str(file), "--runtime", "htp"]) == 0


def test_measuring_takes_back_what_was_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Boxes of hundreds of pixels are predicted to lose the scores; these inputs make them small."""
    path = saved(tmp_path, YOLO)
    small = inputs(path)
    file = tmp_path / "small.npz"
    np.savez(file, boxes=small["boxes"] * np.float32(0.01), logits=small["logits"])
    report_json = report(path, capsys, "--soc", "sm8550", "--inputs", str(file))
    assert report_json["activations"]["wide_by_overrides"] == []
    assert report_json["choice"]["act_bitwidth"] == 8
    assert topic(report_json, "outputs")["choice"] == "kept"


def test_a_target_moves_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_conv(tmp_path)
    wanted = ("--soc", "sm8550", "--inputs", inputs_file(path))
    assert report(path, capsys, *wanted)["choice"]["act_bitwidth"] == 8
    report_json = report(path, capsys, *wanted, "--target", "45dB")
    activations = topic(report_json, "activations")
    assert report_json["choice"]["act_bitwidth"] == 16 or report_json["activations"]["wide_by_overrides"]
    assert activations["measured"]["decided"] == "measurement"
    assert activations["measured"]["measured_db"] >= 44
    assert any(
        "--act_bitwidth" in word for line in report_json["commands"]["snpe"] for word in line["line"].split()
    )


def test_equalization_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = unequal(tmp_path)
    report_json = report(path, capsys, "--runtime", "dsp", "--inputs", inputs_file(path))
    advice = topic(report_json, "CLE")
    assert advice["measured"]["measured_db"] > 3
    assert (advice["choice"], report_json["choice"]["cle"]) == ("yes", True)
    assert topic(report_json, "activations")["measured"]["decided"] == "user"


def test_no_measurement_changes_what_the_sources_lack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No source says that HTP takes 4-bit weights of a recurrent op, however little they lose there."""
    random = np.random.default_rng(2)
    shapes = {"w": (1, 4, 3), "r": (1, 4, 4)}
    weights = {name: (random.normal(0, 1, shape) * 40).astype(np.float32) for name, shape in shapes.items()}
    body = "g (float[1,1,3] x) => (float[1,1,1,4] y) { y = RNN<hidden_size=4>(x, w, r) }"
    path = saved(tmp_path, body, weights)
    report_json = report(path, capsys, "--soc", "sm8550", "--inputs", inputs_file(path))
    advice = topic(report_json, "4-bit weights")
    assert abs(advice["measured"]["measured_db"] - advice["measured"]["predicted_db"]) > 3
    assert advice["measured"]["measured_db"] > 25
    assert (advice["choice"], advice["measured"]["decided"]) == ("no", "user")


def test_people_see_both_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_conv(tmp_path)
    wanted = ("--soc", "sm8550", "--inputs", inputs_file(path))
    assert plan(path, *wanted) == 0
    text = capsys.readouterr().out
    assert "predicted" in text
    assert "measured on 3 samples of" in text
    assert plan(path, *wanted, "--format", "markdown") == 0
    assert "| what | choose | predicted | measured | why |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target", "30"], "--target goes with --inputs"),
        (["--agreement", "0.9"], "--agreement goes with --inputs"),
        (["--input-layout", "x", "nhwc"], "--input-layout goes with --inputs"),
        (["--inputs", "absent.npz"], "absent.npz"),
        (
            ["--inputs", "INPUTS", "--float"],
            "--inputs measures what quantization costs, and --float asks for none",
        ),
        (
            ["--inputs", "INPUTS", "--input-moments", "x", "0", "1"],
            "--inputs takes the place of --input-moments",
        ),
        (["--inputs", "INPUTS", "--samples", "0"], "--samples 0: give a number of at least 1"),
        (["--inputs", "INPUTS", "--agreement", "0.9"], "no output of the model holds scores"),
    ],
)
def test_bad_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    path = saved(tmp_path, "g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }")
    words = [inputs_file(path) if word == "INPUTS" else word for word in arguments]
    assert plan(path, "--soc", "sm8550", *words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
