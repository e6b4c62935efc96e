"""No output replaces an input, or a file of another kind, unless told to."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from dlclint.cli.main import main

OVERRIDES = json.dumps({"activation_encodings": {}, "param_encodings": {}})
PLAN = ("plan", "m.onnx", "--isolated", "--runtime", "htp")
SIMULATE = ("simulate", "m.onnx", "--isolated", "--samples", "1")
EXTRACT = ("encodings", "extract", "m.onnx")
CONFIRM = ("confirm", "m.onnx", "--isolated", "--soc", "SM8550", "--quantize")
COMMANDS = {
    "check over its model": ("check", "m.onnx", "-o", "m.onnx"),
    "check over its override file": ("check", "y.onnx", "--encodings", "e", "-o", "e"),
    "check over another model": ("check", "m.onnx", "-o", "other.onnx"),
    "check over a model with a loud name": ("check", "m.onnx", "-o", "LOUD.ONNX"),
    "check over a hard link": ("check", "m.onnx", "-o", "link.txt"),
    "check over an override file": ("check", "m.onnx", "-o", "old.encodings"),
    "check over an override file in JSON": ("check", "m.onnx", "-o", "old.json"),
    "check over external data": ("check", "m.onnx", "-o", "weights.data"),
    "check over the configuration": ("check", "m.onnx", "-o", "dlclint.toml"),
    "plan over its model": (*PLAN, "-o", "m.onnx"),
    "overrides over the model": (*PLAN, "--emit-overrides", "m.onnx"),
    "overrides over external data": (*PLAN, "--emit-overrides", "weights.data"),
    "plan over an override file": (*PLAN, "-o", "old.encodings"),
    "equalize over its model": ("equalize", "m.onnx", "-o", "m.onnx"),
    "equalize over an override file": ("equalize", "m.onnx", "-o", "old.encodings"),
    "fix over its model": ("fix", "m.onnx", "-o", "m.onnx"),
    "fix over its override file": ("fix", "old.encodings", "-o", "old.encodings"),
    "fix over a hard link": ("fix", "old.encodings", "-o", "link.encodings"),
    "overrides over a model": ("fix", "old.encodings", "-o", "other.onnx"),
    "convert over itself": ("encodings", "convert", "old.encodings", "--to", "1.0.0", "-o", "old.encodings"),
    "simulate over its model": (*SIMULATE, "-o", "m.onnx"),
    "simulate over another model": (*SIMULATE, "-o", "other.onnx"),
    "simulate over its inputs": (*SIMULATE, "--inputs", "report.txt", "-o", "report.txt"),
    "simulated overrides over a model": (*SIMULATE, "--emit-overrides", "other.onnx"),
    "extract over an override file": (*EXTRACT, "-o", "old.encodings", "--encodings", "new.encodings"),
    "extracted overrides over a model": (*EXTRACT, "-o", "new.onnx", "--encodings", "other.onnx"),
    "explain over its log": ("explain", "log.txt", "-o", "log.txt"),
    "explain over a model": ("explain", "log.txt", "-o", "other.onnx"),
}


def conv(path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, 1, [1, 4, 8, 8]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7), path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("m.onnx", "y.onnx", "other.onnx", "LOUD.ONNX"):
        conv(tmp_path / name)
    for name in ("e", "old.encodings", "old.json"):
        (tmp_path / name).write_text(OVERRIDES, "utf-8")
    os.link(tmp_path / "m.onnx", tmp_path / "link.txt")
    os.link(tmp_path / "old.encodings", tmp_path / "link.encodings")
    (tmp_path / "weights.data").write_bytes(np.ones(4, np.float32).tobytes())
    (tmp_path / "log.txt").write_text("ERROR\n", "utf-8")
    (tmp_path / "report.txt").write_text("an old report\n", "utf-8")
    (tmp_path / "dlclint.toml").write_text("fail-on = 'never'\n", "utf-8")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_nothing_is_replaced(
    command: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    assert main(command) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "--overwrite" in output.err
    assert contents(folder) == before


@pytest.mark.skipif(find_spec("onnxruntime_qnn") is None, reason="needs onnxruntime-qnn, which confirm asks")
@pytest.mark.parametrize(
    "outputs",
    [("-o", "m.onnx"), ("-o", "other.onnx"), ("-o", "old.encodings"), ("--dlc", "other.onnx")],
    ids=" ".join,
)
def test_confirm_replaces_nothing(
    outputs: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test_nothing_is_replaced((*CONFIRM, *outputs), folder, capsys)


@pytest.mark.parametrize("output", ["report.txt", "new.txt", "new.onnx"])
def test_a_report_or_nothing_is_replaced(output: str, folder: Path) -> None:
    assert main(["check", "m.onnx", "-o", output, "--format", "concise"]) in (0, 1)
    assert "notes in" in (folder / output).read_text("utf-8")


def test_an_empty_file_is_replaced(folder: Path) -> None:
    (folder / "empty.encodings").touch()
    assert main(["encodings", "convert", "old.encodings", "--to", "2.0.0", "-o", "empty.encodings"]) == 0
    assert (folder / "empty.encodings").read_text("utf-8") != ""


def test_overwrite_insists(folder: Path) -> None:
    assert main(["check", "m.onnx", "-o", "other.onnx", "--format", "concise", "--overwrite"]) in (0, 1)
    assert "notes in" in (folder / "other.onnx").read_text("utf-8")
    assert main(["equalize", "m.onnx", "-o", "m.onnx", "--overwrite"]) == 0
    onnx.checker.check_model(str(folder / "m.onnx"))


def test_a_model_never_takes_the_place_of_its_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load("m.onnx")
    onnx.save(model, "ext.onnx", save_as_external_data=True, location="data.onnx", size_threshold=0)
    before = contents(folder)
    assert main(["equalize", "ext.onnx", "-o", "data.onnx"]) == 2
    assert "external data" in capsys.readouterr().err
    assert contents(folder) == before


@pytest.mark.parametrize("outputs", [("-o", "m.onnx"), ("-o", "new.onnx", "--encodings", "m.onnx")])
def test_extract_writes_no_output_over_its_model(
    outputs: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    assert main([*EXTRACT, *outputs, "--overwrite"]) == 2
    assert "must be three files" in capsys.readouterr().err
    assert contents(folder) == before


def test_one_file_is_not_two_outputs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*PLAN, "-o", "new.txt", "--emit-overrides", "./new.txt"]) == 2
    assert "two files" in capsys.readouterr().err
    assert not (folder / "new.txt").exists()
