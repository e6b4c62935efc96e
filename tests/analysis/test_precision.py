"""The precision of each op, determined by hand from 80-63442-2 Rev BL, mixed precision and overrides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.outcome import PrecisionRow
from dlclint.target import DlcKind, Target

# The page's own example is a chain of three convolutions with weights and biases.
CHAIN = """<ir_version: 8, opset_import: ["" : 13]>
net (float[1,2,4,4] data_0) => (float[1,2,4,4] conv3_1)
<float[2,2,1,1] conv1_w_0 = {1,2,3,4}, float[2] conv1_b_0 = {0,0},
 float[2,2,1,1] conv2_w_0 = {1,2,3,4}, float[2] conv2_b_0 = {0,0},
 float[2,2,1,1] conv3_w_0 = {1,2,3,4}, float[2] conv3_b_0 = {0,0}> {
  conv1_1 = Conv(data_0, conv1_w_0, conv1_b_0)
  conv2_1 = Conv(conv1_1, conv2_w_0, conv2_b_0)
  conv3_1 = Conv(conv2_1, conv3_w_0, conv3_b_0)
}"""
INT8, INT16, INT32 = ({"bitwidth": bits, "dtype": "int"} for bits in (8, 16, 32))
FP16, FP32 = ({"bitwidth": bits, "dtype": "float"} for bits in (16, 32))
FULL_ACTIVATIONS = {"data_0": INT8, "conv1_1": INT8, "conv2_1": FP32, "conv3_1": INT8}
FULL_PARAMS = {f"conv{i}_{part}_0": FP32 if i == 2 else INT8 for i in (1, 2, 3) for part in "wb"}


def worked(
    tmp_path: Path,
    model: str,
    activations: dict[str, Any],
    params: dict[str, Any],
    kind: DlcKind | None = None,
) -> tuple[dict[str, PrecisionRow], list[tuple[str, str]]]:
    """The rows by op's output, and rule and message of the precision findings."""
    path, beside = tmp_path / "m.encodings", tmp_path / "m.onnxtxt"
    path.write_text(
        json.dumps(
            {
                "activation_encodings": {name: [entry] for name, entry in activations.items()},
                "param_encodings": {name: [entry] for name, entry in params.items()},
            }
        )
    )
    beside.write_text(model)
    target = Target(kind=kind or DlcKind(), simplify=False)
    outcome = lint_file(Job(path, target, select=("precision",), kind="encodings", model=beside))
    named = [line.split("=")[0].strip() for line in model.splitlines() if " = " in line and "(" in line]
    outputs = named[len(named) - len(outcome.precision) :]
    findings = [(finding.rule.partition("/")[2], finding.message) for finding in outcome.diagnostics]
    return dict(zip(outputs, outcome.precision, strict=True)), findings


def test_full_override_of_the_page(tmp_path: Path) -> None:
    rows, findings = worked(tmp_path, CHAIN, FULL_ACTIVATIONS, FULL_PARAMS)
    assert [(row.runs, row.coverage, row.forced) for row in rows.values()] == [
        ("int8", "full", False),
        ("float32", "full", True),
        ("int8", "full", False),
    ]
    # A float32 op between int8 ops: a Convert on either side.
    assert [message for rule, message in findings if rule == "convert-inserted"] == [
        "Conv: its input is int8, it runs in float32: a Convert is inserted",
        "Conv: its input is float32, it runs in int8: a Convert is inserted",
    ]
    assert not [rule for rule, _ in findings if rule in ("float-spread", "mixed-inputs")]


def test_partial_override_of_the_page(tmp_path: Path) -> None:
    rows, findings = worked(tmp_path, CHAIN, {"conv2_1": FP32}, {"conv2_w_0": FP32, "conv2_b_0": FP32})
    # Op 2 as in the full override; the others as without a file, so that only op 3's Convert is known.
    assert [(row.runs, row.coverage) for row in rows.values()] == [
        ("", "none"),
        ("float32", "full"),
        ("", "none"),
    ]
    assert rows["conv3_1"].inputs == ("float32",)
    assert [message for rule, message in findings if rule == "convert-inserted"] == [
        "Conv: its input is int8 (no entry), it runs in float32: a Convert is inserted",
        "Conv: its input is float32, it runs in int8 (no entry): a Convert is inserted",
    ]


def test_no_override(tmp_path: Path) -> None:
    rows, findings = worked(tmp_path, CHAIN, {}, {})
    assert rows == {}
    assert findings == []


@pytest.mark.parametrize(
    ("activations", "params", "cause", "others"),
    [
        ({"conv2_1": FP16}, {}, "output", "weight without entry, bias without entry"),
        ({"conv2_1": INT8}, {"conv2_w_0": FP16}, "weight", "output int8, bias without entry"),
        ({"conv2_1": INT8}, {"conv2_w_0": INT8, "conv2_b_0": FP32}, "bias", "output int8, weight int8"),
    ],
    ids=["output", "weight", "bias"],
)
def test_one_float_makes_all_three_float(
    tmp_path: Path, activations: dict[str, Any], params: dict[str, Any], cause: str, others: str
) -> None:
    rows, findings = worked(tmp_path, CHAIN, activations, params)
    width = (activations | params)[{"output": "conv2_1", "weight": "conv2_w_0", "bias": "conv2_b_0"}[cause]][
        "bitwidth"
    ]
    assert rows["conv2_1"].runs == f"float{width}" and rows["conv2_1"].forced
    spread = [message for rule, message in findings if rule == "float-spread"]
    assert spread == [f"Conv: its {cause} is float{width}, so {others} becomes float{width} too"]


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm", "MatMul"])
def test_ops_that_become_float_together(tmp_path: Path, op: str) -> None:
    shape, weight = ("1,2,4,4", "2,2,1,1") if op.startswith("Conv") else ("1,2", "2,2")
    model = f"""<ir_version: 8, opset_import: ["" : 13]>
    net (float[{shape}] x) => (float[{shape}] y) <float[{weight}] w = {{1,2,3,4}}> {{
      y = {op}(x, w)
    }}"""
    rows, _ = worked(tmp_path, model, {"x": INT8, "y": INT8}, {"w": FP16})
    assert (rows["y"].runs, rows["y"].forced) == ("float16", True)


def test_other_ops_do_not(tmp_path: Path) -> None:
    model = """<ir_version: 8, opset_import: ["" : 13]>
    net (float[1,2] x) => (float[1,2] y) <float[2] w = {1,2}> {
      y = Add(x, w)
    }"""
    rows, _ = worked(tmp_path, model, {"x": INT8, "y": INT8}, {"w": FP16})
    assert (rows["y"].runs, rows["y"].forced) == ("int8", False)


MATMUL = """<ir_version: 8, opset_import: ["" : 13]>
net (float[2,2] a, float[2,2] b) => (float[2,2] y) {
  y = MatMul(a, b)
}"""


def test_mixed_inputs(tmp_path: Path) -> None:
    _, findings = worked(tmp_path, MATMUL, {"a": FP16, "b": INT8, "y": INT8}, {})
    assert ("mixed-inputs", "MatMul: its inputs are float16 and int8") in findings
    for same in (FP16, INT8):
        _, findings = worked(tmp_path, MATMUL, {"a": same, "b": same, "y": same}, {})
        assert findings == []


def test_fused_activation_carries_the_encoding(tmp_path: Path) -> None:
    model = """<ir_version: 8, opset_import: ["" : 13]>
    net (float[1,2,4,4] x) => (float[1,2,4,4] z) <float[2,2,1,1] w = {1,2,3,4}> {
      y = Conv(x, w)
      z = Relu(y)
    }"""
    rows, findings = worked(tmp_path, model, {"x": INT16, "z": INT16}, {"w": INT8})
    assert [(row.runs, row.coverage) for row in rows.values()] == [("int16", "full"), ("int16", "full")]
    assert findings == []


def test_data_movement_keeps_its_input(tmp_path: Path) -> None:
    model = """<ir_version: 8, opset_import: ["" : 13]>
    net (float[1,2] x) => (float[2,1] z) {
      y = Relu(x)
      z = Transpose<perm = [1,0]>(y)
    }"""
    rows, findings = worked(tmp_path, model, {"x": INT16, "y": INT16}, {})
    assert (rows["z"].runs, rows["z"].coverage) == ("int16", "none")
    assert findings == []


ADD = """<ir_version: 8, opset_import: ["" : 13]>
net (float[2] a, float[2] b) => (float[2] z) {
  y = Add(a, b)
  z = Relu(y)
}"""


def test_int32_wants_every_input_and_output(tmp_path: Path) -> None:
    _, findings = worked(tmp_path, ADD, {"a": INT32, "b": INT32, "y": INT32}, {})
    assert not [rule for rule, _ in findings if rule == "int32-incomplete" and "Add" in _]
    _, findings = worked(tmp_path, ADD, {"a": INT32, "y": INT32}, {})
    assert ("int32-incomplete", "Add: 'a' is overridden to int32, 'b' is not") in findings


def test_int32_is_not_for_weights(tmp_path: Path) -> None:
    _, findings = worked(tmp_path, CHAIN, {"conv1_1": INT32}, {})
    assert ("int32-with-weights", "Conv: its output is overridden to int32, but it has weights") in findings
    # An int32 bias is another matter.
    _, findings = worked(tmp_path, CHAIN, {"conv1_1": INT8}, {"conv1_b_0": INT32})
    assert not [rule for rule, _ in findings if rule.startswith("int32")]


def test_biases_without_entry(tmp_path: Path) -> None:
    _, findings = worked(tmp_path, CHAIN, {"conv1_1": INT8}, {})
    assert ("bias-bits", "biases without an encoding: 3; they become 8 bits wide") in findings
    _, findings = worked(tmp_path, CHAIN, {"conv1_1": INT8}, {}, DlcKind(True, bias_bitwidth=32))
    assert not [rule for rule, _ in findings if rule == "bias-bits"]


def test_what_a_bias_becomes(tmp_path: Path) -> None:
    """80-63442-2 Rev BL, mixed precision, partial overrides, and --float_bias_bitwidth of the tools."""
    activations, params = {"conv1_1": INT8, "conv2_1": FP16}, {"conv3_w_0": FP32, "conv3_b_0": INT8}

    def becomes(kind: DlcKind) -> tuple[list[str], list[str]]:
        rows, findings = worked(tmp_path, CHAIN, activations, params, kind)
        said = sorted(message for rule, message in findings if rule == "bias-bits")
        return [row.bias_runs for row in rows.values()], said

    integers = "biases without an encoding: 1; they become 8 bits wide"
    floats = "biases without an encoding in float ops: 1; they become float16"
    # An entry for the bias settles that it becomes float as its op; the option is for those without.
    assert becomes(DlcKind(True)) == (["int8", "float16", "float32"], [floats, integers])
    assert becomes(DlcKind(True, float_bias_bitwidth=16)) == (
        ["int8", "float16", "float32"],
        [floats, integers],
    )
    assert becomes(DlcKind(True, float_bias_bitwidth=32)) == (["int8", "float32", "float32"], [integers])
    assert becomes(DlcKind(True, bias_bitwidth=32, float_bias_bitwidth=32)) == (
        ["int32", "float32", "float32"],
        [],
    )


def test_a_float_bias_keeps_the_width_of_its_entry(tmp_path: Path) -> None:
    kind = DlcKind(True, float_bias_bitwidth=16)
    rows, _ = worked(tmp_path, CHAIN, {"conv1_1": FP16}, {"conv1_b_0": FP32}, kind)
    # Of the ops of which the file says nothing, neither their precision nor their bias is known.
    assert [row.bias_runs for row in rows.values()] == ["float32", "", ""]


def test_an_op_without_bias_has_none(tmp_path: Path) -> None:
    model = """<ir_version: 8, opset_import: ["" : 13]>
    net (float[2,2] x) => (float[2,2] z) <float[2,2] w = {1,2,3,4}> {
      y = MatMul(x, w)
      z = Gemm(y, w)
    }"""
    rows, findings = worked(tmp_path, model, {"y": FP16, "z": FP16}, {"w": FP16})
    assert [(row.bias, row.bias_runs) for row in rows.values()] == [("", "")] * 2
    assert not [rule for rule, _ in findings if rule == "bias-bits"]


def test_the_message_names_both_widths(tmp_path: Path) -> None:
    kind = DlcKind(True, float_bias_bitwidth=32)
    _, findings = worked(tmp_path, CHAIN, {"conv1_1": FP16}, {}, kind)
    assert (
        "float-spread",
        "Conv: its output is float16, so weight without entry becomes float16 too and"
        " bias without entry becomes float32",
    ) in findings
