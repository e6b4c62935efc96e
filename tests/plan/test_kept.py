"""A plan of a model that carries its encodings takes them, and chooses none again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlclint.cli.main import main

SHAPE = [1, 4, 4, 4]


def quantized(path: Path, bits: int = 8, by_channel: bool = False, all_encoded: bool = True) -> Path:
    """A QDQ model of two convolutions with a Relu, 16-bit activations where `bits` is 16."""
    rng = np.random.default_rng(0)
    kind = np.uint8 if bits == 8 else np.uint16
    stored = [
        numpy_helper.from_array(np.float32(0.01), "s"),
        numpy_helper.from_array(np.array(1 << (bits - 1), kind), "z"),
    ]
    nodes = []

    def on_grid(read: str, text: str) -> None:
        nodes.append(helper.make_node("QuantizeLinear", [read, "s", "z"], [f"{text}/q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{text}/q", "s", "z"], [text]))

    on_grid("x", "xd")
    for name in ("w", "v"):
        values = rng.integers(-127, 127, (4, 4, 1, 1)).astype(np.int8)
        scale = np.full(4, 0.01, np.float32) if by_channel else np.float32(0.01)
        stored += [numpy_helper.from_array(values, f"{name}/q"), numpy_helper.from_array(scale, f"{name}/s")]
        axis = {"axis": 0} if by_channel else {}
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}/q", f"{name}/s"], [name], **axis))
    nodes.append(helper.make_node("Conv", ["xd", "w"], ["a"]))
    on_grid("a", "ad")
    nodes.append(helper.make_node("Sigmoid", ["ad"], ["r"]))
    if all_encoded:
        on_grid("r", "rd")
    nodes.append(helper.make_node("Conv", ["rd" if all_encoded else "r", "v"], ["c"]))
    on_grid("c", "y")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def planned(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main(["plan", "--isolated", "--format", "json", "--soc", "SM8550", *arguments])
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def chosen(plan: dict[str, Any]) -> dict[str, str]:
    return {advice["topic"]: advice["choice"] for advice in plan["advice"]}


@pytest.mark.parametrize(("bits", "by_channel"), [(8, False), (8, True), (16, True)])
def test_widths_and_grids_are_those_of_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bits: int, by_channel: bool
) -> None:
    plan = planned(capsys, str(quantized(tmp_path / "m.onnx", bits, by_channel)))
    choices = chosen(plan)
    assert choices["encodings"] == "those of the model"
    assert (choices["activations"], choices["weights"]) == (f"{bits} bits", "8 bits")
    assert "CLE" not in choices and "quantized already" not in {advice["topic"] for advice in plan["first"]}
    quantizer = next(command for command in plan["commands"]["snpe"] if command["tool"] == "snpe-dlc-quant")
    assert "--override_params" in quantizer["line"]
    # qairt-converter would make float16 of what the model leaves float.
    assert "--float_bitwidth 32" in plan["commands"]["qairt"][0]["line"]
    assert f"--act_bitwidth {bits}" in quantizer["line"]
    assert ("--use_per_channel_quantization" in quantizer["line"]) is by_channel
    assert {row["weight"] for row in plan["layers"]} == {"w", "v"}


def test_what_the_encodings_do_is_an_obstacle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(capsys, str(quantized(tmp_path / "m.onnx")))
    rules = {finding["rule"] for finding in (*plan["errors"], *plan["warnings"])}
    assert "encodings/range-not-fixed" in rules  # the Sigmoid has the grid of all
    assert "quantization/already-quantized" not in rules


def test_ops_without_a_grid_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = planned(capsys, str(quantized(tmp_path / "m.onnx")))
    parts = planned(capsys, str(quantized(tmp_path / "n.onnx", all_encoded=False)))
    left = [
        next(advice for advice in plan["advice"] if advice["topic"] == "activations")["evidence"][
            "ops_in_float"
        ]
        for plan in (whole, parts)
    ]
    assert left[0] == 0 and left[1] > 0


@pytest.mark.parametrize("option", ["--emit-overrides", "--inputs"])
def test_nothing_is_chosen_in_addition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    model = quantized(tmp_path / "m.onnx")
    np.savez(tmp_path / "given.npz", x=np.zeros([2, *SHAPE[1:]], np.float32))
    value = str(tmp_path / ("given.npz" if option == "--inputs" else "o.json"))
    assert main(["plan", "--isolated", "--soc", "SM8550", option, value, str(model)]) == 2
    assert "dlclint encodings extract" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "o.json").exists()
