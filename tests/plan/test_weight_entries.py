"""A plan leaves weights alone that an override file has a grid for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from awkward import save
from onnx import helper

from dlclint.cli.main import main


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main(["plan", "--isolated", "--format", "json", "--soc", "SM8550", *arguments])
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


VERSIONS = ("0.6.1", "1.0.0", "2.0.0")
LEGACY = {"bitwidth": 8, "dtype": "int", "is_symmetric": "True"}


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two convolutions with a tensor between them."""
    monkeypatch.chdir(tmp_path)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Conv", ["a", "v"], ["y"])]
    return save("m.onnx", nodes, {"x": [1, 4, 4, 4], "y": [1, 4, 4, 4]}, WEIGHTS)


WEIGHTS = {
    name: np.random.default_rng(seed).normal(size=(4, 4, 1, 1)).astype(np.float32)
    for seed, name in enumerate("wv")
}


def write_overrides(
    version: str, names: str, activations: str = "", bits: int = 8, path: str = "overrides.json"
) -> str:
    """An override file with a grid for each channel of some weights, and 16-bit entries of activations."""
    scales = {name: np.abs(WEIGHTS[name]).max(axis=(1, 2, 3)) / (2 ** (bits - 1) - 1) for name in names}
    half = 2 ** (bits - 1)
    whole: dict[str, Any]
    if version == "2.0.0":
        entries: list[dict[str, Any]] = [
            {"name": name, "output_dtype": f"int{bits}", "y_scale": row.tolist(), "axis": 0}
            for name, row in scales.items()
        ]
        entries += [
            {"name": name, "output_dtype": "uint16", "y_scale": 1e-4, "y_zero_point": 32768}
            for name in activations
        ]
        whole = {"encodings": entries}
    elif version == "1.0.0":
        head = {"dtype": "INT", "is_sym": True}
        whole = {
            "param_encodings": [
                {
                    **head,
                    "name": name,
                    "bw": bits,
                    "enc_type": "PER_CHANNEL",
                    "scale": row.tolist(),
                    "offset": [-half] * 4,
                }
                for name, row in scales.items()
            ],
            "activation_encodings": [
                {
                    **head,
                    "name": name,
                    "bw": 16,
                    "enc_type": "PER_TENSOR",
                    "is_sym": False,
                    "scale": [1e-4],
                    "offset": [-32768],
                }
                for name in activations
            ],
        }
    else:
        channels = {
            name: [
                {
                    **LEGACY,
                    "bitwidth": bits,
                    "scale": s,
                    "offset": -half,
                    "min": s * -half,
                    "max": s * (half - 1),
                }
                for s in row.tolist()
            ]
            for name, row in scales.items()
        }
        wide = {"is_symmetric": "False", "scale": 1e-4, "offset": -32768, "min": -3.2768, "max": 3.2767}
        whole = {
            "param_encodings": channels,
            "activation_encodings": {name: [{**LEGACY, **wide, "bitwidth": 16}] for name in activations},
        }
    Path(path).write_text(json.dumps({**whole, "version": version}))
    return path


def names_in(path: str) -> set[str]:
    whole = json.loads(Path(path).read_text())
    sections = [
        whole[key] for key in ("encodings", "param_encodings", "activation_encodings") if key in whole
    ]
    return {
        name
        for section in sections
        for name in (section if isinstance(section, dict) else (entry["name"] for entry in section))
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_entries_hold(version: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    free = planned(capsys, model)
    held = planned(capsys, model, "--encodings", write_overrides(version, "w", bits=4))
    assert "1 of 2 weights has width and grid from the override file" in " ".join(held["notes"])
    by_weight = [{row["weight"]: row["chosen_db"] for row in plan["layers"]} for plan in (free, held)]
    assert by_weight[0]["v"] == by_weight[1]["v"]
    assert by_weight[1]["w"] < by_weight[0]["w"] - 12


@pytest.mark.parametrize("version", VERSIONS)
def test_the_commands_take_the_file(version: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    held = planned(capsys, model, "--encodings", write_overrides(version, "wv"))["commands"]
    for family in ("snpe", "qairt"):
        assert ["--quantization_overrides", "overrides.json"] in held[family][0]["options"]
    assert ["--override_params"] in held["snpe"][1]["options"]
    assert ["--float_bitwidth", "32"] in held["qairt"][0]["options"]
    Path("m.encodings").write_text(Path("overrides.json").read_text())
    beside = planned(capsys, model)["commands"]["snpe"]
    assert ["--quantization_overrides", "m.encodings"] in beside[0]["options"]
    free = planned(capsys, model, "--float")["commands"]["snpe"]
    assert "--quantization_overrides" not in free[0]["line"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("source", VERSIONS)
def test_the_file_that_is_written_holds_both(
    source: str, version: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_overrides(source, "w", "a")
    emit = ("--emit-overrides", "o.json", "--encodings-version", version)
    held = planned(capsys, model, "--encodings", file, *emit)
    assert names_in("o.json") == {"w", "v", "a"}
    assert "written from overrides.json: 2 tensors" in held["notes"]
    assert ["--quantization_overrides", "o.json"] in held["commands"]["snpe"][0]["options"]
    main(["check", "--isolated", "--format", "json", "--encodings", "o.json", "--select", "encodings", model])
    files = json.loads(capsys.readouterr().out)["files"]
    findings = [finding for file in files for finding in file["findings"]]
    assert {finding["rule"] for finding in findings} <= {"encodings/coverage"}


def test_entries_of_the_same_version_stay_as_they_are(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = {
        "name": "w",
        "output_dtype": "int4",
        "y_scale": [[[[0.1]], [[0.2]]]] * 4,
        "axis": 1,
        "block_size": 2,
    }
    Path("overrides.json").write_text(json.dumps({"version": "2.0.0", "encodings": [blocks]}))
    emit = ("--emit-overrides", "o.json", "--encodings-version", "2.0.0")
    planned(capsys, model, "--encodings", "overrides.json", *emit)
    first, second = json.loads(Path("o.json").read_text())["encodings"]
    assert first == blocks and second["name"] == "v"
    main(
        [
            "plan",
            "--isolated",
            "--soc",
            "SM8550",
            "--encodings",
            "overrides.json",
            *emit[:2],
            "--overwrite",
            model,
        ]
    )
    assert "block quantization is not converted" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("version", VERSIONS)
def test_what_has_no_entry_gets_the_width_of_what_has(
    version: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    held = planned(capsys, model, "--encodings", write_overrides(version, "wv", "ay", bits=4))
    said = {advice["topic"]: advice for advice in held["advice"]}
    assert said["activations"]["choice"] == "16 bits"
    assert "as 2 of the 2 activations in the override file" in said["activations"]["reason"]
    assert said["weights"]["choice"] == "4 bits"
    assert "all 2 weights have width and grid from the override file" in said["weights"]["reason"]
    assert held["activations"]["total"] == 0
    settled = planned(capsys, model, "--encodings", "overrides.json", "--act-bitwidth", "8")
    assert {advice["topic"]: advice["choice"] for advice in settled["advice"]}["activations"] == "8 bits"


def test_what_is_wrong_with_the_file_is_an_obstacle(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"name": "elsewhere", "output_dtype": "int8", "y_scale": 0.1}
    Path("overrides.json").write_text(json.dumps({"version": "2.0.0", "encodings": [entry]}))
    words = [
        "plan",
        "--isolated",
        "--format",
        "json",
        "--soc",
        "SM8550",
        "--encodings",
        "overrides.json",
        model,
    ]
    assert main(words) == 1
    assert "encodings/unknown-tensor" in {
        row["rule"] for row in json.loads(capsys.readouterr().out)["errors"]
    }


def test_a_file_next_to_the_model_is_replaced(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_overrides("2.0.0", "w", bits=4, path="m.encodings")
    emit = ("--emit-overrides", "m.encodings", "--encodings-version", "2.0.0", "--overwrite")
    held = planned(capsys, model, *emit)
    assert not any("from the override file" in note for note in held["notes"])
    entries = json.loads(Path("m.encodings").read_text())["encodings"]
    assert {entry["name"]: entry["output_dtype"] for entry in entries} == {"w": "int8", "v": "int8"}


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"")
    assert main(["plan", str(model), "--encodings", str(tmp_path / "none.encodings")]) == 2
    assert "does not exist" in capsys.readouterr().err
