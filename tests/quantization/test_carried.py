"""What a QDQ model carries is checked like an override file with the same grids for the float model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlclint.cli.main import main

FLOAT = TensorProto.FLOAT
SHAPE = [1, 8, 8, 8]
ONE_EACH = 8


def weights(least: float = 0.02) -> dict[str, np.ndarray[Any, Any]]:
    """Two convolutions, the first with channels of 1 down to the least."""
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(8, 8, 3, 3)) * np.geomspace(1, least, 8).reshape(8, 1, 1, 1)
    even = rng.normal(size=(8, 8, 1, 1))
    return {"w": wide.astype(np.float32), "v": even.astype(np.float32)}


def nodes(names: dict[str, str]) -> list[onnx.NodeProto]:
    return [
        helper.make_node(
            "Conv", [names.get("x", "x"), names.get("w", "w")], ["a"], "first", pads=[1, 1, 1, 1]
        ),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Conv", [names.get("r", "r"), names.get("v", "v")], ["y"], "second"),
    ]


def saved(
    path: Path, nodes: list[onnx.NodeProto], stored: list[onnx.TensorProto], domain: str, opset: int
) -> Path:
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid(domain, 1)] * bool(domain)
    values = [helper.make_tensor_value_info(name, FLOAT, SHAPE) for name in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def scales(values: np.ndarray[Any, Any], by_channel: bool, bits: int) -> np.ndarray[Any, Any]:
    magnitude = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
    return (magnitude if by_channel else magnitude.max(keepdims=True)) / (2 ** (bits - 1) - 1)


def said(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, str]:
    """Rule of a weight family to severity."""
    main(["check", "--isolated", "--format", "json", "--soc", "SM8550", *options, str(path)])
    findings = [
        finding for file in json.loads(capsys.readouterr().out)["files"] for finding in file["findings"]
    ]
    assert "engine/crashed-rule" not in {finding["rule"] for finding in findings}
    own = ("quantization/already-quantized",)
    return {
        finding["rule"]: finding["severity"]
        for finding in findings
        if finding["rule"].startswith(("quantization/", "cle/")) and finding["rule"] not in own
    }


@pytest.mark.parametrize(("by_channel", "bits"), [(False, 8), (True, 8), (False, 4), (True, 4)])
@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_weights_are_checked_as_with_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], by_channel: bool, bits: int, domain: str
) -> None:
    # What a grid rounds to zero, a QDQ model has lost: only the float model can show that.
    values = weights(0.02 if bits == ONE_EACH else 0.3)
    stored = [numpy_helper.from_array(value, name) for name, value in values.items()]
    float_model = saved(tmp_path / "float.onnx", nodes({}), stored, "", 21)
    file = tmp_path / "float.encodings"
    entries = []
    carried, quantizing = [], []
    for name, value in values.items():
        scale = scales(value, by_channel, bits)
        flat = scale.reshape(-1).astype(np.float32)
        entry = {
            "name": name,
            "output_dtype": f"int{bits}",
            "y_scale": flat.tolist() if by_channel else float(flat[0]),
        }
        entries.append(entry | ({"axis": 0} if by_channel else {}))
        most = 2 ** (bits - 1)
        whole = np.clip(np.rint(value / scale), -most, most - 1).astype(np.int64)
        kind = TensorProto.INT8 if bits == ONE_EACH else TensorProto.INT4
        carried += [
            helper.make_tensor(f"{name}/q", kind, value.shape, whole.reshape(-1).tolist()),
            numpy_helper.from_array(flat if by_channel else flat[0], f"{name}/s"),
        ]
        node = helper.make_node("DequantizeLinear", [f"{name}/q", f"{name}/s"], [name], domain=domain)
        quantizing.append(node)
        if by_channel:
            node.attribute.append(helper.make_attribute("axis", 0))
    file.write_text(json.dumps({"version": "2.0.0", "encodings": entries}))
    quantized = saved(tmp_path / "qdq.onnx", [*quantizing, *nodes({})], carried, domain, 21)
    expected = said(float_model, capsys, "--encodings", str(file), "--quantize")
    assert said(quantized, capsys, "--quantize") == expected
    assert ("quantization/channel-spread" in expected) is (not by_channel and bits == ONE_EACH)
    assert ("quantization/bit-width" in expected) is (bits < ONE_EACH)
    about_weights = {rule for rule in expected if rule.startswith("quantization/")}
    assert {rule for rule in said(quantized, capsys) if rule.startswith("quantization/")} == about_weights


def test_a_float_dlc_of_a_qdq_model_has_no_grids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = [numpy_helper.from_array(value, name) for name, value in weights().items() if name == "v"]
    wide = weights()["w"]
    scale = np.float32(np.abs(wide).max() / 127)
    stored += [
        numpy_helper.from_array(np.rint(wide / scale).astype(np.int8), "w/q"),
        numpy_helper.from_array(scale, "w/s"),
    ]
    node = helper.make_node("DequantizeLinear", ["w/q", "w/s"], ["w"])
    path = saved(tmp_path / "m.onnx", [node, *nodes({})], stored, "", 13)
    assert "quantization/channel-spread" in said(path, capsys)
    assert "quantization/channel-spread" not in said(path, capsys, "--float")
