"""`dlclint confirm` as a user runs it: without the package, and with it where it is installed."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from importlib import resources
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from dlclint.cli.main import main
from dlclint.confirm import package
from dlclint.confirm.process import NotAvailable
from dlclint.confirm.socs import asked_soc
from dlclint.socs import resolve_soc

needs_backend = pytest.mark.skipif(find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn is absent")
HEAD = '<ir_version: 8, opset_import: ["": 17]>'


def model(tmp_path: Path, body: str, name: str = "m.onnx") -> str:
    path = tmp_path / name
    onnx.save(parser.parse_model(f"{HEAD} {body}"), path)
    return str(path)


def confirm(*arguments: str) -> int:
    return main(["confirm", "--isolated", "--soc", "sm8550", *arguments])


RELU = "g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }"


@pytest.mark.parametrize(
    ("system", "machine", "python", "says"),
    [
        ("linux", "x86_64", (3, 11), r"pip install 'dlclint\[qnn\]'"),
        ("darwin", "arm64", (3, 11), "none for darwin arm64; run this on Linux x86-64"),
        ("linux", "x86_64", (3, 10), "needs Python 3.11"),
    ],
)
def test_without_the_package(
    system: str, machine: str, python: tuple[int, int], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(package, "version", absent)
    monkeypatch.setattr(package.sys, "platform", system)
    monkeypatch.setattr(package.sys, "version_info", python)
    monkeypatch.setattr(package.platform, "machine", lambda: machine)
    with pytest.raises(NotAvailable, match=says):
        package.package_versions()


def test_without_the_package_it_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(package, "version", absent)
    assert confirm(model(tmp_path, RELU)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert "onnxruntime-qnn is not installed" in output.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--soc", "sm8250"], "Hexagon v66, and the backend checks HTP"),
        (["--soc", "nothing"], "unknown SoC"),
        (["--soc", ""], "give --soc"),
        (["--timeout", "0"], "--timeout 0: give a number above 0"),
        (["--memory", "-1"], "--memory -1: give a number above 0"),
        (["--dlc", "x.dlc"], "--dlc takes one model, and these are 2"),
    ],
)
def test_what_is_invalid(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(package, "version", lambda name: "0")
    paths = [model(tmp_path, RELU, name) for name in ("a.onnx", "b.onnx")]
    assert confirm(*paths, *arguments) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "id", "note"),
    [
        ("SM8550", 43, ""),
        ("8 Gen 3", 57, ""),
        ("QCS8550", 66, ""),
        ("SM8350", 30, ""),
    ],
)
def test_numbers_of_socs(name: str, id: int, note: str) -> None:
    soc = asked_soc(resolve_soc(name))
    assert (soc.id, soc.note) == (id, note)


def test_a_soc_without_a_number_is_asked_as_its_like() -> None:
    soc = asked_soc(resolve_soc("SXR2250P"))
    assert soc.hexagon == 69
    assert "no number" in soc.note and soc.name in soc.note


@needs_backend
def test_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert confirm(model(tmp_path, RELU)) == 0
    output = capsys.readouterr().out
    assert "1 node: 1 taken" in output
    assert "agreed: the backend takes it all" in output


@needs_backend
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("g (float[1,4] x) => (float[1,4] y) { y = Asin(x) }", "Hexagon's validator refuses it"),
        ("g (float[1,2,2,2,2,2] x) => (float[1,2,2,2,2,2] y) { y = Relu(x) }", "no tensor of rank 6"),
        ("g (float[1,4] x) => (float[1,1] y) { y = ReduceProd<axes=[1]>(x) }", "the wrapper refuses it"),
    ],
)
def test_refused(body: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert confirm(model(tmp_path, body)) == 1
    assert says in capsys.readouterr().out


@needs_backend
def test_what_the_first_pass_alone_refuses_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # As PyTorch exports Hardswish before opset 14. Refused in the first pass, and in a new process only.
    swish = "h = HardSigmoid<alpha = 0.1666666716337204>(x) y = Mul(x, h)"
    path = model(tmp_path, f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ {swish} }}")
    assert confirm(path) == 0
    assert "2 nodes: 2 taken" in capsys.readouterr().out


CRASHES = "g (float[1,128,1] x, int64 step, int64 size) => (float[1,15,9,2] y) { y = STFT(x, step, , size) }"


@needs_backend
def test_a_crash_leaves_the_rest_of_the_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [model(tmp_path, RELU, "a.onnx"), model(tmp_path, CRASHES, "b.onnx")]
    paths += [str(tmp_path / "c.onnx"), model(tmp_path, RELU, "d.onnx")]
    (tmp_path / "c.onnx").write_bytes(b"no model")
    assert confirm("--format", "json", *paths) == 2
    report = json.loads(capsys.readouterr().out)
    schema = resources.files("dlclint_schemas").joinpath("confirm-v1.schema.json").read_text("utf-8")
    jsonschema.validate(report, json.loads(schema), jsonschema.Draft202012Validator)
    first, crashed, unreadable, last = report["files"]
    assert (first["said"]["taken"], last["said"]["taken"]) == (1, 1)
    assert crashed["stopped"] == "the process died (SIGSEGV)"
    assert crashed["nodes"][-1]["said"] == "crashed"
    assert "not an ONNX model" in unreadable["unasked"]


@needs_backend
def test_v68_is_compiled_even_if_only_validation_was_requested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model(tmp_path, "g (float[1,4] x) => (float[1,4] y) { y = Atan(x) }")
    assert confirm("--soc", "sm8350", "--validate-only", path) == 1
    assert "compiling finds no implementation" in " ".join(capsys.readouterr().out.split())
    assert confirm("--soc", "sm8550", "--validate-only", path) == 0
    assert "validated, not compiled" in capsys.readouterr().out


@needs_backend
def test_dlc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.dlc"
    assert confirm("--dlc", str(out), model(tmp_path, RELU)) == 0
    with zipfile.ZipFile(out) as archive:
        assert "model" in archive.namelist()
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".onnx"] == ["out.dlc"]
    assert "not what snpe-onnx-to-dlc would write" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.mkdir(), "is not an ordinary file"),
        (lambda path: path.symlink_to(path.with_name("kept.dlc")), "is a symbolic link"),
        (lambda path: os.mkfifo(path), "is not an ordinary file"),
        (lambda path: path.hardlink_to(path.with_name("m.onnx")), "is an input"),
    ],
    ids=["folder", "link", "pipe", "input"],
)
def test_a_dlc_takes_the_place_of_files_alone(
    make: Callable[[Path], None],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(package, "version", lambda name: "0")
    path, out = model(tmp_path, RELU), tmp_path / "out.dlc"
    before = Path(path).read_bytes()
    make(out)
    kind = os.lstat(out).st_mode
    assert confirm("--dlc", str(out), path) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert os.lstat(out).st_mode == kind
    assert Path(path).read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "out.dlc"]


def test_a_dlc_into_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "version", lambda name: "0")
    assert confirm("--dlc", str(tmp_path / "nowhere" / "out.dlc"), model(tmp_path, RELU)) == 2
    assert "there is no folder" in capsys.readouterr().err


@needs_backend
def test_a_dlc_next_to_an_existing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model(tmp_path, RELU)
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.dlc"
    out.write_text("old")
    out.chmod(0o640)
    assert confirm("--dlc", "out.dlc", path) == 0
    assert zipfile.is_zipfile(out)
    assert out.stat().st_mode & 0o777 == 0o640


@needs_backend
def test_sarif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model(tmp_path, "g (float[1,4] x) => (float[1,4] z) { y = Asin(x) z = Relu(y) }")
    assert confirm("--format", "sarif", path) == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("confirm/refused", "error")
    assert result["locations"][0]["logicalLocations"][0]["kind"] == "Asin"


@needs_backend
def test_quantized_verdicts_are_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model(tmp_path, "g (float[1,4] x) => (float[1,4] y) { y = Asin(x) }")
    assert confirm("--float", path) == 1
    assert confirm("--quantize", path) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "checked for SM8550 (SD 8 Gen 2), 8-bit activations: validated and compiled" in output
    assert "activation ranges: " in output


@needs_backend
def test_16_bit_weights_need_v73(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ones = ",".join(["1.0"] * 16)
    body = f"g (float[1,4] x) => (float[1,4] y) <float[4,4] w = {{{ones}}}> {{ y = Gemm<transB = 1>(x, w) }}"
    wide = ["--quantize", "--act-bitwidth", "16", "--weights-bitwidth", "16", model(tmp_path, body)]
    assert confirm("--soc", "sm8450", *wide) == 1
    assert "needs Hexagon v73, the SoC has v69" in " ".join(capsys.readouterr().out.split())
    assert confirm("--soc", "sm8550", *wide) == 0


NORM = """g (float[1,8,16] x) => (float[1,8,16] y) <float[16] g = {GAMMA}, float[16] b = {BETA}> {
  y = LayerNormalization(x, g, b) }""".replace("GAMMA", ",".join(["0.5", "1.5"] * 8)).replace(
    "BETA", ",".join(["0.1"] * 16)
)


def overrides(tmp_path: Path, **entry: object) -> str:
    """An override file with 16-bit activations of NORM and an entry for its scale."""
    wide = {"bitwidth": 16, "dtype": "int", "is_symmetric": "False", "min": -4.0, "max": 4.0}
    text = {"version": "0.6.1", "activation_encodings": {"x": [wide], "y": [wide]}}
    path = tmp_path / "m.encodings"
    path.write_text(json.dumps({**text, "param_encodings": {"g": [{"dtype": "int", **entry}]}}))
    return str(path)


@needs_backend
@pytest.mark.parametrize(
    ("soc", "entry", "form", "status"),
    [
        ("sm8350", {"bitwidth": 8, "min": 0.0, "max": 1.5}, "unsigned 8-bit scales", 0),
        ("sm8550", {"bitwidth": 8, "min": 0.0, "max": 1.5}, "unsigned 8-bit scales", 0),
        (
            "sm8550",
            {
                "bitwidth": 8,
                "is_symmetric": "True",
                "min": -1.5,
                "max": 1.5,
                "offset": -128,
                "scale": 1.5 / 127.5,
            },
            "signed 8-bit scales",
            1,
        ),
        ("sm8550", {"bitwidth": 16, "min": 0.0, "max": 1.5}, "unsigned 16-bit scales", 1),
    ],
    ids=["8 bits, v68", "8 bits, v73", "signed", "16 bits off the middle"],
)
def test_a_scale_is_asked_about_as_the_override_file_says(
    soc: str,
    entry: dict[str, object],
    form: str,
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, file = model(tmp_path, NORM), overrides(tmp_path, **entry)
    asked = ["--soc", soc, "--quantize", "--act-bitwidth", "16", path, "--encodings", file]
    assert confirm(*asked) == status
    output = " ".join(capsys.readouterr().out.split())
    assert f"16-bit activations, {form}, 32-bit biases" in output
    assert "1 stored input from the override file" in output
    assert "1 of 1 checked nodes" in output
    assert ("encodings/side-input" in output) == bool(status)


@needs_backend
def test_a_scale_without_an_entry_has_the_width_of_its_role(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = ["--soc", "sm8350", "--quantize", "--act-bitwidth", "16", model(tmp_path, NORM)]
    assert confirm(*wide) == 0
    assert "unsigned 8-bit scales" in " ".join(capsys.readouterr().out.split())
    assert confirm(*wide, "--weights-bitwidth", "16") == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "unsigned 16-bit scales with the zero point in the middle" in output
    assert "agreed: runtime/side-input (error)" in output


@needs_backend
def test_a_quantized_model_is_asked_about_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = """g (float[1,4] x) => (float[1,4] y) <float s = {0.1}, uint8 z = {0}> {
      a = QuantizeLinear(x, s, z) b = DequantizeLinear(a, s, z) c = Relu(b)
      d = QuantizeLinear(c, s, z) y = DequantizeLinear(d, s, z) }"""
    for kind in (["--quantize"], []):
        assert confirm(*kind, model(tmp_path, body)) == 0
        output = " ".join(capsys.readouterr().out.split())
        assert "quantized as the model itself says" in output
        assert ("was asked about as it is" in output) == bool(kind)


@needs_backend
def test_widths_that_differ_within_an_op_are_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ones = ",".join(["0.5"] * 16)
    path = model(
        tmp_path, f"g (float[1,4] x) => (float[1,4] y) <float[4,4] w = {{{ones}}}> {{ y = MatMul(x, w) }}"
    )
    file = tmp_path / "m.encodings"
    entry = {"dtype": "int", "is_symmetric": "False", "min": -4.0, "max": 4.0}
    widths = {"x": [{**entry, "bitwidth": 16}], "y": [{**entry, "bitwidth": 8}]}
    file.write_text(json.dumps({"version": "0.6.1", "activation_encodings": widths, "param_encodings": {}}))
    assert confirm("--quantize", path, "--encodings", str(file)) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "8- and 16-bit activations, unsigned 8-bit weights per tensor" in output
    assert "1 converted for ops of another width" in output
    assert "in float" not in output


@needs_backend
def test_no_agreement_with_a_graph_that_does_not_compile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Found in a trained network: at 8 bits it passes validation and does not compile (QNN 2.51.0).
    body = """g (float[1,128,15692] x) => (float[1,64,7500] y) {
      a = Conv<kernel_shape = [3], dilations = [4096]>(x, w) LAST }"""
    weights = numpy_helper.from_array(
        np.random.default_rng(0).normal(0, 0.1, (64, 128, 3)).astype(np.float32), "w"
    )
    paths = []
    for last in ("", "y = Tanh(a)"):
        proto = parser.parse_model(f"{HEAD} {body.replace('LAST', last)}")
        proto.graph.initializer.append(weights)
        if not last:
            proto.graph.node[0].output[0] = "y"
        paths.append(tmp_path / f"{bool(last)}.onnx")
        onnx.save(proto, paths[-1])
    assert confirm("--quantize", str(paths[0])) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "compiling fails" in output
    assert "Conv: does not compile" in output
    assert "agreed: runtime/filter-stretch (warning)" in output
    assert "agrees" not in output and "says the same of 1 of 1 checked nodes" in output
    assert confirm("--quantize", str(paths[1])) == 1
    output = " ".join(capsys.readouterr().out.split())
    assert "2 passed by the validator alone" in output
    assert "nothing to compare" in output and "agrees" not in output


@needs_backend
def test_it_says_what_is_computed_in_float(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "g (float[1,4,4] x) => (float[1,4,4] y) { y, i = TopK<axis = 1>(x, k) }"
    path = model(tmp_path, body.replace("float[1,4,4] y)", "float[1,4,4] y) <int64[1] k = {4}>"))
    assert confirm("--quantize", path) == 0
    assert "computes it in float between Dequantize and Quantize" in " ".join(capsys.readouterr().out.split())


@needs_backend
@pytest.mark.parametrize(
    ("op", "gates", "says"),
    [
        ("LSTM", 8, "says nothing about the quantized op, of which dlclint says: htp/refused-form (warning)"),
        ("GRU", 6, "dlclint warns that HTP may not take it: ops/no-runtime (warning)"),
    ],
)
def test_recurrent_ops_are_computed_in_float(
    op: str, gates: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (("w", gates, 4), ("r", gates, 2))
    stored = ", ".join(
        f"float[2,{rows},{columns}] {name} = {{{','.join(['0.5'] * (2 * rows * columns))}}}"
        for name, rows, columns in weights
    )
    node = f'{op}<hidden_size = 2, direction = "bidirectional">(x, w, r)'
    path = model(tmp_path, f"g (float[1,1,4] x) => (float[1,2,1,2] y) <{stored}> {{ y = {node} }}")
    assert confirm("--quantize", path) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "computes it in float between Dequantize and Quantize" in output
    assert says in output
    assert "agreed" not in output


@needs_backend
def test_infinite_constants_are_put_on_the_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    proto = parser.parse_model(f"{HEAD} g (float[1,4] x) => (float[1,4] y) {{ y = Add(x, mask) }}")
    mask = numpy_helper.from_array(np.array([[0, -np.inf, 0, -np.inf]], np.float32), "mask")
    proto.graph.initializer.append(mask)
    onnx.save(proto, path)
    assert confirm("--quantize", str(path)) == 0
    assert "1 node: 1 taken" in capsys.readouterr().out


@needs_backend
def test_check_adds_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model(tmp_path, "g (bool[1,4] a, bool[1,4] b) => (bool[1,4] y) { y = Or(a, b) }")
    common = ["check", "--isolated", "--runtime", "htp", "--format", "json"]
    assert main([*common, path]) == 0
    before = json.loads(capsys.readouterr().out)
    assert main([*common, "--confirm", "--soc", "sm8550", path]) == 0
    report = json.loads(capsys.readouterr().out)
    schema = resources.files("dlclint_schemas").joinpath("report-v1.schema.json").read_text("utf-8")
    jsonschema.validate(report, json.loads(schema), jsonschema.Draft202012Validator)
    (old,), (new,) = before["files"][0]["findings"], report["files"][0]["findings"]
    assert (old["confidence"], new["confidence"]) == ("inferred", "contradicted")
    assert new["evidence"]["backend"] == "Or: takes it"
    assert any("backend checked for SM8550" in note for note in report["files"][0]["notes"])


def test_check_confirm_without_a_soc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--isolated", "--confirm", model(tmp_path, RELU)]) == 2
    error = capsys.readouterr().err
    assert "give --soc" in error or "is not installed" in error


@needs_backend
def test_dynamic_inputs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model(tmp_path, "g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
    assert confirm(path) == 1
    assert "give the sizes of x (-d NAME DIMS)" in " ".join(capsys.readouterr().out.split())
    assert confirm(path, "-d", "x", "1,4") == 0


def test_no_model_among_the_paths(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "version", lambda name: "0")
    path = tmp_path / "x.encodings"
    path.write_text("{}")
    assert confirm(str(path)) == 2
    assert "no model among these paths" in capsys.readouterr().err


@needs_backend
def test_a_library_that_cannot_be_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime_qnn.py").write_text("def get_library_path(): return '/nowhere/lib.so'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert confirm(model(tmp_path, RELU)) == 2
    error, *more = capsys.readouterr().err.splitlines()
    assert "the backend cannot be loaded" in error and not more
