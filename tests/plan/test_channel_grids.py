"""A grid for each channel is chosen where its number is better, and what was not measured is counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from dlclint.cli.main import main


def planned(
    tmp_path: Path, weights: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> dict[str, dict[str, str]]:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Exp", ["c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, weights.shape[1], 4, 4])],
        [helper.make_tensor_value_info("y", 1, [1, weights.shape[0], 4, 4])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    main(["plan", "--soc", "SM8550", "--format", "json", str(path)])
    return {advice["topic"]: advice for advice in json.loads(capsys.readouterr().out)["advice"]}


def test_channels_of_one_range_and_sign_stay_on_one_grid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Per channel is symmetric, so that weights of one sign lose half of the steps, 6 dB."""
    advice = planned(tmp_path, np.random.default_rng(0).random((8, 16, 1, 1)), capsys)
    assert advice["grid of convolutions"]["choice"] == "per tensor"
    assert (
        "loses 6" in advice["grid of convolutions"]["reason"]
        or "loses 5" in (advice["grid of convolutions"]["reason"])
    )
    assert (
        "are unknown" in advice["activations"]["reason"]
        or "none of 2 activations" in (advice["activations"]["reason"])
    )


def test_channels_of_unlike_ranges_get_grids_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(8, 16, 1, 1)) * np.exp(rng.normal(size=(8, 1, 1, 1)) * 2)
    assert planned(tmp_path, weights, capsys)["grid of convolutions"]["choice"] == "per channel"
