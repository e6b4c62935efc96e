"""Every machine-checkable limitation on both sides of its boundary, and every entry accounted for."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from dlclint.analysis.expressions import NoValue, holds, names_in
from dlclint.cli.main import main
from dlclint.engine.registry import all_rules
from dlclint_rules.runtime.breaches import HANDLERS
from dlclint_rules.runtime.limits import CHECKED_BY, evaluated
from dlclint_schemas.limitations import limit_table

CPU, GPU = "--runtime cpu --float", "--runtime gpu --float"
DSP, AIP = "--runtime dsp --quantize", "--runtime aip --quantize"


def conv(weight: str, attributes: str = "", channels: int = 4, op: str = "Conv", opset: int = 11) -> str:
    body = f"y = {op} <{attributes}> (x, w)" if attributes else f"y = {op} (x, w)"
    return f"{opset}; g (float[1,{channels},40,40] x) => (float[n,c,h,w0] y) {{ {body} }}; w:{weight}"


def matrix(batch: int, inputs: int, outputs: int) -> str:
    return f"13; g (float[{batch},{inputs}] x) => (float[n,m] y) {{ y = MatMul(x, w) }}; w:{inputs},{outputs}"


def unary(op: str, shape: str, attributes: str = "", opset: int = 11) -> str:
    body = f"y = {op} <{attributes}> (x)" if attributes else f"y = {op} (x)"
    return f"{opset}; g (float[{shape}] x) => (float[n,c,h,w0] y) {{ {body} }}"


def concat(first: int, second: int, axis: int = 1, rank: int = 4) -> str:
    dims = ",4" * (rank - 2)
    return (
        f"13; g (float[1,{first}{dims}] a, float[1,{second}{dims}] b) => (float[n,c,h,w0] y) "
        f"{{ y = Concat <axis = {axis}> (a, b) }}"
    )


def custom(op: str, kind: str = "float", batch: int = 1) -> str:
    return f'13, "acme" : 1; g ({kind}[{batch},4,8,8] x) => ({kind}[{batch},4,8,8] y) {{ y = acme.{op} (x) }}'


def pad(pads: str, shape: str = "1,4,8,8", mode: str = "constant") -> str:
    out = ",".join("abcde"[: len(shape.split(","))])
    return (
        f'10; g (float[{shape}] x) => (float[{out}] y) {{ y = Pad <pads = [{pads}], mode = "{mode}"> (x) }}'
    )


def resize(channels: int, width: int, scale: int) -> str:
    return (
        f"10; g (float[1,{channels},8,{width}] x) => (float[1,{channels},{8 * scale},{width * scale}] y) "
        f"<float[4] s = {{1, 1, {scale}, {scale}}}> {{ y = Resize (x, s) }}"
    )


def roi(source: str = "") -> str:
    return (
        f"11; g (float[1,4,8,8] x, float[3,5] r) => (float[n,c,h,w0] y) "
        f"{{ {source} y = MaxRoiPool <pooled_shape = [2, 2]> (x, {'q' if source else 'r'}) }}"
    )


RELU = unary("Relu", "1,4,8,8")
FAR = "pads = [30, 30, 30, 30]"
CROP = "10; g (float[1,{c},8,8] x) => (float[1,{c},4,8] y) {{ y = Slice (x, s, e, a) }}; s=0; e=4; a=2"
SPLIT = (
    "13; g (float[1,8,4,4] x{more}) => (float[n,a,b,c] y, float[m,d,e,f] z) "
    "{{ y, z = Split <axis = 1> (x, {s}) }}"
)
IMAGE = "11; g (float[1,4,{h},{w}] x) => (float[1,4,{h},{w}] y) {{ y = Relu (x) }}"
HTA_BATCH = "13; g (float[{n},4,8,8] x) => (float[{n},4,8,8] y) {{ y = {op} (x) }}"
GROUP = "{out},2,1,1"

CASES = {
    "LIM007": [(CPU, conv("4,4,2,2", op="ConvTranspose"), conv("4,4,2,2"))],
    # ceil(channels / 4) * width < 16384: 1025 packed channels are one too many for 16 columns.
    "LIM011": [(GPU, unary("Relu", "1,4096,1,16"), unary("Relu", "1,4092,1,16"))],
    # filter_size ** 2 * 4 <= 16384: 64 is the largest square filter.
    "LIM012": [(GPU, conv("1,4,65,65", FAR), conv("1,4,64,64", FAR))],
    # output_channels / 4 <= 16384.
    "LIM013": [(GPU, conv("65537,4,1,1"), conv("65536,4,1,1"))],
    "LIM020": [
        (AIP, HTA_BATCH.format(n=2, op="Exp"), HTA_BATCH.format(n=1, op="Exp")),
        (AIP, HTA_BATCH.format(n=2, op="Exp"), HTA_BATCH.format(n=2, op="Softmax")),
    ],
    "LIM023": [
        (
            f"{GPU} -e x nv21",
            IMAGE.format(h=9, w=8),
            IMAGE.format(h=8, w=8),
        ),
        (f"{GPU} -e x nv21", IMAGE.format(h=8, w=9), IMAGE.format(h=8, w=8)),
    ],
    "LIM024": [(GPU, concat(4, 6), concat(4, 8))],
    # Two groups want a multiple of 8.
    "LIM025": [(GPU, conv(GROUP.format(out=12), "group = 2"), conv(GROUP.format(out=16), "group = 2"))],
    "LIM026": [(GPU, CROP.format(c=6), CROP.format(c=8))],
    # ceil(8 / 4) * 8193 > 16384.
    "LIM029": [
        (
            GPU,
            conv("8,8193,1,1", channels=8, op="ConvTranspose"),
            conv("8,8192,1,1", channels=8, op="ConvTranspose"),
        )
    ],
    "LIM030": [
        (
            GPU,
            conv("1,1,129,128", channels=1, op="ConvTranspose"),
            conv("1,1,128,128", channels=1, op="ConvTranspose"),
        )
    ],
    "LIM031": [
        (
            GPU,
            conv("4,4,2,2", "strides = [3, 2]", op="ConvTranspose"),
            conv("4,4,2,2", "strides = [2, 2]", op="ConvTranspose"),
        )
    ],
    "LIM032": [
        (
            DSP,
            conv("4,4,5,5", "strides = [5, 4]", op="ConvTranspose"),
            conv("4,4,5,5", "strides = [4, 4]", op="ConvTranspose"),
        )
    ],
    "LIM033": [
        (
            DSP,
            conv("64,1,3,3", f"group = 64, strides = [1, {bad}]", 64),
            conv("64,1,3,3", "group = 64, strides = [1, 2]", 64),
        )
        for bad in (3, 4)
    ]
    + [
        (DSP, conv("64,1,3,5", "group = 64", 64), conv("64,1,3,3", "group = 64", 64)),
        (DSP, conv("48,1,3,3", "group = 48", 48), conv("32,1,3,3", "group = 32", 32)),
    ],
    "LIM035": [(DSP, custom("DetectionOutput", batch=2), custom("DetectionOutput"))],
    "LIM036": [(GPU, matrix(1, 16385, 1), matrix(1, 16384, 1))],
    "LIM037": [(GPU, matrix(1, 1, 16385), matrix(1, 1, 16384))],
    "LIM038": [(DSP, matrix(2, 24, 4), matrix(2, 32, 4)), (DSP, matrix(2, 24, 4), matrix(1, 24, 4))],
    "LIM039": [
        (DSP, resize(64, 8, 3), resize(64, 8, 2)),
        (DSP, resize(64, 6, 2), resize(256, 6, 2)),
        (DSP, resize(96, 8, 2), resize(64, 8, 2)),
        (DSP, resize(128, 8, 2), resize(256, 8, 2)),
    ],
    "LIM040": [
        (
            CPU,
            f"6; g (float[1,2,4,4] x, float[2] s, float[2] b) => (float[1,2,4,4] y) "
            f"{{ y = InstanceNormalization <epsilon = {bad}> (x, s, b) }}",
            "6; g (float[1,2,4,4] x, float[2] s, float[2] b) => (float[1,2,4,4] y) "
            "{ y = InstanceNormalization <epsilon = 0.000001> (x, s, b) }",
        )
        for bad in ("0.00001", "0.001")
    ],
    "LIM041": [(DSP, pad("0,0,1,0,0,0", "1,4,8"), pad("0,0,1,0,0,0,0,0"))],
    "LIM042": [(DSP, pad("0,0,0,0,1,0,0,0"), pad("0,1,0,0,0,1,0,0"))],
    "LIM043": [
        (DSP, pad("0,1,0,0,0,0,0,0", mode="reflect"), pad("0,0,1,0,0,0,0,0", mode="reflect")),
        (DSP, pad("0,0,0,0,0,1,0,0", mode="reflect"), pad("0,0,0,0,0,1,0,0")),
    ],
    "LIM045": [("", custom("Proposal", batch=2), custom("Proposal"))],
    # Its batch is batch/detector-batch's, and that the GPU lacks it is ops/no-runtime's.
    "LIM046": [
        (DSP, roi(), roi("q = acme.Proposal (r)").replace("11;", '11, "acme" : 1;')),
        (DSP, roi(), f"{DSP} -t r opaque", roi()),
    ],
    "LIM048": [
        (GPU, SPLIT.format(more=", int64[2] s", s="s"), SPLIT.format(more="", s="k") + "; k=4,4"),
    ],
    "LIM050": [
        (DSP, custom("Thing", "int32"), custom("Thing")),
        (f"{DSP} --act-bitwidth 16", custom("Thing"), custom("Thing", "uint8")),
    ],
    "LIM051": [(GPU, custom("Thing", "int32"), custom("Thing"))],
    "LIM052": [
        (f"{CPU} --float-bitwidth 16", custom("Thing"), CPU, custom("Thing")),
        (CPU, custom("Thing", "bool"), custom("Thing")),
    ],
    "LIM062": [
        (AIP, concat(4000, 97), concat(4000, 96)),
        (AIP, concat(4000, 97), concat(4000, 4000)),
        (AIP, concat(32, 32, axis=2), concat(32, 32)),
    ],
    "LIM063": [
        (
            AIP,
            "13; g (float[1,2,3,4,5] x) => (int64[a,b,c,d,e] y) { y = ArgMax (x) }",
            "13; g (float[1,2,3,4] x) => (int64[a,b,c,d] y) { y = ArgMax (x) }",
        )
    ],
    "LIM064": [
        (f"{AIP} {bad}", conv("4,4,1,1"), f"{AIP} {good}", conv("4,4,1,1"))
        for bad, good in (
            ("--weights-bitwidth 16 --act-bitwidth 16", "--act-bitwidth 16"),
            ("--weights-bitwidth 4", "--weights-bitwidth 8"),
            ("--use-per-channel-quantization", "--bias-bitwidth 32"),
        )
    ],
}
"""Entry to (options, a model that breaks the limit, one that just keeps it), or with options for each."""
ELSEWHERE = {
    "LIM001": [("", unary("Relu", "1,2,3,4,5"), unary("Relu", "1,2,3,4"))],
    "LIM002": [("", roi().replace("[1,4,8,8]", "[2,4,8,8]"), roi())],
    "LIM003": [("--quantize", unary("Relu", "2,4,8,8"), unary("Relu", "1,4,8,8"))],
    "LIM004": [("--sdk 2.35", unary("Relu", "1,4,8,8", opset=22), unary("Relu", "1,4,8,8", opset=21))],
    "LIM005": [
        # Without simplification nothing folds; shapes/dynamic-dim reports sizes that inputs lack.
        (
            "-n",
            "13; g (float[1,4] x) => (int64[a] y) { s = Shape (x) y = Add (s, s) }",
            "",
            "13; g (float[1,4] x) => (int64[a] y) { s = Shape (x) y = Add (s, s) }",
        )
    ],
    "LIM017": [("--soc 865 --runtime dsp --float", RELU, "--soc 865 --runtime dsp --quantize", RELU)],
    "LIM018": [(AIP, unary("Relu", "1,17,8,8"), unary("Relu", "1,16,8,8"))],
    "LIM021": [("--runtime aip --float", RELU, AIP, RELU)],
    "LIM022": [(DSP, "13; g (float[1,4] x) => (int64[a,b] y) { y = ArgMax (x) }", RELU)],
}
"""Entries that rules of their own check, in the same form."""


def build(text: str, folder: Path) -> Path:
    """A model from `opset, ...; graph; name:dims; name=values`: float weights of 0.1, integer values."""
    imports, graph, *constants = (part.strip() for part in text.split(";"))
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {imports}]> {graph}')
    for constant in constants:
        if ":" in constant:
            name, dims = constant.split(":")
            value = np.full([int(dim) for dim in dims.split(",")], 0.1, np.float32)
        else:
            name, values = constant.split("=")
            value = np.array([int(number) for number in values.split(",")], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    path = folder / "m.onnx"
    onnx.save(model, path)
    return path


def reported(
    options: str, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> list[tuple[str, str]]:
    """Rule and limit of every finding."""
    path = build(text, folder)
    status = main(["check", "--isolated", "--format", "json", *shlex.split(options), str(path)])
    output = capsys.readouterr()
    assert status in (0, 1), output.err
    (file,) = json.loads(output.out)["files"]
    assert not [finding for finding in file["findings"] if finding["rule"] == "engine/crashed-rule"]
    return [(finding["rule"], finding["evidence"].get("limit", "")) for finding in file["findings"]]


def sides(case: tuple[str, ...]) -> tuple[tuple[str, str], tuple[str, str]]:
    if len(case) == 3:
        return (case[0], case[1]), (case[0], case[2])
    return (case[0], case[1]), (case[2], case[3])


EVALUATED = [(id, case) for id, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("id", "case"), EVALUATED, ids=[id for id, _ in EVALUATED])
def test_both_sides(
    id: str, case: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = sides(case)
    assert ("runtime/layer-limit", id) in reported(*bad, tmp_path, capsys)
    assert ("runtime/layer-limit", id) not in reported(*good, tmp_path, capsys)


OF_DSP = [(id, case) for id, case in EVALUATED if limit_table()[id].get("runtimes") == ("dsp",)]


@pytest.mark.parametrize(("id", "case"), OF_DSP, ids=[id for id, _ in OF_DSP])
def test_limits_of_the_dsp_reach_aip_and_not_htp(
    id: str, case: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """AIP runs on HTA and on that DSP; HTP is another processor, which the page does not cover."""
    (options, model), _ = sides(case)
    for runtime, reached in (("aip", True), ("htp", False)):
        elsewhere = options.replace("--runtime dsp", f"--runtime {runtime}")
        limits = reported(elsewhere, model, tmp_path, capsys)
        assert (("runtime/layer-limit", id) in limits) == reached


OTHERS = [(id, case) for id, cases in ELSEWHERE.items() for case in cases]


@pytest.mark.parametrize(("id", "case"), OTHERS, ids=[id for id, _ in OTHERS])
def test_both_sides_elsewhere(
    id: str, case: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = sides(case)
    assert CHECKED_BY[id] in {rule for rule, _ in reported(*bad, tmp_path, capsys)}
    assert CHECKED_BY[id] not in {rule for rule, _ in reported(*good, tmp_path, capsys)}


def test_every_entry_is_accounted_for() -> None:
    """44 entries have a machine form: each is evaluated, checked by a rule of its own, or no flaw."""
    machine = {id for id, entry in limit_table().items() if "machine" in entry}
    assert len(machine) == 44
    own = {id for id in machine if evaluated(id)}
    assert own == set(CASES)
    defined = {id for id, entry in limit_table().items() if entry["effect"] == "definition"}
    assert machine == own | set(CHECKED_BY) | defined
    assert not own & set(CHECKED_BY)
    assert set(CHECKED_BY.values()) <= {rule.id for rule in all_rules()}
    # quantization/fp16-overflow has its own fixtures; it needs ranges, which no option here gives.
    assert set(CHECKED_BY) == {*ELSEWHERE, "LIM008"}
    assert {limit_table()[id]["machine"]["kind"] for id in own} == set(HANDLERS)


def test_every_expression_is_of_the_language() -> None:
    """All that `when`, `expr` and `tests` hold is parsed, and names no quantity that nothing gives."""
    texts = [
        text
        for entry in limit_table().values()
        for machine in (entry.get("machine", {}),)
        for text in (machine.get("when"), machine.get("expr"), *machine.get("tests", ()))
        if text is not None
    ]
    assert len(texts) > 15
    known = {
        *("group", "output_channels", "input_channels", "channels", "packed_channels", "kernel", "kernel_i"),
        *("strides", "stride_i", "stride_w", "filter_size", "filter_h", "filter_w", "width", "batch", "rank"),
        *("input_features", "output_features", "axis", "channel", "C_i", "C", "H", "W", "scale"),
        "MaxPerGPUSize",
    }
    for text in texts:
        assert set(names_in(text)) <= known, text


def test_stale_entries_are_silent() -> None:
    stale = {id for id, entry in limit_table().items() if entry["effect"] == "stale"}
    assert stale == {"LIM044"}
    assert not any(evaluated(id) or id in CHECKED_BY for id in stale)


def test_expressions() -> None:
    assert names_in("ceil(input_channels/4) * output_channels <= MaxPerGPUSize") == (
        "input_channels",
        "output_channels",
        "MaxPerGPUSize",
    )
    assert holds("stride_i <= kernel_i", {"stride_i": [1, 2], "kernel_i": [1, 2]})
    assert not holds("stride_i <= kernel_i", {"stride_i": [1, 3], "kernel_i": [1, 2]})
    assert not holds("kernel == [3,3]", {"kernel": [3, 3, 3]})
    assert holds("all(C_i % 32 == 0) or sum(C_i) <= 4096", {"C_i": [31, 4065]})
    assert not holds("all(C_i % 32 == 0) or sum(C_i) <= 4096", {"C_i": [31, 4066]})
    assert [n for n in range(20) if holds("pow2(C)", {"C": n})] == [1, 2, 4, 8, 16]
    with pytest.raises(NoValue):
        holds("C % 4 == 0", {})
    for text in ("__import__('os')", "C.real", "open(C)", "[x for x in C]", "C ** 2"):
        with pytest.raises(ValueError):
            holds(text, {"C": 2, "x": 1})
