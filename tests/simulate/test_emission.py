"""The override file of a simulation: it passes every rule, and gives the same simulation again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from simulated_networks import SMALL_RANGES, YOLO, saved, small_conv
from test_engines import attention

from dlclint.cli.main import main

BUILDS = {
    "conv": small_conv,
    "attention": attention,
    "yolo": lambda folder: saved(folder, YOLO),
    "small ranges": lambda folder: saved(folder, SMALL_RANGES),
}


def simulated(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    command = ["simulate", "--isolated", str(path), "--samples", "2", "--format", "json", *arguments]
    assert main(command) == 0
    (engine,) = json.loads(capsys.readouterr().out)["files"][0]["engines"]
    return {row["tensor"]: (row["step"], row["bitwidth"], row["arrived"]) for row in engine["layers"]}


@pytest.mark.parametrize("version", ["0.6.1", "1.0.0", "2.0.0"])
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    "widths",
    [(), ("--act-bitwidth", "16", "--use-per-channel-quantization", "--bias-bitwidth", "32")],
    ids=["a8", "a16"],
)
def test_the_file_passes_every_rule_and_says_what_was_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str, build: str, widths: tuple[str, ...]
) -> None:
    path = BUILDS[build](tmp_path)
    file = tmp_path / "o.json"
    first = simulated(path, capsys, *widths, "--emit-overrides", str(file), "--encodings-version", version)
    check = ["check", "--isolated", str(path), "--encodings", str(file), "--runtime", "htp", "--quantize"]
    main([*check, *widths, "--select", "encodings,precision", "--format", "json"])
    report = json.loads(capsys.readouterr().out)
    findings = [finding for one in report["files"] for finding in one["findings"]]
    rules = {finding["rule"] for finding in findings if finding["severity"] != "info"}
    # Boxes and scores in one 8-bit output are just what the rule warns of.
    assert rules == ({"encodings/shared-grid"} if build == "yolo" and not widths else set())
    again = simulated(path, capsys, *widths, "--encodings", str(file))
    assert _close(again, first)


def _close(one: dict[str, object], other: dict[str, object]) -> bool:
    return one.keys() == other.keys() and all(
        a[:2] == b[:2] and (a[2] == b[2] or abs(a[2] - b[2]) < 1e-3)  # type: ignore[index]
        for a, b in ((one[name], other[name]) for name in one)
    )


def test_biases_are_written_where_the_version_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_conv(tmp_path)
    file = tmp_path / "o.json"
    options = ("--bias-bitwidth", "32", "--emit-overrides", str(file), "--encodings-version")
    simulated(path, capsys, *options, "2.0.0")
    entries = {entry["name"]: entry for entry in json.loads(file.read_text())["encodings"]}
    assert entries["b3"]["output_dtype"] == "int32"
    scales = (entries[name]["y_scale"] for name in ("f", "w3"))
    first, second = scales
    assert entries["b3"]["y_scale"] == pytest.approx(first * second)
    assert "beta" not in entries
    simulated(path, capsys, *options, "0.6.1")
    assert "b3" not in json.loads(file.read_text())["param_encodings"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("0.6.1", "32"), "not written: 3 int32 biases, which 0.6.1 does not hold; for the same result, the"),
        (
            ("2.0.0", "32"),
            "not written: 1 int32 bias, made of batch normalizations; for the same result, the",
        ),
        (("2.0.0", "8"), None),
    ],
)
def test_int32_biases_that_a_file_does_not_hold_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str], says: str | None
) -> None:
    """Without them, the quantizer's default of 8 bits takes the place of what was measured."""
    version, width = options
    arguments = [
        "simulate",
        "--isolated",
        str(small_conv(tmp_path)),
        "--samples",
        "1",
        "--bias-bitwidth",
        width,
    ]
    arguments += ["--emit-overrides", str(tmp_path / "o.json"), "--encodings-version", version]
    assert main([*arguments, "--format", "json"]) == 0
    notes = json.loads(capsys.readouterr().out)["files"][0]["notes"]
    unwritten = [note for note in notes if note.startswith("not written: ")]
    assert [note.startswith(says) for note in unwritten] == [True] if says else unwritten == []
    assert all("needs --bias_bitwidth 32" in note for note in unwritten)


def test_one_file_goes_with_one_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_conv(tmp_path)
    (tmp_path / "other.onnx").write_bytes((tmp_path / "m.onnx").read_bytes())
    assert main(["simulate", "--isolated", str(tmp_path), "--emit-overrides", "o.json"]) == 2
    assert "--emit-overrides goes with one model, here are 2" in capsys.readouterr().err
