"""A plan without data names the outputs that may be lost, and calls no network safe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlclint.cli.main import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "quantization" / "shared-grid"


def outputs(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main(["plan", "--isolated", "--format", "json", "--soc", "SM8550", *arguments])
    text = capsys.readouterr().out
    (row,) = (row for row in json.loads(text)["advice"] if row["topic"] == "outputs")
    return dict(row)


def chain(path: Path, length: int) -> str:
    """Convolutions with batch normalization, one after another, so that every range can be estimated."""
    rng = np.random.default_rng(0)
    nodes, stored, name = [], {}, "x"
    for step in range(length):
        stored[f"w{step}"] = rng.normal(0, 0.2, (8, 8, 3, 3))
        stored |= {
            f"{role}{step}": np.full(8, value) for role, value in (("g", 1), ("b", 0), ("m", 0), ("v", 1))
        }
        nodes.append(helper.make_node("Conv", [name, f"w{step}"], [f"c{step}"], pads=[1, 1, 1, 1]))
        norm = [f"{role}{step}" for role in "gbmv"]
        nodes.append(helper.make_node("BatchNormalization", [f"c{step}", *norm], [f"n{step}"]))
        nodes.append(helper.make_node("Sigmoid", [f"n{step}"], [f"s{step}"]))
        nodes.append(helper.make_node("Mul", [f"n{step}", f"s{step}"], [f"a{step}"]))
        name = f"a{step}"
    nodes[-1].output[0] = "y"
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 8, 8, 8]) for n in ("x", "y")]
    initializers = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in stored.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)


def test_errors_add_up_along_a_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = outputs(capsys, chain(tmp_path / "short.onnx", 2))
    assert short["choice"] == "not known"
    assert "errors add up to" in short["reason"]
    assert "dlclint simulate --inputs measures" in short["reason"]
    long = outputs(capsys, chain(tmp_path / "long.onnx", 120))
    assert long["choice"] == "at risk"
    assert "'y': the errors of" in long["reason"]
    wide = outputs(capsys, "--act-bitwidth", "16", chain(tmp_path / "long.onnx", 20))
    assert wide["choice"] == "not known"
    assert "16-bit activations" in wide["reason"]


def test_an_output_whose_grid_loses_a_part_is_at_risk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = outputs(capsys, str(FIXTURES / "bad_detector.onnxtxt"))
    assert (row["choice"], row["evidence"]) == ("at risk", {"at_risk": 1, "outputs": 1})
    assert "'y': one grid for several loses a part of it" in row["reason"]
    cured = outputs(
        capsys, str(FIXTURES / "bad_detector.onnxtxt"), "--emit-overrides", str(tmp_path / "o.json")
    )
    assert cured["choice"] == "not known", "the file gives it 16 bits"


def test_a_float_dlc_has_no_such_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = chain(tmp_path / "m.onnx", 1)
    main(["plan", "--isolated", "--format", "json", "--soc", "SM8550", "--float", path])
    assert all(row["topic"] != "outputs" for row in json.loads(capsys.readouterr().out)["advice"])
