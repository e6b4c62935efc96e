"""Names that the model does not have: an error, a finding or a note, by who said them and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onnx import parser

from dlclint.cli.main import main

PAIR = """<ir_version: 8, opset_import: ["" : 12]>
g (float[N,3] image, float[N,3] mask) => (float[N,3] y) { y = Add(image, mask) }"""
OTHER = '<ir_version: 8, opset_import: ["" : 12]> g (float[M,3] frame) => (float[M,3] y) { y = Relu(frame) }'
NO_INPUT = "which is not an input of the model"
NO_SYMBOL = "which is not a dimension of any input; its symbols are N"
INPUTS = "its inputs are image, mask"
FORMATS = ("rich", "concise", "json", "sarif")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in (("pair.onnx", PAIR), ("other.onnx", OTHER)):
        Path(name).write_bytes(parser.parse_model(text).SerializeToString())


def findings(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str, str]]:
    report = json.loads(capsys.readouterr().out)
    return [
        (file["path"], finding["severity"], finding["message"])
        for file in report["files"]
        for finding in file["findings"]
        if finding["rule"] == "config/unknown-name"
    ]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("-d", "imgae", "1,3"), f"--input-dim names 'imgae', {NO_INPUT}; did you mean image? {INPUTS}"),
        (("-d", "y", "1,3"), f"--input-dim names 'y', {NO_INPUT}; {INPUTS}"),
        (("-s", "batch", "1"), f"--define-symbol names 'batch', {NO_SYMBOL}"),
        (("-e", "mask_", "rgb"), f"--input-encoding names 'mask_', {NO_INPUT}; did you mean mask? {INPUTS}"),
        (("-t", "x", "image"), f"--input-type names 'x', {NO_INPUT}; {INPUTS}"),
        # A correct part next to it does not make it correct.
        (("-d", "image", "1,3", "-s", "N", "1", "-s", "H", "1"), f"--define-symbol names 'H', {NO_SYMBOL}"),
    ],
)
def test_one_model(
    options: tuple[str, ...], expected: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--isolated", "--format", form, *options, "pair.onnx"]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"dlclint: error: pair.onnx: {expected}\n")


def test_what_fits_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-d", "mask", "1,3", "-s", "N", "1", "-e", "image", "nv21", "-t", "mask", "opaque", "-b", "1"]
    assert main(["check", "--isolated", "--format", "json", *options, "pair.onnx"]) == 0
    assert findings(capsys) == []


def test_a_symbol_counts_though_its_input_is_given_whole(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-d", "frame", "1,3", "-s", "M", "1"]
    assert main(["check", "--isolated", "--format", "json", *options, "other.onnx"]) == 0
    assert findings(capsys) == []


def test_several_models_of_which_one_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--isolated", "--format", "json", "-d", "frame", "1,3", "-b", "1", "."]) == 0
    assert findings(capsys) == [
        ("pair.onnx", "info", "--input-dim names 'frame', which is not an input of the model")
    ]


def test_several_models_of_which_none_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--isolated", "-s", "batch", "1", "pair.onnx", "other.onnx"]) == 2
    said = "--define-symbol names 'batch', which is a dimension of an input of none of the 2 models"
    assert capsys.readouterr().err == f"dlclint: error: {said}\n"


def test_a_model_that_cannot_be_read_is_reported_first(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.onnx").write_bytes(b"\xff\xff")
    assert main(["check", "--isolated", "--format", "concise", "-d", "x", "1", "broken.onnx"]) == 1
    assert "model/unreadable" in capsys.readouterr().out


def test_an_override_file_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pair.encodings").write_text('{"activation_encodings": {}, "param_encodings": {}}')
    assert main(["check", "--isolated", "-d", "x", "1,3", "pair.onnx"]) == 2
    assert "pair.onnx: --input-dim names 'x'" in capsys.readouterr().err
    assert main(["check", "--isolated", "-d", "x", "1,3", "pair.encodings"]) == 2
    assert "pair.encodings: --input-dim names 'x'" in capsys.readouterr().err


def test_a_plan_refuses_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--runtime", "htp", "-d", "imgae", "1,3", "pair.onnx"]) == 2
    assert capsys.readouterr().err.endswith("did you mean image? its inputs are image, mask\n")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("glob", "severity"), [("pair.onnx", "warning"), ("*.onnx", "info")])
def test_a_section_of_the_configuration(
    glob: str, severity: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("dlclint.toml").write_text(f'''
        [[models]]
        path = "{glob}"
        input-dim = {{ image = [1, 3], imgae = [1, 3] }}
        ''')
    assert main(["check", "--format", form, "-b", "1", "pair.onnx"]) == 0
    shown = capsys.readouterr().out
    said = f"input-dim of section '{glob}' names 'imgae', which is not an input of the model"
    assert said in " ".join(shown.split())
    if form == "json":
        (finding,) = [
            reported
            for reported in json.loads(shown)["files"][0]["findings"]
            if reported["rule"] == "config/unknown-name"
        ]
        assert (finding["severity"], finding["help"]) == (
            severity,
            "did you mean image? its inputs are image, mask",
        )


def test_an_ignore_with_its_reason_silences_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("dlclint.toml").write_text("""
        [[ignores]]
        rule = "config/unknown-name"
        reason = "the hook gives every model the symbols of all"
        """)
    assert main(["check", "--format", "json", "-s", "batch", "1", "-b", "1", "pair.onnx"]) == 0
    assert findings(capsys) == []


def test_sizes_that_begin_with_a_minus_are_reported_as_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    """argparse takes them for an option, and would count arguments."""
    with pytest.raises(SystemExit) as stop:
        main(["check", "--isolated", "-d", "image", "-1,3", "pair.onnx"])
    assert stop.value.code == 2
    assert "-1,3 has sizes below 1" in capsys.readouterr().err
