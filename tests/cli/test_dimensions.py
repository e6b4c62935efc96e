"""One set of options for dimensions: three ways to say the same, in every command; and what lacks a name."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper, parser

from dlclint.cli.main import main

CONVOLUTIONS = """<ir_version: 8, opset_import: ["" : 13]>
g (float[N,3,8,8] x) => (float[N,4,8,8] y) { a = Conv(x, v) b = Relu(a) y = Conv(b, w) }"""
OTHER = '<ir_version: 8, opset_import: ["" : 13]> g (float[M,3] z) => (float[M,3] y) { y = Relu(z) }'
WAYS = (("-d", "x", "2,3,8,8"), ("-s", "N", "2"), ("-b", "2"))
COMMANDS = {
    "check": ("--select", "batch,shapes,ops", "--format", "json"),
    "plan": ("--runtime", "htp", "--format", "json"),
    "equalize": ("-o", "new.onnx", "--format", "json", "--extended"),
    "confirm": ("--soc", "SM8550", "--format", "json"),
    "fix": ("-o", "new.onnx", "--format", "json"),
    "simulate": ("--samples", "1", "--format", "json"),
}
SEVERAL = ("check", "confirm", "fix", "simulate")
"""The commands that take several models."""
needs = {
    "confirm": pytest.mark.skipif(not find_spec("onnxruntime_qnn"), reason="needs onnxruntime-qnn"),
    "equalize": pytest.mark.skipif(not find_spec("onnxruntime"), reason="needs onnxruntime"),
    "simulate": pytest.mark.skipif(not find_spec("onnxruntime"), reason="needs onnxruntime"),
}
EVERY = [pytest.param(name, marks=needs.get(name, ())) for name in COMMANDS]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, random = parser.parse_model(CONVOLUTIONS), np.random.default_rng(0)
    for name, shape in (("v", (4, 3, 1, 1)), ("w", (4, 4, 1, 1))):
        values = random.standard_normal(shape) * np.exp(random.standard_normal((4, 1, 1, 1)))
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    Path("m.onnx").write_bytes(model.SerializeToString())
    Path("other.onnx").write_bytes(parser.parse_model(OTHER).SerializeToString())


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, bytes]:
    """Status, report and written model, without times and without the options that were repeated."""
    new = Path("new.onnx")
    new.unlink(missing_ok=True)
    status = main([*arguments])
    shown = capsys.readouterr()
    text = re.sub(r'"(seconds|elapsed)": [\d.e-]+', "", shown.out)
    for way in WAYS:
        text = text.replace(" ".join(way), "DIMENSIONS")
    return status, text + shown.err, new.read_bytes() if new.exists() else b""


@pytest.mark.parametrize("command", EVERY)
def test_three_ways_say_the_same(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    results = [result(capsys, command, "m.onnx", *COMMANDS[command], *way) for way in WAYS]
    without = result(capsys, command, "m.onnx", *COMMANDS[command])
    assert results[0] == results[1] == results[2]
    assert results[0][0] in (0, 1), results[0][1]
    if command != "equalize":  # whose factors follow from the weights alone
        assert without != results[0]


@pytest.mark.parametrize("command", [param for param in EVERY if param.values[0] in SEVERAL])
def test_a_model_without_the_input_does_not_stop_the_other(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--in-place",) if command == "fix" else COMMANDS[command]
    status, text, _ = result(capsys, command, "m.onnx", "other.onnx", *options, *WAYS[0])
    assert status in (0, 1), text
    assert list(dict.fromkeys(re.findall(r"\b(m|other)\.onnx", text))) == ["m", "other"]
