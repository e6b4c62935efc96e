"""`dlclint simulate` as a user runs it."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from simulated_networks import YOLO, saved, small_conv

from dlclint.cli.main import main


def simulate(*arguments: str) -> int:
    return main(["simulate", "--isolated", *arguments])


def report(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert simulate(str(path), "--format", "json", *arguments) == 0
    data = json.loads(capsys.readouterr().out)
    schema = resources.files("dlclint_schemas").joinpath("simulate-v1.schema.json").read_text("utf-8")
    jsonschema.Draft202012Validator(json.loads(schema)).validate(data)
    assert isinstance(data, dict)
    return data


def yolo_inputs(tmp_path: Path) -> str:
    random = np.random.default_rng(0)
    logits = random.normal(-2, 2, (3, 8, 64))
    np.savez(tmp_path / "in.npz", boxes=random.uniform(0, 20, (3, 4, 64)), logits=logits)
    return str(tmp_path / "in.npz")


def test_scores_that_share_a_grid_with_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, YOLO)
    report_json = report(path, capsys, "--inputs", yolo_inputs(tmp_path))
    (engine,) = report_json["files"][0]["engines"]  # type: ignore[index]
    (output,) = engine["outputs"]
    assert 30 < output["sqnr"] < 60
    assert output["agreement"] < 0.7
    assert {part["tensors"][0]: part["lost"] for part in output["parts"]} == {"p": False, "s": True}
    (concat,) = (layer for layer in engine["layers"] if layer["op"] == "Concat")
    assert concat["causes"][0].startswith("shared grid: s (")
    wide = report(path, capsys, "--inputs", yolo_inputs(tmp_path), "--act-bitwidth", "16")
    (output,) = wide["files"][0]["engines"][0]["outputs"]  # type: ignore[index]
    assert output["agreement"] > 0.95


def test_the_whole_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, YOLO)
    assert simulate(str(path), "--inputs", yolo_inputs(tmp_path)) == 0
    text = capsys.readouterr().out
    for said in (
        "3 samples of in.npz",
        "8-bit activations (tf), 8-bit weights per tensor (tf), 8-bit biases",
        "every value becomes 0 on the grid of out",
        "shared grid: s",
    ):
        assert said in " ".join(text.split())
    assert "random" not in text
    assert simulate(str(path), "--inputs", yolo_inputs(tmp_path), "--format", "concise") == 0
    assert "reference: Concat out: " in capsys.readouterr().out


def test_random_inputs_are_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_conv(tmp_path)
    report_json = report(path, capsys, "--samples", "2")
    assert report_json["files"][0]["inputs"]["random"] is True  # type: ignore[index]
    assert report_json == report(path, capsys, "--samples", "2")
    assert simulate(str(path), "--samples", "1") == 0
    assert "not figures of accuracy" in " ".join(capsys.readouterr().out.split())


def test_grids_of_an_override_file_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, YOLO)
    entries = [
        {"name": "s", "output_dtype": "uint8", "y_scale": 1 / 256},
        {"name": "out", "output_dtype": "uint16", "y_scale": 0.01},
    ]
    file = tmp_path / "o.encodings"
    file.write_text(json.dumps({"version": "2.0.0", "encodings": entries}))
    report_json = report(path, capsys, "--inputs", yolo_inputs(tmp_path), "--encodings", str(file))
    layers = report_json["files"][0]["engines"][0]["layers"]  # type: ignore[index]
    steps = {layer["tensor"]: (layer["step"], layer["bitwidth"]) for layer in layers}
    assert steps["out"] == (pytest.approx(0.01), 16)
    assert steps["s"] == (1 / 256, 8)


def test_an_entry_of_a_stored_tensor_holds_for_its_reshaped_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paddle's exports spread a bias over the channels by a Reshape, and AIMET names what is stored."""
    body = """g (float[1,4,2,2] x) => (float[1,4,2,2] y) <int64[4] shape = {1, 4, 1, 1}> {
      spread = Reshape(offset, shape) y = Add(x, spread) }"""
    path = saved(tmp_path, body, {"offset": np.array([0.26, 0.5, 0.75, 1.0], np.float32)})
    entries: dict[str, object] = {
        "activation_encodings": {"offset": [{"bitwidth": 8, "scale": 0.25, "offset": 0}]},
        "param_encodings": {},
    }
    overrides = tmp_path / "o.encodings"
    overrides.write_text(json.dumps({"version": "0.6.1", **entries}))
    np.savez(tmp_path / "in.npz", x=np.zeros((1, 4, 2, 2), np.float32))
    report_json = report(path, capsys, "--inputs", str(tmp_path / "in.npz"), "--encodings", str(overrides))
    file = report_json["files"][0]  # type: ignore[index]
    assert "grids: 1 activation from the override file; the rest calibrated" in file["notes"]
    assert file["engines"][0]["outputs"][0]["largest_error"] == pytest.approx(0.01, abs=0.003)


def test_a_float_entry_leaves_a_tensor_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small_conv(tmp_path)
    file = tmp_path / "m.encodings"
    file.write_text(
        json.dumps(
            {
                "version": "0.6.1",
                "activation_encodings": {"y": [{"bitwidth": 16, "dtype": "float"}]},
                "param_encodings": {"w3": [{"bitwidth": 16, "dtype": "float"}]},
            }
        )
    )
    report_json = report(path, capsys, "--samples", "1")
    layers = report_json["files"][0]["engines"][0]["layers"]  # type: ignore[index]
    assert [layer["bitwidth"] for layer in layers if layer["tensor"] == "y"] == [None]
    assert [layer["alone"] > 60 for layer in layers if layer["tensor"] == "y"] == [True]  # float16


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--samples", "0"], "--samples 0: give a number of at least 1"),
        (["--inputs", "nowhere"], "nowhere does not exist"),
        (["--input-layout", "x", "nchw"], "--input-layout names 'x', not an input"),
        (["--input-layout", "boxes", "hwc"], "give nchw or nhwc"),
        (["--input-moments", "z", "0", "1"], "names 'z'"),
        (["--percentile", "3"], "--percentile 3"),
    ],
)
def test_bad_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert simulate(str(saved(tmp_path, YOLO)), *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert says in captured.err


def test_one_bad_model_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = saved(tmp_path, YOLO)
    good.rename(tmp_path / "good.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    saved(tmp_path, "g (float[2,3] a, float[4,5] b) => (float[2,5] y) { y = MatMul(a, b) }")
    assert simulate(str(tmp_path), "--samples", "1", "--format", "json") == 2
    files = json.loads(capsys.readouterr().out)["files"]
    told = {Path(file["path"]).name: file["unmeasured"] for file in files}
    assert told["good.onnx"] == ""
    assert told["m.onnx"].startswith("MatMul y does not run")
    assert told["broken.onnx"]


BLOCKS = "g (float[1,8,2,2] x) => (float[1,4,2,2] y) { y = Conv(x, w) }"


def test_blocks_are_read_in_every_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(2)
    integers = random.integers(-8, 8, (4, 2, 4))
    blocks, channels = random.integers(1, 17, (4, 2)), random.uniform(0.01, 0.02, 4)
    scales = blocks * channels[:, None]
    weights = (integers * scales[:, :, None]).reshape(4, 8, 1, 1).astype(np.float32)
    path = saved(tmp_path, BLOCKS, {"w": weights})
    low_power = {"name": "w", "block_size": 4}
    files = {
        "list": {
            "version": "1.0.0",
            "activation_encodings": [],
            "param_encodings": [
                {**low_power, "bw": 8, "compressed_bw": 4, "dtype": "INT", "enc_type": "LPBQ", "is_sym": True,
                 "scale": channels.tolist(), "offset": [-128] * 4,
                 "per_block_int_scale": blocks.reshape(-1).tolist()}
            ],
        },
        "flat": {
            "version": "2.0.0",
            "encodings": [
                {**low_power, "output_dtype": "int4", "axis": 1,
                 "per_channel_float_scale": channels.reshape(4, 1, 1, 1).tolist(),
                 "per_block_int_scale": blocks.reshape(4, 2, 1, 1).tolist()}
            ],
        },
        "plain": {
            "version": "2.0.0",
            "encodings": [
                {**low_power, "output_dtype": "int4", "axis": 1,
                 "y_scale": scales.reshape(4, 2, 1, 1).tolist()}
            ],
        },
    }  # fmt: skip
    for name, content in files.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(content))
        report_json = report(path, capsys, "--encodings", str(file), "--act-bitwidth", "16", "--samples", "1")
        (output,) = report_json["files"][0]["engines"][0]["outputs"]  # type: ignore[index]
        # The weights lie on the grid, so that 16-bit activations are all that costs.
        assert output["sqnr"] > 75, name


def test_a_quantized_model_is_to_be_simulated_as_float(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = """g (float[4] x) => (float[4] y) <float s = {0.1}, uint8 z = {128}>
    { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"""
    assert simulate(str(saved(tmp_path, body))) == 2
    assert "dlclint encodings extract" in capsys.readouterr().err
