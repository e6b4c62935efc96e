"""`--soc A --soc B`: what holds for all chips is said once, what holds for some names them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from onnx import parser

import dlclint
from dlclint.cli.main import main

CONV = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1,2,8,8] x) => (float[1,1,8,8] y) <float[1,2,1,1] w = {1, 2}> { z = Conv(x, w)  y = Erf(z) }"""
SCHEMA = json.loads(files("dlclint_schemas").joinpath("report-v1.schema.json").read_text("utf-8"))
WIDE = ("--runtime", "htp", "--quantize", "--act-bitwidth", "16", "--weights-bitwidth", "16")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("m.onnx")
    path.write_bytes(parser.parse_model(CONV.replace("Erf", "Relu")).SerializeToString())
    return path


def report(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, Any]]:
    status = main(["check", "--format", "json", *options, "m.onnx"])
    report_json = json.loads(capsys.readouterr().out)
    jsonschema.validate(report_json, SCHEMA)
    return status, report_json["files"][0]


def chips(*names: str) -> list[str]:
    return [word for name in names for word in ("--soc", name)]


def test_a_finding_names_the_chips_that_it_holds_for(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, file = report(capsys, *WIDE, *chips("sm8650", "sm7325", "865", "8 Gen 3"))
    assert status == 1
    assert [chip["soc"]["name"] for chip in file["chips"]] == ["SM8650", "SM7325", "SM8250"]
    errors = {
        finding["message"]: finding.get("socs")
        for finding in file["findings"]
        if finding["severity"] == "error"
    }
    assert sorted(map(str, errors.values())) == ["['SM7325']", "['SM8250']", "['SM8250']"]
    assert all(message.endswith(f" (only on {socs[0]})") for message, socs in errors.items() if socs)
    everywhere = [finding for finding in file["findings"] if finding["rule"] == "ops/version-not-listed"]
    assert len(everywhere) == 1
    assert "socs" not in everywhere[0]
    runs = [{row["runtime"]: row["word"] for row in chip["verdict"]["runs"]} for chip in file["chips"]]
    assert runs == [{"htp": "whole"}, {"htp": "no"}, {}]
    assert [chip["counts"]["error"] for chip in file["chips"]] == [0, 1, 2]
    assert file["target"]["soc"]["name"] == "SM8650"


def test_each_chip_is_checked_as_alone(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("sm8650", "sm7325", "865", "sm8950", "X Elite")
    _, several = report(capsys, *WIDE[2:], *chips(*names))
    for name, chip in zip(names, several["chips"], strict=True):
        _, alone = report(capsys, *WIDE[2:], *chips(name))
        assert chip["verdict"] == alone["verdict"]
        counts = {
            key: sum(finding["severity"] == key for finding in alone["findings"]) for key in chip["counts"]
        }
        assert chip["counts"] == counts
        said = {
            (finding["rule"], finding["message"].partition(" (only on ")[0])
            for finding in several["findings"]
            if chip["soc"]["name"] in finding.get("socs", [chip["soc"]["name"]])
        }
        assert said == {(finding["rule"], finding["message"]) for finding in alone["findings"]}


def test_the_worst_chip_decides(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *WIDE, *chips("sm8650", "sm8550"), "m.onnx"]) == 0
    assert main(["check", *WIDE, *chips("sm8650", "sm7325"), "m.onnx"]) == 1
    model.write_bytes(parser.parse_model(CONV).SerializeToString())
    capsys.readouterr()
    status, file = report(capsys, *chips("sm8650", "sm7325"))
    assert status == 1
    assert file["verdict"]["converts"]["word"] == "no"
    assert [chip["verdict"]["converts"]["word"] for chip in file["chips"]] == ["no", "no"]
    assert not any("socs" in finding for finding in file["findings"] if finding["rule"] == "ops/pattern-only")


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("rich", "SM7325 (778G)        v68      yes       htp no"),
        ("markdown", "| SM7325 (778G) | v68 | yes | htp no | unknown | 1 error, 0 warnings, 1 note |"),
        ("concise", "m.onnx: SM7325 (778G): converts yes, runs htp no, accuracy unknown, findings 1 error, "),
    ],
)
def test_the_matrix(form: str, says: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--format", form, "--select", "ops,runtime", *WIDE, *chips("sm8650", "sm7325"), "m.onnx"])
    assert says in capsys.readouterr().out


def test_the_configuration_names_several(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("dlclint.toml").write_text('[[models]]\npath = "*"\nsoc = ["sm8650", "sm7325"]\n', "utf-8")
    _, file = report(capsys)
    assert len(file["chips"]) == 2
    _, file = report(capsys, "--soc", "sm8550")
    assert "chips" not in file
    assert main(["plan", "m.onnx"]) == 2
    assert "takes one chip" in capsys.readouterr().err
    assert main(["plan", "--soc", "sm8650", "m.onnx"]) == 0


def test_an_override_file(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"bitwidth": 16, "is_symmetric": "True", "min": -1.0, "max": 1.0, "offset": -32768}
    entry["scale"] = 1 / 32767
    table = {"version": "0.6.1", "activation_encodings": {}, "param_encodings": {"w": [entry]}}
    Path("m.encodings").write_text(json.dumps(table), "utf-8")
    main(["check", "--format", "json", *chips("sm8650", "sm7325"), "m.onnx"])
    report_json = json.loads(capsys.readouterr().out)
    jsonschema.validate(report_json, SCHEMA)
    assert [[chip["verdict"] is None for chip in file["chips"]] for file in report_json["files"]] == [
        [False, False],
        [True, True],
    ]


def test_what_cannot_be_asked(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--confirm", *chips("sm8650", "sm7325"), "m.onnx"]) == 2
    assert "--confirm takes one chip" in capsys.readouterr().err
    assert main(["check", *chips("sm8650", "zzz"), "m.onnx"]) == 2
    assert "--soc zzz: unknown SoC" in capsys.readouterr().err


def test_from_python(model: Path) -> None:
    (file,) = dlclint.lint(model, soc=["sm8650", "sm7325"]).outcome.files
    assert [chip.soc.name for chip in file.chips] == ["SM8650", "SM7325"]
