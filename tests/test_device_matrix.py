"""45 devices x 6 runtimes x 2 DLC kinds against the documents, read here by another way than the rules'.

What is expected is computed from the raw rows of the tables: the device row's cells, and the page
Quantized vs Non-Quantized Models (80-63442-2 Rev BL), copied by hand below.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from onnx import parser

from dlclint.analysis.view import ModelView
from dlclint.engine.registry import all_rules
from dlclint.engine.rules import apply_rules
from dlclint.model.reading import read
from dlclint.rule import ModelContext, Subject
from dlclint.socs import find_socs
from dlclint.target import DlcKind, Runtime, Target

RAW = json.loads(files("dlclint_schemas").joinpath("data/snpe_devices.json").read_text("utf-8"))["devices"]
MODEL = """<ir_version: 8, opset_import: ["" : 7]>
g (float[1,3,8,8] x) => (float[1,3,8,8] y) <float[1] w = {2.0}> { m = Mul(x, w) y = Relu(m) }"""
RULES = tuple(rule for rule in all_rules() if rule.family == "runtime")

# The page's table, runtime by runtime: what becomes of a (quantized, float) DLC.
PAGE = {
    "cpu": ("runtime/dequantized-at-load", None),
    "gpu": ("runtime/dequantized-at-load", None),
    "gpu_float16": ("runtime/dequantized-at-load", None),
    "dsp": (None, "runtime/quantized-at-load"),
    "htp": (None, "runtime/quantized-at-load"),
    "aip": (None, "runtime/dlc-kind"),
}


def exists(row: dict[str, Any], runtime: str) -> bool:
    """By the cells of the row: V66 is the DSP runtime, any newer Hexagon is HTP, AIP has a cell."""
    arch = row["dsp_arch"]
    if runtime in ("dsp", "htp"):
        return arch is not None and (arch == "V66") == (runtime == "dsp")
    return bool(row[{"gpu_float16": "gpu"}.get(runtime, runtime)])


def expected(row: dict[str, Any], runtime: str, quantize: bool) -> set[str]:
    if not exists(row, runtime):
        return {"runtime/soc-lacks-runtime"}
    documented = PAGE[runtime][0 if quantize else 1]
    # Limitations: on Snapdragon 865 the DSP runtime needs a DLC from snpe-dlc-quantize.
    if row["soc"] == "SM8250" and runtime == "dsp" and not quantize:
        documented = "runtime/quantizer-mandatory"
    return {documented} if documented else set()


def combinations() -> Iterator[tuple[dict[str, Any], str, bool]]:
    for row in RAW:
        for runtime in PAGE:
            for quantize in (False, True):
                yield row, runtime, quantize


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("matrix") / "m.onnx"
    path.write_bytes(parser.parse_model(MODEL).SerializeToString())
    return path


def test_every_combination(model: Path) -> None:
    loaded = read(model)
    asked = 0
    for row, runtime, quantize in combinations():
        (soc,) = [soc for soc in find_socs(row["soc"]) if soc.name == row["soc"]]
        target = Target((Runtime(runtime),), soc, DlcKind(quantize, stated=True))
        context = ModelContext(model, ModelView(loaded, target), target)
        rules = {finding.rule for finding in apply_rules(RULES, Subject.MODEL, context, "m.onnx")}
        assert rules == expected(row, runtime, quantize), (row["soc"], runtime, quantize)
        asked += 1
    assert asked == 45 * 6 * 2


def test_the_matrix_of_the_report_says_the_same(model: Path) -> None:
    """Only the runtimes of the chip have a row, and its DLC column agrees with the page."""
    words = {
        None: "as is",
        "runtime/dequantized-at-load": "dequantized at load",
        "runtime/quantized-at-load": "quantized at load",
        "runtime/dlc-kind": "refused",
        "runtime/quantizer-mandatory": "refused",
    }
    loaded = read(model)
    for row in RAW:
        (soc,) = [soc for soc in find_socs(row["soc"]) if soc.name == row["soc"]]
        for quantize in (False, True):
            target = Target((), soc, DlcKind(quantize, stated=True))
            dlcs = {row.runtime.value: row.dlc for row in ModelView(loaded, target).support_matrix().rows}
            wanted = {
                runtime: words[next(iter(expected(row, runtime, quantize)), None)]
                for runtime in PAGE
                if exists(row, runtime)
            }
            assert dlcs == wanted, row["soc"]


@pytest.mark.parametrize(
    ("soc", "kind", "errors"),
    [
        # 16-bit weights need v73 (QNN HTP supplement): 8 Gen 2 has it, 8 Gen 1 (v69) and 888 (v68) not.
        ("SM8550", DlcKind(True, 16, 16, stated=True), set()),
        ("SM8450", DlcKind(True, 16, 16, stated=True), {"runtime/precision"}),
        ("SM8350", DlcKind(True, 16, 16, stated=True), {"runtime/precision"}),
        ("SM8450", DlcKind(True, 16, 8, stated=True), set()),
        # float16 by SoC: SM8550 takes it, SM7675 and SM8635 of the same v73 do not.
        ("SM8550", DlcKind(float_bitwidth=16, stated=True), set()),
        ("SM7675", DlcKind(float_bitwidth=16, stated=True), {"runtime/precision"}),
        ("SM8635", DlcKind(float_bitwidth=16, stated=True), {"runtime/precision"}),
    ],
)
def test_precision_by_chip(soc: str, kind: DlcKind, errors: set[str], tmp_path: Path) -> None:
    weight = f"<float[3,3,1,1] w = {{{','.join(['1'] * 9)}}}>"
    text = f"{MODEL.partition('<float')[0]}{weight} {{ y = Conv(x, w) }}"
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(text).SerializeToString())
    (chip,) = find_socs(soc)
    target = Target((), chip, kind)
    context = ModelContext(path, ModelView(read(path), target), target)
    findings = apply_rules(RULES, Subject.MODEL, context, "m.onnx")
    assert {finding.rule for finding in findings if finding.severity.value == "error"} == errors


def test_widths_that_a_chip_refuses_show_in_the_matrix(model: Path) -> None:
    """16-bit weights: from v73, with 16-bit activations; those not on the DSP of v66."""
    loaded = read(model)

    def dlc(soc: str, runtime: Runtime, act: int, weights: int) -> str:
        target = Target((), find_socs(soc)[0], DlcKind(True, act, weights, stated=True))
        return next(r.dlc for r in ModelView(loaded, target).support_matrix().rows if r.runtime is runtime)

    assert dlc("SM8550", Runtime.HTP, 16, 16) == "as is"
    assert dlc("SM8450", Runtime.HTP, 16, 16) == "refused"
    assert dlc("SM8450", Runtime.HTP, 16, 8) == "as is"
    assert dlc("SM8550", Runtime.HTP, 8, 16) == "refused"
    assert dlc("SM8250", Runtime.DSP, 16, 8) == "refused"
    assert dlc("SM8250", Runtime.AIP, 16, 8) == "as is"
