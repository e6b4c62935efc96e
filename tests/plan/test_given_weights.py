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
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_entries_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(4, 4, 1, 1)).astype(np.float32) for name in ("w", "v")}
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Conv", ["a", "v"], ["y"])]
    model = save("m.onnx", nodes, {"x": [1, 4, 4, 4], "y": [1, 4, 4, 4]}, weights)
    entry = {"name": "w", "output_dtype": "int4", "y_scale": float(np.abs(weights["w"]).max() / 7)}
    Path("given.encodings").write_text(json.dumps({"version": "2.0.0", "encodings": [entry]}))
    free = planned(capsys, model)
    held = planned(capsys, model, "--encodings", "given.encodings", "--emit-overrides", "o.json")
    assert "1 of 2 weights has width and grid from the override file" in " ".join(held["notes"])
    assert json.loads(Path("o.json").read_text())["param_encodings"].keys() == {"v"}
    by_weight = [{row["weight"]: row["chosen_db"] for row in plan["layers"]} for plan in (free, held)]
    assert by_weight[0]["v"] == by_weight[1]["v"]
    assert by_weight[1]["w"] < by_weight[0]["w"] - 12


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"")
    assert main(["plan", str(model), "--encodings", str(tmp_path / "none.encodings")]) == 2
    assert "does not exist" in capsys.readouterr().err
