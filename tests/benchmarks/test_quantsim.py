"""The comparison with AIMET's QuantSim applies what AIMET's file says, and no more; without AIMET."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from dlclint.analysis.view import ModelView
from dlclint.encodings.reading import read_encodings
from dlclint.model.reading import read
from dlclint.simulate.assigning import Settings
from dlclint.simulate.inputs.samples import Samples
from dlclint.simulate.simulating import prepare
from dlclint.target import DlcKind, Runtime, Target

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import quantsim


def test_what_has_no_entry_stays_float(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    stored = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, random.normal(size=shape).ravel())
        for name, shape in (("w", (4, 2, 1, 1)), ("b", (4,)), ("offset", (4,)))
    ]
    stored.append(helper.make_tensor("shape", TensorProto.INT64, [4], [1, 4, 1, 1]))
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"]),
            helper.make_node("Reshape", ["offset", "shape"], ["spread"]),
            helper.make_node("Add", ["c", "spread"], ["s"]),
            helper.make_node("Tanh", ["s"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 3, 3])],
        stored,
    )
    path, encodings_path = tmp_path / "m.onnx", tmp_path / "m.encodings"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    entry = {"bitwidth": 8, "scale": 0.02, "offset": -128}
    entries = {"activation_encodings": {name: [entry] for name in ("x", "offset", "y")}}
    entries["param_encodings"] = {"w": [entry]}
    encodings_path.write_text(json.dumps({"version": "0.6.1", **entries}))
    view = ModelView(read(path), Target((Runtime.HTP,), kind=DlcKind(True, 8)))
    sample = {"x": random.normal(size=(1, 2, 3, 3)).astype(np.float32)}
    document = read_encodings(encodings_path)
    prepared = prepare(view, Samples("", (lambda: sample,)), Settings(8, 8, 8, True), document)
    assert {"c", "s"} <= prepared.scheme.activations.keys()
    alike = quantsim.as_in_file(prepared.scheme, document, prepared.network, 8)
    assert alike.activations.keys() == {"x", "spread", "y"}
    assert alike.params.keys() == {"w"}
    assert (alike.biases, alike.float_biases) == ({}, True)
    outputs = prepared.evaluator.run(sample, alike, keep=["c", "s"])
    stored_x, weight = (prepared.scheme.activations["x"], prepared.scheme.params["w"])
    values = weight.rounded(prepared.network.constants["w"])[:, :, 0, 0]
    product = np.einsum("oi,nihw->nohw", values, stored_x.rounded(sample["x"]))
    product += prepared.network.constants["b"].reshape(1, 4, 1, 1)
    assert outputs["c"] == pytest.approx(product, abs=1e-5)  # neither rounded, nor with an int32 bias


def test_figures_of_a_cell() -> None:
    one = {"y": np.array([1.0, 2.0])}
    assert quantsim.sqnrs(one, {"y": np.array([[1.0, 2.0]])}) == {"y": float("inf")}
    assert quantsim.decibels(float("inf")) == "the same"
    assert quantsim.decibels(12.345) == "12.35 dB"
