"""Fourier transforms told from other weights, spectra from other squares, and what a plan makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from dlclint.analysis.spectra import find_spectra, is_transform
from dlclint.analysis.view import ModelView
from dlclint.cli.main import main
from dlclint.model.reading import read
from dlclint.model.tensors import Produced, Tensor
from dlclint.target import Target

WINDOWS = {"boxcar": np.ones, "hann": np.hanning, "hamming": np.hamming, "blackman": np.blackman}


def tensor(values: np.ndarray) -> Tensor:
    values = values.astype(np.float32)
    return Tensor(
        "w", onnx.TensorProto.FLOAT, values.shape, onnx.TensorProto(), Path("m"), Produced.of(values)
    )


def transform(points: int, window: str, length: int | None = None) -> np.ndarray:
    """Cosine rows, then sine rows; a window shorter than the transform is in its middle."""
    length = length or points
    shape = np.zeros(points)
    start = (points - length) // 2
    shape[start : start + length] = WINDOWS[window](length)
    angle = 2 * np.pi * np.outer(np.arange(points // 2 + 1), np.arange(points)) / points
    return np.concatenate([np.cos(angle), -np.sin(angle)]) * shape


@given(st.sampled_from(sorted(WINDOWS)), st.sampled_from([32, 64, 256, 400, 512]))
def test_transforms_are_recognized(window: str, points: int) -> None:
    rows = transform(points, window)
    assert is_transform(tensor(rows))
    assert is_transform(tensor(rows[:, None, :]))
    assert is_transform(tensor(rows.T), by_column=True)
    assert is_transform(tensor(rows[: points // 2 + 1]))
    assert is_transform(tensor(transform(512, "hann", 400)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([(32, 32), (64, 16), (16, 128), (128, 64)]))
def test_other_weights_are_not_transforms(seed: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    assert not is_transform(tensor(rng.normal(size=shape)))
    smooth = np.cumsum(rng.normal(size=shape), axis=1)  # low-pass rows all have one bin
    assert not is_transform(tensor(smooth))


def test_small_and_odd_weights_are_not_transforms() -> None:
    assert not is_transform(tensor(np.eye(8)))
    assert not is_transform(tensor(np.zeros((32, 32))))
    assert not is_transform(tensor(np.full((32, 32), np.nan)))
    assert not is_transform(tensor(np.ones((4, 4, 4, 4))))


def front_end(tmp_path: Path, **changes: bool) -> Path:
    """Frames through one matrix, squares, filters and a logarithm, in the ways that exporters spell them."""
    rows = transform(64, "hann")
    if changes.get("random"):
        rows = np.random.default_rng(0).normal(size=rows.shape)
    bank = np.abs(np.random.default_rng(1).normal(size=(33, 8)))
    values = {"dft": rows.T, "bank": bank, "two": np.array(2.0), "least": np.array(1e-5)}
    nodes = [helper.make_node("MatMul", ["x", "dft"], ["c"])]
    if changes.get("pair"):
        nodes += [
            helper.make_node("Reshape", ["c", "shape"], ["p"]),
            helper.make_node("Mul", ["p", "p"], ["s"]),
            helper.make_node("ReduceSum", ["s", "axis"], ["power"], keepdims=0),
        ]
    else:
        nodes += [
            helper.make_node("Split", ["c"], ["r", "i"], axis=1),
            helper.make_node("Pow", ["r", "two"], ["rr"]),
            helper.make_node("Mul", ["i", "i"], ["ii"]),
            helper.make_node("Add", ["rr", "ii"], ["power"]),
        ]
    nodes += [
        helper.make_node("Sqrt", ["power"], ["magnitude"]),
        helper.make_node("MatMul", ["magnitude", "bank"], ["bands"]),
        helper.make_node("Max", ["bands", "least"], ["floored"]),
        helper.make_node("Log", ["floored"], ["y"]),
    ]
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
    stored.append(numpy_helper.from_array(np.array([4, 2, 33]), "shape"))
    stored.append(numpy_helper.from_array(np.array([1]), "axis"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, [4, 64])],
        [helper.make_tensor_value_info("y", 1, [4, 8])],
        stored,
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize("pair", [False, True])
def test_root_and_logarithm_make_one_spectrum(pair: bool, tmp_path: Path) -> None:
    (spectrum,) = find_spectra(ModelView(read(front_end(tmp_path, pair=pair)), Target()))
    squares = ["s"] if pair else ["rr", "ii"]
    assert spectrum.root.op_type == "Log"
    assert spectrum.transform is not None and spectrum.transform.output(0) == "c"
    assert spectrum.tensors == ("c", *squares, "power", "magnitude", "bands", "floored", "y")


def test_a_learned_transform_counts_before_a_filter_bank(tmp_path: Path) -> None:
    (spectrum,) = find_spectra(ModelView(read(front_end(tmp_path, random=True)), Target()))
    assert spectrum.transform is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8e4m3fn", "uint16"])
def test_the_rule_reads_float_entries_of_2_0_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dtype: str
) -> None:
    path, file = front_end(tmp_path), tmp_path / "over.json"
    (spectrum,) = find_spectra(ModelView(read(path), Target()))
    entry = {"output_dtype": dtype} | ({"y_scale": 0.1} if dtype[0] == "u" else {})
    file.write_text(
        json.dumps({"version": "2.0.0", "encodings": [{"name": n, **entry} for n in spectrum.tensors]})
    )
    main(["check", "--isolated", "--soc", "SM8550", "--quantize", str(path), "--encodings", str(file)])
    assert ("quantization/spectrum" in capsys.readouterr().out) == (dtype == "uint16")


def test_plan_keeps_a_spectrum_float_where_the_chip_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = front_end(tmp_path), tmp_path / "over.json"
    for soc, count in (("SM8550", 8), ("SM7325", 0)):
        main(["plan", "--soc", soc, "--format", "json", str(path), "--emit-overrides", str(file)])
        data = json.loads(capsys.readouterr().out)
        assert len(data["activations"]["float_by_overrides"]) == count
        written = json.loads(file.read_text())
        entries = written["activation_encodings"] | written["param_encodings"]
        in_float = {name for name, (entry, *_) in entries.items() if entry["dtype"] == "float"}
        assert ("dft" in in_float) == bool(count)
        assert ("bank" in in_float) == bool(count)
        assert ("float" in json.dumps(data["first"])) == bool(count)


def test_the_rule_leaves_out_what_an_override_file_keeps_float(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = front_end(tmp_path), tmp_path / "over.json"

    def named() -> list[str] | None:
        command = ["check", "--isolated", "--soc", "SM8550", "--quantize", "--format", "json", str(path)]
        main([*command, "--encodings", str(file)])
        report = json.loads(capsys.readouterr().out)["files"]
        findings = [
            finding
            for each in report
            for finding in each["findings"]
            if finding["rule"] == "quantization/spectrum"
        ]
        return findings[0]["evidence"]["tensors"] if findings else None

    main(["plan", "--soc", "SM8550", "--format", "json", str(path), "--emit-overrides", str(file)])
    capsys.readouterr()
    assert named() is None
    written = json.loads(file.read_text())
    del written["activation_encodings"]["power"]
    written["activation_encodings"]["rr"] = [{"bitwidth": 16, "dtype": "int"}]
    file.write_text(json.dumps(written))
    assert named() == ["rr", "power"]


def quantized(path: Path, names: set[str]) -> None:
    """Put QuantizeLinear and DequantizeLinear after tensors of a model's main graph."""
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Relu", ["y"], ["after"]))
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in names:
                node.output[index] = f"{name}_float"
                ends = (f"{name}_float", f"{name}_integers", name)
                nodes.append(helper.make_node("QuantizeLinear", [ends[0], "step", "point"], [ends[1]]))
                nodes.append(helper.make_node("DequantizeLinear", [ends[1], "step", "point"], [ends[2]]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "step"))
    model.graph.initializer.append(numpy_helper.from_array(np.uint8(128), "point"))
    onnx.save(model, path)


@pytest.mark.parametrize("names", [(), ("rr", "power"), ("bands",)])
def test_a_qdq_model_names_what_its_own_grids_hold_of_a_spectrum(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, ...]
) -> None:
    path = front_end(tmp_path)
    quantized(path, {"after", *names})
    main(["check", "--isolated", "--soc", "SM8550", "--format", "json", str(path)])
    findings = json.loads(capsys.readouterr().out)["files"][0]["findings"]
    spectra = [finding for finding in findings if finding["rule"] == "quantization/spectrum"]
    assert [finding["evidence"]["tensors"] for finding in spectra] == (
        [[f"{name}_float" for name in names]] if names else []
    )
    assert all("without QuantizeLinear" in finding["help"] for finding in spectra)
