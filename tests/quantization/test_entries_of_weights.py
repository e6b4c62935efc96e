"""Rules on weights take width and grid of each weight from the override file that goes with the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlclint.cli.main import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two convolutions, the first with channels of 1, 0.1, 0.01 and 0.001."""
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(4, 4, 3, 3)) * np.array([1, 0.1, 0.01, 0.001]).reshape(4, 1, 1, 1)
    values = {"w": spread, "v": rng.normal(size=(4, 4, 3, 3))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "v"], ["y"], "second", pads=[1, 1, 1, 1]),
    ]
    shape = [1, 4, 8, 8]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8), path)
    return path


def entries(model: Path, name: str, by_channel: bool, bits: int) -> dict[str, Any]:
    weights = {each.name: numpy_helper.to_array(each) for each in onnx.load(model).graph.initializer}
    magnitude = np.abs(weights[name]).max(axis=(1, 2, 3))
    scale = magnitude / (2 ** (bits - 1) - 1)
    report_json: dict[str, Any] = {"name": name, "output_dtype": f"int{bits}"}
    return report_json | (
        {"y_scale": scale.tolist(), "axis": 0} if by_channel else {"y_scale": float(scale.max())}
    )


def reported_rules(
    model: Path, capsys: pytest.CaptureFixture[str], *report_json: dict[str, Any], options: str = "--quantize"
) -> dict[str, dict[str, Any]]:
    file = model.with_suffix(".encodings")
    file.write_text(json.dumps({"version": "2.0.0", "encodings": list(report_json)}))
    main(["check", "--isolated", "--format", "json", *options.split(), str(model)])
    findings = [
        finding for each in json.loads(capsys.readouterr().out)["files"] for finding in each["findings"]
    ]
    assert "engine/crashed-rule" not in {finding["rule"] for finding in findings}
    return {
        finding["rule"]: finding
        for finding in findings
        if finding["rule"].startswith(("quantization/", "cle/"))
    }


def test_without_entries_the_options_count(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = reported_rules(model, capsys)
    assert "--use_per_channel_quantization" in rules["quantization/channel-spread"]["help"]
    assert "cle/pairs" in rules


def test_entries_by_channel_need_no_advice(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = reported_rules(model, capsys, entries(model, "w", True, 8), entries(model, "v", True, 8))
    assert not rules.keys() & {"quantization/channel-spread", "quantization/bit-width"}
    assert not any(rule.startswith("cle/") for rule in rules)


def test_an_entry_for_the_tensor_is_what_to_change(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = reported_rules(
        model, capsys, entries(model, "w", False, 8), options="--quantize --use-per-channel-quantization"
    )
    assert rules["quantization/channel-spread"]["help"] == (
        "its encoding holds this to one grid: give one encoding per channel"
    )


def test_the_width_is_that_of_the_entry(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "quantization/bit-width" not in reported_rules(model, capsys, options="--quantize")
    narrow = reported_rules(model, capsys, entries(model, "w", True, 4), entries(model, "v", True, 8))
    assert narrow["quantization/bit-width"]["evidence"]["bitwidth"] == 4
    assert narrow["quantization/bit-width"]["evidence"]["weights"] == 1


def test_float_weights_are_not_checked(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    legacy = {
        "version": "0.6.1",
        "activation_encodings": {},
        "param_encodings": {name: [{"bitwidth": 16, "dtype": "float"}] for name in ("w", "v")},
    }
    file = model.with_suffix(".encodings")
    file.write_text(json.dumps(legacy))
    main(["check", "--isolated", "--format", "json", "--quantize", "--weights-bitwidth", "4", str(model)])
    findings = json.loads(capsys.readouterr().out)["files"][0]["findings"]
    assert not {finding["rule"] for finding in findings} & {
        "quantization/channel-spread",
        "quantization/bit-width",
    }
