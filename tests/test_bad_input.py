"""Bad input ends in a finding or one line, exit status 1 or 2, never in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from dlclint.cli.main import main

RELU = '<ir_version: 8, opset_import: ["" : 12]> g (float[1,3] x) => (float[1,3] y) { y = Relu(x) }'


def relu() -> onnx.ModelProto:
    return parser.parse_model(RELU)


def truncated(path: Path) -> None:
    model = relu()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(5000, np.float32), "w"))
    path.write_bytes(model.SerializeToString()[:-1000])


def zeros(path: Path) -> None:
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), 2 << 30)


def declared_too_large(path: Path) -> None:
    model = relu()
    tensor = numpy_helper.from_array(np.ones(5000, np.float32), "w")
    tensor.dims[0] = 1 << 50
    model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())


def nested(path: Path) -> None:
    body = relu().graph.SerializeToString()
    for _ in range(10_000):
        attribute = field(1, b"body") + field(6, body) + b"\xa0\x01\x05"
        body = field(1, field(4, b"Loop") + field(5, attribute))
    path.write_bytes(b"\x08\x08" + field(7, body))


def field(number: int, body: bytes) -> bytes:
    size, out = len(body), bytearray([number << 3 | 2])
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes(out) + bytes([size]) + body


def opset(version: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        model = relu()
        model.opset_import[0].version = version
        path.write_bytes(model.SerializeToString())

    return write


def negative_dim(path: Path) -> None:
    model = relu()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    path.write_bytes(model.SerializeToString())


def text_dims(path: Path) -> None:
    model = relu()
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_param, dims[1].dim_value = "None", 0
    path.write_bytes(model.SerializeToString())


def no_opset(path: Path) -> None:
    model = relu()
    del model.opset_import[:]
    path.write_bytes(model.SerializeToString())


def cycle(path: Path) -> None:
    model = relu()
    model.graph.node[0].input[0] = "b"
    model.graph.node.append(helper.make_node("Relu", ["y"], ["b"]))
    path.write_bytes(model.SerializeToString())


def steering_names(path: Path) -> None:
    name = "\x1b[31mred\n[bold]<script>\u202e"
    nodes = [helper.make_node("Det", ["x"], ["y"], name=name)]
    value = helper.make_tensor_value_info("x", 1, [1, 3, 3])
    graph = helper.make_graph(nodes, name, [value], [helper.make_tensor_value_info("y", 1, [1])])
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)]).SerializeToString()
    )


def short_external(path: Path) -> None:
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1000], data_location=1)
    tensor.external_data.add(key="location", value="w.bin")
    model = relu()
    model.graph.initializer.append(tensor)
    path.with_name("w.bin").write_bytes(b"1234")
    path.write_bytes(model.SerializeToString())


def linked_external(path: Path) -> None:
    short_external(path)
    path.with_name("w.bin").unlink()
    path.with_name("w.bin").symlink_to("/etc/hostname")


def mistyped_attributes(path: Path) -> None:
    """Attributes of another type than the registry's, as a careless graph editor writes them."""
    text = """<ir_version: 8, opset_import: ["" : 11]>
        g (float[1,4,8,8] x, float[4,4,1,1] w) => (float[n,c,h,w0] y)
        { a = Conv <group = "x", strides = 2.5, dilations = 3> (x, w)
          b = LogSoftmax <axis = [1]> (a) y = Upsample <mode = 7> (b) }"""
    path.write_bytes(parser.parse_model(text).SerializeToString())


def no_outputs(path: Path) -> None:
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 11]> g (float[1,4,8,8] x) => (float[1,4,8,8] y)
        { r = Constant <value = float {1.41421}> () d = Div (x, r) e = Erf (d)
          s = Resize (x, r, r) y = Neg (x) }"""
    )
    for node in model.graph.node[:4]:
        del node.output[:]
    path.write_bytes(model.SerializeToString())


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "model/unreadable the file is empty"),
    "text": (lambda p: p.write_text("Hello, world\n" * 9), "model/unreadable the file is text"),
    "lfs": (
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid x\n"),
        "model/lfs-pointer",
    ),
    "zip": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(99)), "model/unreadable this is a zip archive"),
    "noise": (lambda p: p.write_bytes(bytes(range(255, 0, -1))), "model/unreadable"),
    "no graph": (lambda p: p.write_bytes(b"\x08\x08"), "model/unreadable the file holds no graph"),
    "truncated": (truncated, "model/unreadable the model is cut off"),
    "zeros": (zeros, "model/unreadable"),
    "declared too large": (declared_too_large, "model/invalid weight 'w': shape"),
    "nested": (nested, "model/unreadable subgraphs nest deeper"),
    "opset 314159": (opset(314159), "model/opset-too-new opset 314159"),
    "opset -1": (opset(-1), "model/invalid"),
    "negative dim": (negative_dim, "batch/symbolic 1 input with a symbolic batch: 'x' (float[?,3])"),
    "dims None": (text_dims, "shapes/odd-dim dimension 0 of input 'x' is 'None'"),
    "dims 0": (text_dims, "shapes/odd-dim dimension 1 of input 'x' is 0"),
    "no opset": (no_opset, "model/missing-opset no opset import for domain ai.onnx"),
    "cycle": (cycle, "model/dangling-input input 'b' of Relu, which a later node produces"),
    "steering names": (steering_names, "ops/unsupported"),
    "short external": (short_external, "model/external-data-missing"),
    "linked external": (linked_external, "model/external-data-escapes"),
    "mistyped attributes": (mistyped_attributes, "model/invalid"),
    "no outputs": (no_outputs, "model/invalid"),
}


TARGETS = (
    ["--soc", "865", "--runtime", "dsp,aip,gpu", "--quantize"],
    ["--soc", "888", "--runtime", "htp", "--float", "--float-bitwidth", "16"],
)


@pytest.mark.parametrize("case", ["mistyped attributes", "no outputs"])
@pytest.mark.parametrize("target", TARGETS, ids=["v66", "v68"])
def test_bad_nodes_on_a_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, target: list[str]
) -> None:
    path = tmp_path / "m.onnx"
    CASES[case][0](path)
    assert main(["check", "--isolated", "--format", "concise", *target, str(path)]) in (0, 1)
    output = capsys.readouterr()
    assert "engine/crashed-rule" not in output.out
    assert output.err == ""


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["concise", "rich", "json", "sarif"])
def test_bad_file(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    validate: Callable[[str, object], None],
    case: str,
    form: str,
) -> None:
    write, expected = CASES[case]
    path = tmp_path / "m.onnx"
    write(path)
    status = main(["check", "--isolated", "--fail-on", "info", "--format", form, str(path)])
    output = capsys.readouterr()
    assert output.err == ""
    assert "crashed-rule" not in output.out.replace('"engine/crashed-rule"', "")
    if form == "concise":
        assert expected in output.out
        assert status == 1
    if form in ("json", "sarif"):
        validate(form, json.loads(output.out))
    assert not set(output.out) & {"\x1b", "\u202e", "\r"}


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no device that is full")
def test_output_that_takes_nothing(tmp_path: Path) -> None:
    """A full disk behind standard output is one line and status 2, which no finding has."""
    (tmp_path / "m.onnx").write_bytes(relu().SerializeToString())
    for words in (["check", "--isolated", str(tmp_path / "m.onnx")], ["--version"], ["check", "--help"]):
        command = [sys.executable, "-m", "dlclint", *words]
        with open("/dev/full", "w") as full:  # noqa: PTH123
            run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert run.returncode == 2
        assert run.stderr == ("dlclint: error: cannot read or write the output: No space left on device\n")


def test_dimensions_of_another_rank(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.onnx").write_bytes(relu().SerializeToString())
    for form in ("concise", "rich", "json", "sarif"):
        main(["check", "--isolated", "--format", form, "-d", "x", "1,3,4", str(tmp_path / "m.onnx")])
        said = " ".join(capsys.readouterr().out.split())
        assert "--input-dim gives 'x' 3 dimensions, the model declares 2" in said
    main(["check", "--isolated", "-d", "x", "1,4", str(tmp_path / "m.onnx")])
    assert "--input-dim" not in capsys.readouterr().out


def test_memory_is_bounded(tmp_path: Path) -> None:
    """2 GB of zeros, 10,000 nested subgraphs, a tensor that claims a petabyte: under 300 MB each."""
    # A process starts with the peak of what it was forked from; between this one, which may have grown
    # large, and the command stands one that has not.
    launcher = (
        "import resource, subprocess, sys\n"
        "status = subprocess.run([sys.executable, '-m', 'dlclint', *sys.argv[1:]], stdout=2).returncode\n"
        "print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    for case in ("zeros", "nested", "declared too large"):
        path = tmp_path / "m.onnx"
        path.unlink(missing_ok=True)
        CASES[case][0](path)
        command = [sys.executable, "-c", launcher, "check", "--isolated", str(path)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        status, peak = map(int, output.split())
        assert status == 1
        # Kibibytes on Linux, bytes on macOS.
        assert peak * (1 if sys.platform == "darwin" else 1024) < 300e6, case


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["absent.onnx"], "absent.onnx does not exist"),
        (["."], "no .onnx file in folder"),
        (["--runtime", "hpt", "m.onnx"], "did you mean htp?"),
        (["--select", "opps", "m.onnx"], "did you mean ops?"),
        (["-d", "x", "1,a", "m.onnx"], "not a dimension"),
        (["-b", "0", "m.onnx"], "--batch 0"),
        (["--jobs", "0", "m.onnx"], "--jobs 0"),
        (["-o", "no/such/folder/report", "m.onnx"], "cannot write"),
        (["--config", "absent.toml", "m.onnx"], "absent.toml cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_arguments(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments != ["."]:
        Path("m.onnx").write_bytes(relu().SerializeToString())
    assert main(["check", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("dlclint: error: ")
    assert output.err.count("\n") == 1
    assert expected in output.err


@pytest.mark.parametrize(
    "command",
    [
        ["check", "--isolated"],
        ["plan", "--isolated", "--runtime", "htp"],
        ["fix", "--isolated", "-o", "out.onnx"],
        ["equalize", "-o", "out.onnx"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (onnx.ModelProto(ir_version=8).SerializeToString(), "the file holds no graph"),
        (b"\xff" * 2000, "the file is binary data other than protobuf, not an ONNX model"),
        ("größer als gedacht\n".encode() * 100, "the file is text, not an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
    ],
    ids=["no-graph", "noise", "text", "pointer"],
)
def test_every_command_refuses_what_is_not_a_model(
    command: list[str],
    data: bytes,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(data)
    status = main([*command, "m.onnx"])
    shown = capsys.readouterr()
    assert status == (1 if command[0] == "check" else 2)
    assert expected in shown.out + shown.err
    if expected == "Git LFS pointer":
        assert "git lfs pull" in shown.out + shown.err
    assert not Path("out.onnx").exists()


def test_the_matrix_shows_no_control_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = relu()
    model.graph.node[0].op_type = "Bad\x1b[31m\nop\u202e"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    for form in ("rich", "concise"):
        main(["check", "--isolated", "--format", form, str(tmp_path / "m.onnx")])
        assert not set(capsys.readouterr().out) & {"\x1b", "\u202e"}


@pytest.mark.parametrize("op", ["Identity", "Relu", "Dropout", "Clip", "Sigmoid", "Transpose", "Softmax"])
@pytest.mark.parametrize("start", ["Conv", "MatMul", "LSTM"])
def test_walks_along_a_graph_end_where_tensors_are_made_twice(tmp_path: Path, op: str, start: str) -> None:
    """The second of two nodes makes again what the first reads: a circle to all who follow names."""
    weight = {"Conv": (4, 3, 1, 1), "MatMul": (3, 3), "LSTM": (1, 8, 3)}[start]
    names = {"LSTM": ["x", "w", "r"]}.get(start, ["x", "w"])
    nodes = [
        helper.make_node(start, names, ["a"], **({"hidden_size": 2} if start == "LSTM" else {})),
        helper.make_node(op, ["a"], ["b"]),
        helper.make_node(op, ["b"], ["a"]),
        helper.make_node(start, ["y", "a"], ["z"]),
        helper.make_node("MatMul", ["a", "b"], ["m"]),
    ]
    initializers = [
        numpy_helper.from_array(np.ones(shape, np.float32), name)
        for name, shape in (("w", weight), ("r", (1, 8, 2)))
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y", "z", "m")]
    for count in (3, 5):  # with one reader of each name, and with more
        graph = helper.make_graph(nodes[:count], "g", values[:2], values[2:], initializers)
        path = tmp_path / "m.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
        assert main(["check", "--isolated", "--runtime", "htp", "--quantize", str(path)]) == 1
        for others in (
            ["plan", "--isolated", "--runtime", "htp", str(path)],
            ["equalize", "--extended", str(path), "-o", str(tmp_path / "o.onnx")],
            ["fix", "--isolated", "--unsafe", "--diff", str(path)],
        ):
            assert main(others) in (0, 1, 2), "it ends, and not in a traceback"


@pytest.mark.parametrize("value", [3, "text", [1, 2], 0.5, ["a"]])
@pytest.mark.parametrize("name", ["axes", "min", "max", "alpha", "axis", "perm"])
def test_attributes_that_a_version_does_not_have_may_be_of_any_type(
    tmp_path: Path, name: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """No schema says what they are, and nothing may trust them to be what an older version has."""
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]> g (float[2,3,8] x) => (float[2,3,8] y)
        <float three = {3}, float zero = {0}, float six = {6}, float two = {2}, float small = {0.00001}> {
          a = Add(x, three)  c = Clip(a, zero, six)  d = Div(c, six)  h = Mul(x, d)
          m = ReduceMean(h)  s = Sub(h, m)  p = Pow(s, two)  v = ReduceMean(p)
          e = Add(v, small)  r = Sqrt(e)  n = Div(s, r)  t = Transpose(n)  y = Softmax(t)
        }"""
    )
    for node in model.graph.node:
        node.attribute.append(helper.make_attribute(name, value))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    for kind in ([], ["--runtime", "htp", "--quantize"]):
        main(["check", "--isolated", "--format", "json", *kind, str(path)])
        findings = json.loads(capsys.readouterr().out)["files"][0]["findings"]
        assert [finding for finding in findings if finding["rule"] == "engine/crashed-rule"] == []
        assert "model/invalid" in {finding["rule"] for finding in findings}
