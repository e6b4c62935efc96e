"""dlclint from Python: the same findings as the command line, typed, and safe in notebooks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from onnx import parser

import dlclint
from dlclint.cli.main import main

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N,3] x) => (float[N] y) { t = Relu(x) y = Det(t) }"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    proto = parser.parse_model(MODEL)
    proto.graph.node[1].name = "<script>alert(1)</script>"
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_as_the_command_line(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = dlclint.lint(
        model, soc="sm8650", quantize=True, act_bitwidth=16, symbols={"N": 1}, select=["ops", "batch"]
    )
    line = ["--soc", "sm8650", "--quantize", "--act-bitwidth", "16", "-s", "N", "1", "--select", "ops,batch"]
    assert main(["check", "--isolated", "--format", "json", *line, str(model)]) == 1
    assert json.loads(report.text("json")) == json.loads(capsys.readouterr().out)
    assert [finding.rule for finding in report.errors] == ["ops/unsupported"]
    assert report.errors[0].severity is dlclint.Severity.ERROR
    assert isinstance(report.findings[0], dlclint.Diagnostic)
    assert len(report) == len(list(report)) == len(report.findings)
    assert "ops/unsupported Det" in str(report)


def test_an_override_file_goes_with_it(model: Path, tmp_path: Path) -> None:
    overrides = tmp_path / "other.json"
    entry = [
        {
            "bitwidth": 8,
            "dtype": "int",
            "is_symmetric": "False",
            "min": 0.0,
            "max": 1.0,
            "scale": 1 / 255,
            "offset": 0,
        }
    ]
    text = {"version": "0.6.1", "activation_encodings": {"tt": entry}, "param_encodings": {}}
    overrides.write_text(json.dumps(text), "utf-8")
    report = dlclint.lint(model, encodings=overrides)
    assert [file.kind for file in report.files] == ["model", "encodings"]
    assert "encodings/unknown-tensor" in {finding.rule for finding in report}


def test_in_a_notebook(model: Path) -> None:
    html = dlclint.lint(model)._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "ops/unsupported" in html and "help: " in html
    quiet = dlclint.lint(model, select=["model/lfs-pointer"])
    assert quiet and not quiet.findings
    assert "<table>" not in quiet._repr_html_() and "0 errors" in quiet._repr_html_()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"soc": "nonsense"}, "unknown SoC"),
        ({"runtime": "hpt"}, "did you mean htp?"),
        ({"act_bitwidth": 16}, "option of the quantizer"),
        ({"input_dims": {"z": [1]}}, "z"),
        ({"select": ["nosuch"]}, "nosuch"),
        ({"encodings": "nosuch.json"}, "nosuch.json"),
    ],
)
def test_what_cannot_be_done(model: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(dlclint.CannotLint, match=message):
        dlclint.lint(model, **arguments)  # type: ignore[arg-type]
    with pytest.raises(dlclint.CannotLint):
        dlclint.lint(model.with_name("nosuch.onnx"))


def test_public_names() -> None:
    assert all(getattr(dlclint, name) is not None for name in dlclint.__all__)
    with pytest.raises(AttributeError):
        dlclint.nosuch  # noqa: B018
    code = "import sys, dlclint; print(sorted({'onnx', 'numpy', 'dlclint.cli.main'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
