"""Each line of bad input that the command is to survive: one clear line, status 2, and the rest goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from simulated_networks import saved

from dlclint.cli.main import main
from dlclint.confirm.process import backend

needs_backend = pytest.mark.skipif(find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn is absent")
MODEL = "g (float[1,3,4,4] x) => (float[1,3,4,4] y) { y = Sigmoid(x) }"


def raw(size: int) -> Callable[[Path], Path]:
    def write_inputs(folder: Path) -> Path:
        np.zeros(size, np.float32).tofile(folder / "x.raw")
        (folder / "list.txt").write_text("x:=x.raw\n")
        return folder / "list.txt"

    return write_inputs


def array(values: np.ndarray) -> Callable[[Path], Path]:
    def write_inputs(folder: Path) -> Path:
        np.save(folder / "x.npy", values)
        return folder / "x.npy"

    return write_inputs


def missing(folder: Path) -> Path:
    (folder / "list.txt").write_text("x:=gone.raw\n")
    return folder / "list.txt"


@pytest.mark.parametrize(
    ("write_inputs", "says"),
    [
        (raw(5), "x"),
        (array(np.zeros((1, 3, 4), np.float32)), "x"),
        (array(np.zeros((1, 4, 4, 3), np.float32)), "x"),
        (array(np.array([["text"] * 3])), "x"),
        (array(np.full((1, 3, 4, 4), np.nan, np.float32)), "not finite"),
        (missing, "gone.raw"),
    ],
    ids=["size", "rank", "order", "type", "nan", "missing"],
)
@pytest.mark.parametrize("command", ["simulate", "plan"])
def test_inputs_that_do_not_fit(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    write_inputs: Callable[[Path], Path],
    says: str,
) -> None:
    path, file = saved(tmp_path, MODEL), tmp_path / "o.encodings"
    before = path.read_bytes()
    arguments = [
        "--inputs",
        str(write_inputs(tmp_path)),
        "--emit-overrides",
        str(file),
        "--input-layout",
        "x",
        "nchw",
    ]
    assert main([command, "--isolated", "--soc", "sm8550", str(path), *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1
    assert not file.exists()
    assert path.read_bytes() == before


def test_an_op_that_does_not_run_is_named_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder, body in ((good, MODEL), (bad, MODEL.replace("Sigmoid(x)", "Reshape(x, x)"))):
        folder.mkdir()
        saved(folder, body)
    assert main(["simulate", "--isolated", "--format", "json", str(bad), str(good), "--samples", "1"]) == 2
    files = json.loads(capsys.readouterr().out)["files"]
    assert [bool(file["unmeasured"]) for file in files] == [True, False]
    assert "Reshape y" in files[0]["unmeasured"]
    assert files[1]["engines"][0]["outputs"]


def test_an_integer_input_without_inputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, "g (int64[4] i, float[4] x) => (float[4] y) { f = Cast<to=1>(i) y = Add(f, x) }")
    assert main(["simulate", "--isolated", str(path)]) == 2
    error = capsys.readouterr().err
    assert "i" in error and "--inputs" in error
    assert len(error.splitlines()) == 1


@needs_backend
def test_a_backend_that_dies_costs_its_own_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    monkeypatch.setattr("dlclint.cli.confirm.backend", lambda limits: backend(limits, dying))
    path = saved(tmp_path, MODEL)
    arguments = ["simulate", "--isolated", "--soc", "sm8550", "--engine", "both", "--samples", "1"]
    status = main([*arguments, "--format", "json", str(path)])
    captured = capsys.readouterr()
    assert status == 2
    assert "Traceback" not in captured.err
    if captured.out:
        reference, htp = json.loads(captured.out)["files"][0]["engines"]
        assert not reference["failure"] and htp["failure"]
    else:
        assert len(captured.err.splitlines()) == 1
