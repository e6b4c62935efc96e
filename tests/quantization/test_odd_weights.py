"""Weights that no trained network should have: findings, never a failure; the same words for every width."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.model.tensors import Array
from dlclint.outcome import FileOutcome
from dlclint.own_rules import CRASHED
from dlclint.target import DlcKind, Runtime, Target

KINDS = (
    DlcKind(quantize=True, stated=True),
    DlcKind(quantize=True, weights_bitwidth=4, per_channel=True, stated=True),
    DlcKind(quantize=True, weights_bitwidth=16, act_bitwidth=16, bias_bitwidth=32, stated=True),
    DlcKind(float_bitwidth=16, stated=True),
)
SPREAD = np.outer([100.0, 1.0, 0.5, 0.02], [1.0, -0.7, 0.4, 0.9]).astype(np.float32).reshape(4, 4, 1, 1)


def model(path: Path, weight: Array, op: str = "Conv", bias: Array | None = None, **attributes: int) -> Path:
    tensors = {"w": weight} | ({} if bias is None else {"b": bias})
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *tensors], ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def judged(path: Path, kind: DlcKind) -> FileOutcome:
    outcome = lint_file(Job(path, Target((Runtime.HTP,), None, kind), select=("quantization", "model")))
    assert not [finding for finding in outcome.diagnostics if finding.rule == CRASHED]
    return outcome


def rules(outcome: FileOutcome) -> set[str]:
    return {finding.rule for finding in outcome.diagnostics}


ODD = {
    "nan": np.full((4, 4, 1, 1), np.nan, np.float32),
    "one nan": np.where(SPREAD == 1.0, np.nan, SPREAD).astype(np.float32),
    "infinite": np.where(SPREAD > 50, np.inf, SPREAD).astype(np.float32),
    "zero": np.zeros((4, 4, 1, 1), np.float32),
    "constant": np.full((4, 4, 1, 1), -3.0, np.float32),
    "one element": np.ones((1, 1, 1, 1), np.float32),
    "empty": np.zeros((0, 4, 1, 1), np.float32),
    "scalar": np.array(2.0, np.float32),
    "vector": np.ones(5, np.float32),
    "huge": np.full((4, 4, 1, 1), 3e38, np.float32),
    "tiny": np.full((4, 4, 1, 1), 1e-45, np.float32),
    "integers": np.ones((4, 4, 1, 1), np.int8),
    "wide": SPREAD.astype(np.float64) * 1e200,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", ODD)
def test_odd_values(name: str, kind: DlcKind, tmp_path: Path) -> None:
    for op, attributes in (
        ("Conv", {}),
        ("Conv", {"group": 3}),
        ("ConvTranspose", {"group": 3}),
        ("MatMul", {}),
    ):
        path = model(tmp_path / "m.onnx", ODD[name], op, **attributes)
        names = rules(judged(path, kind))
        if name in ("nan", "one nan", "infinite"):
            assert "model/non-finite-weights" in names


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_every_width_says_the_same(dtype: type, tmp_path: Path) -> None:
    usual = judged(model(tmp_path / "usual.onnx", SPREAD), KINDS[0])
    other = judged(model(tmp_path / "other.onnx", SPREAD.astype(dtype)), KINDS[0])
    assert "quantization/channel-spread" in rules(usual)
    assert rules(other) - {"model/invalid"} == rules(usual) - {"model/invalid"}


def test_missing_data(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", SPREAD)
    proto = onnx.load(path)
    onnx.save(proto, path, save_as_external_data=True, location="gone.bin", size_threshold=0)
    (tmp_path / "gone.bin").unlink()
    names = rules(judged(path, KINDS[0]))
    assert "model/external-data-missing" in names
    assert not [id for id in names if id.startswith("quantization/")]


def test_shared_weight_is_reported_once(tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", SPREAD)
    proto = onnx.load(path)
    proto.graph.node.append(helper.make_node("Conv", ["y", "w"], ["z"]))
    proto.graph.output[0].name = "z"
    onnx.save(proto, path)
    findings = [d for d in judged(path, KINDS[0]).diagnostics if d.rule == "quantization/channel-spread"]
    assert len(findings) == 1 and " in 1 of 1 weight;" in findings[0].message


@pytest.mark.parametrize("bias", [[np.nan] * 4, [np.inf, 0, 0, 0], [0] * 4, [1] * 3])
def test_odd_biases(bias: list[float], tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", SPREAD, bias=np.array(bias, np.float32))
    for kind in KINDS:
        assert "quantization/bias-bits" not in rules(judged(path, kind))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, -1.0, 3e38, 1e-45])
@pytest.mark.parametrize("position", range(4))
def test_odd_normalization(position: int, value: float, tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", SPREAD)
    proto = onnx.load(path)
    parts = np.ones((4, 4), np.float32)
    parts[position, 1] = value
    names = ("gamma", "beta", "mean", "var")
    for name, part in zip(names, parts, strict=True):
        proto.graph.initializer.append(numpy_helper.from_array(part, name))
    proto.graph.node.append(helper.make_node("BatchNormalization", ["y", *names], ["n"]))
    proto.graph.node.append(helper.make_node("Relu", ["n"], ["z"]))
    proto.graph.output[0].name = "z"
    onnx.save(proto, path)
    for kind in KINDS:
        judged(path, kind)
