"""What a plan states about the two converters where they differ, and about options of some releases."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from onnx import parser

from dlclint.cli.main import main

SCHEMA = json.loads(files("dlclint_schemas").joinpath("plan-v1.schema.json").read_text("utf-8"))
HEAD = '<ir_version: 8, opset_import: ["" : 13]>\n'
WEIGHT = "<float[4,3,1,1] w = {1,2,3,4,5,6,7,8,9,10,11,12}>"
IMAGE = f"{HEAD}g (float[1,3,8,8] x) => (float[1,4,8,8] y) {WEIGHT} {{ y = Conv(x, w) }}"
LAST = f"""{HEAD}g (float[1,8,8,3] x) => (float[1,4,8,8] y) {WEIGHT}
{{ t = Transpose <perm = [0, 3, 1, 2]> (x)  y = Conv(t, w) }}"""
MASK = f"""{HEAD}g (float[1,3,8,8] x, float[1,1,8,8] m) => (float[1,1,8,8] z, float[1,4,8,8] y) {WEIGHT}
{{ y = Conv(x, w)  z = MatMul(m, m) }}"""
IDS = f"""{HEAD}g (int64[1,4] i, int64[1,4] u) => (float[1,4,2] y) <float[3,2] w = {{1,2,3,4,5,6}}>
{{ y = Gather(w, i) }}"""
WIDE = f"""{HEAD}g (int64[1,4] ids, int32[1,4] few)
=> (float[1,4,2] y, int64[1,4,1] best, int64[1,4] ids_again) <float[3,2] w = {{1,2,3,4,5,6}}>
{{ a = Gather(w, ids)  b = Gather(w, few)  y = Add(a, b)  best = ArgMax<axis=2>(y)
ids_again = Identity(ids) }}"""
MATRICES = f"""{HEAD}g (float[1,4,4] x) => (float[1,4,4] y)
<float[4,4] w = {{1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,4}}>
{{ a = MatMul(x, w)  y = MatMul(a, x) }}"""


def planned(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, *options: str) -> dict[str, Any]:
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(text).SerializeToString())
    assert main(["plan", "--isolated", "--format", "json", "--soc", "sm8650", *options, str(path)]) in (0, 1)
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    jsonschema.validate(data, SCHEMA)
    return data


def options(report_json: dict[str, Any], tools: str, command: int) -> list[list[str]]:
    rows: list[list[str]] = report_json["commands"][tools][command]["options"]
    return rows


def lists(report_json: dict[str, Any]) -> list[str]:
    return [
        option[1]
        for tools in ("snpe", "qairt")
        for option in options(report_json, tools, 1)
        if option[0] == "--input_list"
    ]


def test_one_set_of_images_cannot_serve_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(tmp_path, capsys, IMAGE)
    assert plan["raw_inputs"] == {
        "snpe": [{"name": "x", "layout": "NHWC", "shape": ["1", "8", "8", "3"], "element": "float32"}],
        "qairt": [{"name": "x", "layout": "NCHW", "shape": ["1", "3", "8", "8"], "element": "float32"}],
    }
    assert lists(plan) == ["INPUT_LIST_NHWC.txt", "INPUT_LIST.txt"]
    (note,) = [note for note in plan["notes"] if "one set of raw files cannot serve both" in note]
    assert "SNPE reads 'x' as NHWC (1,8,8,3), QAIRT as the model has it, NCHW (1,3,8,8)" in note
    assert "--preserve_io layout" in note
    assert any("output 'y' channels last as well" in note for note in plan["notes"])


def test_an_image_with_channels_last_must_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(tmp_path, capsys, LAST)
    assert ["--input_layout", "x", "NHWC"] in options(plan, "snpe", 0)
    assert ["--source_model_input_layout", "x", "NHWC"] in options(plan, "qairt", 0)
    assert plan["raw_inputs"]["snpe"] == plan["raw_inputs"]["qairt"]
    assert plan["raw_inputs"]["snpe"][0]["shape"] == ["1", "8", "8", "3"]
    assert lists(plan) == ["INPUT_LIST.txt"] * 2
    assert not any("cannot serve both" in note for note in plan["notes"])


def test_four_dimensions_alone_are_not_an_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(tmp_path, capsys, MASK)
    layouts = [option for option in options(plan, "snpe", 0) if option[0] == "--input_layout"]
    assert layouts == [["--input_layout", "m", "NONTRIVIAL"]]
    assert [(read["name"], read["layout"]) for read in plan["raw_inputs"]["snpe"]] == [
        ("x", "NHWC"),
        ("m", ""),
    ]


@pytest.mark.parametrize(("sdk", "keeps"), [("2.52", True), ("2.45", True), ("2.44", False), ("2.35", False)])
def test_the_order_of_outputs(
    sdk: str, keeps: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(tmp_path, capsys, MASK, "--sdk", sdk)
    assert (["--preserve_onnx_output_order"] in options(plan, "snpe", 0)) == keeps
    assert ["--preserve_onnx_output_order"] not in options(plan, "qairt", 0)  # it does so by itself
    assert any("may reorder the 2 outputs" in note for note in plan["notes"]) == (not keeps)


@pytest.mark.parametrize(
    ("sdk", "removes"), [("2.52", True), ("2.45", True), ("2.40", False), ("2.35", False)]
)
def test_unused_inputs_and_integers(
    sdk: str, removes: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(tmp_path, capsys, IDS, "--sdk", sdk)
    assert plan["sdk"] == sdk
    assert (["--remove_unused_inputs"] in options(plan, "qairt", 0)) == removes
    assert [read["name"] for read in plan["raw_inputs"]["qairt"]] == (["i"] if removes else ["i", "u"])
    assert any("fails on inputs that no node reads ('u')" in note for note in plan["notes"])
    assert ["--input_dtype", "i", "int32"] in options(plan, "snpe", 0)
    assert ["--source_model_input_datatype", "i", "int32"] in options(plan, "qairt", 0)
    for tools in ("snpe", "qairt"):
        assert ["--use_native_input_files"] in options(plan, tools, 1)
        assert plan["raw_inputs"][tools][0]["element"] == "int32"


def test_truncated_inputs_and_outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(tmp_path, capsys, WIDE)
    assert plan["truncated_64bit_io"] == [
        {"name": "ids", "kind": "input", "element": "int32"},
        {"name": "best", "kind": "output", "element": "int32"},
        {"name": "ids_again", "kind": "output", "element": "int32"},
    ]
    said = [note for note in plan["notes"] if "int32" in note or "--truncate_64bit_io" in note]
    assert [note.split(":")[0] for note in said] == [
        "write the raw files of 'few' as int32",
        "64-bit input 'ids' becomes int32 in the DLC",
        "64-bit outputs 'best', 'ids_again' become int32 in the DLC",
        "AI Hub makes the same change only with --truncate_64bit_io (qualcomm/ai-hub-models#68); values"
        " beyond 32 bits cannot be passed",
    ]
    assert "write the raw files as int32, 4 bytes an element" in said[1]
    assert "--use_native_output_files" in said[2]


def test_nothing_is_truncated_without_64_bit_integers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(tmp_path, capsys, IDS.replace("int64", "int32"))
    assert plan["truncated_64bit_io"] == []
    assert not any("--truncate_64bit_io" in note for note in plan["notes"])


@pytest.mark.parametrize(
    ("sdk", "option"),
    [
        ("2.29", "--desired_input_shape"),
        ("2.21", "--desired_input_shape"),
        ("2.31", "--source_model_input_shape"),
        ("2.35", "--source_model_input_shape"),
        ("2.52", "--source_model_input_shape"),
    ],
)
def test_the_shape_by_release(
    sdk: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(
        tmp_path, capsys, IMAGE.replace("[1,3,8,8] x", "[n,3,8,8] x"), "-s", "n", "1", "--sdk", sdk
    )
    assert [option, "x", "1,3,8,8"] in options(plan, "qairt", 0)
    assert ["-d", "x", "1,3,8,8"] in options(plan, "snpe", 0)


def test_steps_of_16_bit_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(tmp_path, capsys, MATRICES, "--weights-bitwidth", "16")
    assert ["--restrict_quantization_steps", "-0x8000,0x7F7F"] in options(plan, "snpe", 1)
    assert ["--param_quantizer", "symmetric"] in options(plan, "snpe", 1)
    assert ["--restrict_quantization_steps", "-0x8000 0x7F7F"] in options(plan, "qairt", 1)
    assert ["--param_quantizer_schema", "symmetric"] in options(plan, "qairt", 1)
    (row,) = [row for row in plan["advice"] if row["topic"] == "steps of weights"]
    assert (
        "1 product of two activations takes an asymmetric first and a symmetric second input" in row["reason"]
    )
    narrow = planned(tmp_path, capsys, MATRICES)
    assert "restrict_quantization_steps" not in json.dumps(narrow)


def test_float_width_with_encodings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "o.encodings")
    plan = planned(tmp_path, capsys, IMAGE, "--emit-overrides", out)
    assert ["--float_bitwidth", "32"] in options(plan, "qairt", 0)
    assert ["--float_bitwidth", "32"] not in options(plan, "snpe", 0)
    assert any("makes float16 of what stays float, by default" in note for note in plan["notes"])
    assert ["--float_bitwidth", "32"] not in options(planned(tmp_path, capsys, IMAGE), "qairt", 0)


@pytest.mark.parametrize("form", ["rich", "markdown"])
def test_what_people_read(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(IMAGE).SerializeToString())
    main(["plan", "--isolated", "--format", form, "--soc", "sm8650", str(path)])
    text = capsys.readouterr().out
    assert "SDK 2.52 (the newest known)" in text
    assert "raw files of x: float32 NHWC 1,8,8,3" in text
    assert "raw files of x: float32 NCHW 1,3,8,8" in text
