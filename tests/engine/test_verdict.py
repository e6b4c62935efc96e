"""The verdict: what it says, that it does not depend on what is shown, and that its commands run."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from dlclint.cli.main import main
from dlclint.cli.main import parser as command_line
from dlclint.engine import trial


def _shown_networks() -> ModuleType:
    path = Path(__file__).parent.parent.parent / "scripts" / "pages" / "_networks.py"
    spec = importlib.util.spec_from_file_location("shown_networks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NETWORKS = _shown_networks().NETWORKS

WHOLE = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x) => (float[1,4,8,8] y) { c = Conv(x, w) y = Relu(c) }"""
SPLIT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,8,8] x) => (float[1,3,8,8] y) { c = Softplus(x) y = Relu(c) }"""
REFUSED = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,3] x) => (float[1] y) { y = Det(x) }"""
OPEN = """<ir_version: 8, opset_import: ["" : 17]>
g (float[N,3,height,8] x) => (float[N,3,height,8] y) { y = Relu(x) }"""


def write(folder: Path, text: str) -> Path:
    proto = parser.parse_model(text)
    if "w" in proto.graph.node[0].input:
        weight = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def shown(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> str:
    main(["check", "--isolated", "--format", "json", *options, str(path)])
    return capsys.readouterr().out


def verdict(capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> dict[str, Any]:
    report_json: dict[str, Any] = json.loads(shown(capsys, path, *options))["files"][0]["verdict"]
    return report_json


def test_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = verdict(capsys, write(tmp_path, WHOLE), "--soc", "sm8650", "--quantize")
    assert answer["converts"]["word"] == "yes"
    assert {row["runtime"]: row["word"] for row in answer["runs"]}["htp"] == "whole"
    # Nothing but measuring makes accuracy safe.
    assert answer["accuracy"]["word"] == "unknown"
    assert [line.split()[:2] for line in answer["next"]] == [["dlclint", "plan"], ["dlclint", "simulate"]]
    assert "SM8650" in answer["judged_for"] and "quantized a8w8" in answer["judged_for"]


def test_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, SPLIT)
    (row,) = (row for row in verdict(capsys, path)["runs"] if row["runtime"] == "dsp")
    assert (row["word"], row["reason"]) == ("split", "2 subnets, 1 node elsewhere")
    # If only this runtime is requested, what it lacks is an error, and its words are the reason.
    (row,) = verdict(capsys, path, "--runtime", "dsp")["runs"]
    assert row["word"] == "no" and "Softplus" in row["reason"]


def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = verdict(capsys, write(tmp_path, REFUSED), "--runtime", "htp", "--quantize")
    assert (answer["converts"]["word"], answer["converts"]["rule"]) == ("no", "ops/unsupported")
    assert answer["runs"] == []
    assert not any("simulate" in line for line in answer["next"])


def test_a_runtime_that_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sixteen = ("--soc", "865", "--runtime", "dsp", "--quantize", "--act-bitwidth", "16")
    (row,) = verdict(capsys, write(tmp_path, WHOLE), *sixteen)["runs"]
    assert row["word"] == "no"


def test_at_risk_names_first_what_no_setting_fixes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,4,8] x) => (float[1,8,8] y) {
          s = Sigmoid(x) t = Tanh(x) b = Mul(t, size) y = Concat<axis = 1>(s, b)
        }"""
    )
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(640), "size"))
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    accuracy = verdict(capsys, path, "--runtime", "htp", "--quantize")["accuracy"]
    assert (accuracy["word"], accuracy["rule"]) == ("at risk", "quantization/shared-grid")
    assert verdict(capsys, path, "--runtime", "htp", "--float")["accuracy"]["word"] == "unknown"


@pytest.mark.parametrize("text", [WHOLE, SPLIT, REFUSED, OPEN])
def test_it_does_not_depend_on_what_is_shown(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, text)
    for target in ((), ("--runtime", "htp", "--quantize"), ("--soc", "865")):
        whole = verdict(capsys, path, *target)
        for shown in (
            ("--ignore", "ops,shapes,batch,runtime"),
            ("--select", "model/lfs-pointer"),
            ("--all",),
        ):
            answer = verdict(capsys, path, *target, *shown)
            assert {key: answer[key] for key in ("converts", "runs")} == {
                key: whole[key] for key in ("converts", "runs")
            }


@pytest.mark.parametrize("text", [WHOLE, SPLIT, REFUSED, OPEN])
def test_every_command_that_is_suggested_runs(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, text)
    (tmp_path / "inputs").mkdir()
    for target in ((), ("--runtime", "htp", "--quantize"), ("--soc", "sm8550", "--quantize")):
        commands = verdict(capsys, path, *target)["next"]
        assert len(commands) <= 3
        for command in commands:
            words = shlex.split(command)[1:]
            command_line(words[0]).parse_args(words)
            sized = [word.replace("HEIGHT", "8") for word in words]
            if sized[0] != "simulate":  # which needs inputs that only the user has
                assert main(sized) in (0, 1), command
                capsys.readouterr()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_command_of_the_shown_networks_runs(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that want something of the user: a size, which is given, and inputs, which are made."""
    monkeypatch.chdir(tmp_path)
    build = NETWORKS[name][0]
    model = build(layers=4) if name == "transformer" else build()  # of many alike a few show as much
    onnx.save(model, f"{name}.onnx")
    Path("FOLDER").mkdir()
    for path in filter(Path.exists, (Path(f"{name}.onnx"), Path(f"{name}.fixed.onnx"))):
        for command in verdict(capsys, path, "--soc", "sm8650", "--quantize")["next"]:
            words = [
                re.sub(r"\b[A-Z][A-Z_]*\b", "64", word) if "," in word else word
                for word in shlex.split(command)[1:]
            ]
            if words[0] == "simulate":
                dims = {words[n + 1]: words[n + 2] for n, word in enumerate(words) if word == "-d"}
                np.savez("FOLDER/0.npz", **samples(model, dims))
            assert main(words) in (0, 1), (command, capsys.readouterr().err)
            capsys.readouterr()
            if words[0] == "fix":
                assert Path(words[words.index("-o") + 1]).exists()


def samples(model: onnx.ModelProto, dims: dict[str, str]) -> dict[str, Any]:
    """One sample of each input."""
    verdicts = {}
    for tensor in model.graph.input:
        declared = [dim.dim_value or 1 for dim in tensor.type.tensor_type.shape.dim]
        shape = [int(size) for size in dims[tensor.name].split(",")] if tensor.name in dims else declared
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type)
        verdicts[tensor.name] = np.ones(shape, kind)
    return verdicts


FIXABLE = """<ir_version: 8, opset_import: ["" : 13]>
g (float[2,4] x) => (float[2,4] y) { y = LogSoftmax<axis = 0>(x) }"""


def test_a_fix_that_would_not_apply_is_not_suggested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, FIXABLE)
    asked = ("--runtime", "htp", "--quantize")
    assert any(line.startswith("dlclint fix") for line in verdict(capsys, path, *asked)["next"])
    # One whose result is not sound is none.
    sound = iter([frozenset[str]()])
    monkeypatch.setattr(trial, "soundness_complaints", lambda draft: next(sound, frozenset({"broken"})))
    assert not any(line.startswith("dlclint fix") for line in verdict(capsys, path, *asked)["next"])
    monkeypatch.undo()
    # Nor does one for an ignored finding, which `fix` leaves alone, even where the model ignores it.
    findings = json.loads(shown(capsys, path, *asked))["files"][0]["findings"]
    fixable = [finding["rule"] for finding in findings if finding["fix"] and finding["severity"] != "info"]
    model = onnx.load(path)
    for rule in fixable:
        entry = model.metadata_props.add(key="dlclint:ignore", value=f"{rule}: known")
    onnx.save(model, path)
    assert fixable and entry.value
    assert not any(line.startswith("dlclint fix") for line in verdict(capsys, path, *asked)["next"])


def test_of_several_models_each_gets_its_own_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    open_model = write(tmp_path, OPEN).rename(tmp_path / "open.onnx")
    write(tmp_path, WHOLE.replace(" x)", " other)").replace("(x,", "(other,"))
    main(
        [
            "check",
            "--isolated",
            "--format",
            "json",
            "--runtime",
            "htp",
            "--quantize",
            "-d",
            "x",
            "1,3,8,8",
            str(tmp_path),
        ]
    )
    files = json.loads(capsys.readouterr().out)["files"]
    told = {Path(file["path"]).name: " ".join(file["verdict"]["next"]) for file in files}
    assert "-d x 1,3,8,8" in told[open_model.name] and "-d x" not in told["m.onnx"]


def test_a_quantized_model_is_not_sent_to_simulate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[1,3,8,8] x) => (float[1,3,8,8] y) <float s = {0.1}, uint8 z = {0}> {
      q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Relu(d) }"""
    path = write(tmp_path, text)
    assert not any(
        "simulate" in line for line in verdict(capsys, path, "--runtime", "htp", "--quantize")["next"]
    )
    assert main(["simulate", "--isolated", str(path)]) == 2


def test_an_unreadable_file_has_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    answer = verdict(capsys, path, "--select", "ops")
    assert (answer["converts"]["word"], answer["runs"], answer["next"]) == ("no", [], [])


def test_a_shape_that_waits_for_sizes_blocks_no_runtime(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One error names the inputs; what follows from it is counted nowhere else, not in the matrix either."""
    model = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[n,3,h,w] x) => (float[a,b] y) <int64[1] m = {-1}, int64[1] first = {0}> {
      s = Shape(x)  k = Gather(s, first)  t = Concat<axis = 0>(k, m)  y = Reshape(x, t)
    }"""
    main(["check", "--format", "json", str(write(tmp_path, model))])
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert [finding["rule"] for finding in file["findings"] if finding["severity"] == "error"] == [
        "shapes/dynamic-dim"
    ]
    assert not any(
        blocker["op"] == "Shape" and blocker["certain"]
        for row in file["support"]
        for blocker in row["blockers"]
    )


def test_fix_and_plan_honor_what_a_model_carries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, FIXABLE)
    model = onnx.load(path)
    words = ["--isolated", "--runtime", "htp", "--format", "json", str(path)]
    main(["fix", *words, "-o", str(tmp_path / "fixed.onnx")])
    fixed = {finding["rule"] for finding in json.loads(capsys.readouterr().out)["mended"]}
    main(["plan", *words])
    said = json.loads(capsys.readouterr().out)
    obstacles = {finding["rule"] for finding in said["errors"] + said["warnings"]}
    assert fixed and obstacles
    value = "\n".join(f"{rule}: known" for rule in fixed | obstacles)
    model.graph.node[0].metadata_props.add(key="dlclint:ignore", value=value)
    onnx.save(model, path)
    main(["fix", *words, "-o", str(tmp_path / "other.onnx")])
    assert json.loads(capsys.readouterr().out)["mended"] == []
    main(["plan", *words])
    said = json.loads(capsys.readouterr().out)
    assert said["errors"] + said["warnings"] == []


RECIPROCAL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,4,8] x) => (float[1,4,8] y) { y = Reciprocal(x) }"""


def test_a_note_about_accuracy_is_a_possible_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A loss that depends on unknown values does not allow the answer that no rule warns of one."""
    path = write(tmp_path, RECIPROCAL)
    accuracy = verdict(capsys, path, "--runtime", "htp", "--quantize")["accuracy"]
    assert (accuracy["word"], accuracy["rule"]) == ("unknown", "quantization/range-dependent")
    assert accuracy["reason"].startswith("nothing was measured, and accuracy may be lost: Reciprocal")
    # Of several chips, the answer is that of the ones with HTP, whichever is named first.
    for chips in (("865", "sm8650"), ("sm8650", "865")):
        socs = [word for chip in chips for word in ("--soc", chip)]
        accuracy = verdict(capsys, path, *socs, "--quantize")["accuracy"]
        assert accuracy["rule"] == "quantization/range-dependent", chips
    # Without HTP the ranges do not matter; where quantization is not requested, less is checked.
    reason = verdict(capsys, path, "--runtime", "dsp", "--quantize")["accuracy"]["reason"]
    assert reason == "no rule warns of a loss, and nothing was measured"
    reason = verdict(capsys, path, "--runtime", "htp")["accuracy"]["reason"]
    assert reason.startswith("without --quantize, what quantization costs is checked only in part")


def test_a_float_model_beyond_float16_is_at_risk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = parser.parse_model(WHOLE)
    weight = np.full((4, 3, 1, 1), 1e5, np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    accuracy = verdict(capsys, path, "--float", "--float-bitwidth", "16")["accuracy"]
    assert (accuracy["word"], accuracy["rule"]) == ("at risk", "quantization/fp16-overflow")
    accuracy = verdict(capsys, path, "--float", "--float-bitwidth", "32")["accuracy"]
    assert (accuracy["word"], accuracy["rule"]) == ("unknown", "")
    assert accuracy["reason"].startswith("a float DLC loses little")


def test_a_model_with_an_override_file_is_not_said_to_be_without_risk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the file does to accuracy is checked with the file, not with the model."""
    path = write(tmp_path, WHOLE)
    assert verdict(capsys, path, "--quantize")["accuracy"]["reason"].startswith("no rule warns of a loss")
    path.with_suffix(".encodings").write_text(
        '{"version": "0.6.1", "activation_encodings": {}, "param_encodings": {}}'
    )
    accuracy = verdict(capsys, path, "--quantize")["accuracy"]
    assert accuracy["word"] == "unknown"
    assert accuracy["reason"] == (
        "it depends on the override file, whose findings are listed under m.encodings,"
        " and nothing was measured"
    )
