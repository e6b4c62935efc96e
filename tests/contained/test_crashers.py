"""Models that end, hang or bloat onnx's native code: a finding on the node, and the lint goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from dlclint.cli.main import main
from dlclint.contained import guard
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT and signals are of POSIX")

CRASHES = "model/crashes-onnx"
MEMORY = 100 << 20
"""Bytes that a call may take here: filling what it may really take would only take longer."""


def model(
    *nodes: onnx.NodeProto, inputs: dict[str, Any], outputs: tuple[str, ...], opset: int = 17, **parts: Any
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "g", ends, results, parts.get("weights", ()))
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("acme", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def untyped_eye() -> onnx.ModelProto:
    """An honest model: what a custom op makes has no type."""
    return model(
        helper.make_node("Square", ["x"], ["square"], domain="acme"),
        helper.make_node("EyeLike", ["square"], ["y"], dtype=1),
        inputs={"x": (2, 2)},
        outputs=("y",),
    )


def missing_pattern() -> onnx.ModelProto:
    return model(helper.make_node("RegexFullMatch", ["X"], ["Y"]), inputs={}, outputs=("Y",), opset=20)


def endless_einsum() -> onnx.ModelProto:
    node = helper.make_node("Einsum", ["x", "x"], ["y"], equation="..i,i")
    return model(node, inputs={"x": (4,)}, outputs=("y",))


def endless_list() -> onnx.ModelProto:
    """A list of 2,147,483,648 sizes, as its type says, of which data propagation makes room for each."""
    proto = model(helper.make_node("Mul", ["sizes"], ["y"]), inputs={}, outputs=())
    proto.graph.output.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, [1 << 31]))
    return proto


def good() -> onnx.ModelProto:
    return model(helper.make_node("Relu", ["x"], ["y"]), inputs={"x": (1, 3)}, outputs=("y",))


CRASHERS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "untyped_eye": (untyped_eye, "EyeLike"),
    "missing_pattern": (missing_pattern, "RegexFullMatch"),
    "endless_einsum": (endless_einsum, "Einsum"),
    "endless_list": (endless_list, "Mul"),
}
"""Each with the op of the node that is to blame."""


def survives(path: Path) -> bool:
    """Whether onnx infers the model's shapes, in a process of its own with limits."""
    code = (
        "import resource, sys, onnx\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (3, 3))\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]), -1))\n"
        "try: onnx.shape_inference.infer_shapes(onnx.load(sys.argv[1]), data_prop=True)\n"
        "except MemoryError: sys.exit(9)\n"
        "except Exception: pass\n"
    )
    command = [sys.executable, "-c", code, str(path), str(2 * MEMORY)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def report(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    status = main(["check", "--isolated", "--format", "json", *arguments])
    shown = capfd.readouterr()
    assert shown.err == ""
    return status, json.loads(shown.out)


@pytest.mark.parametrize("name", CRASHERS)
def test_a_crasher_is_a_finding_that_names_the_node(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "MEMORY", MEMORY)
    build, op = CRASHERS[name]
    path = tmp_path / "m.onnx"
    path.write_bytes(build().SerializeToString())
    if survives(path):
        pytest.skip(f"onnx {onnx.__version__} survives it")
    status, report_json = report([str(path)], capfd)
    assert status in (0, 1)
    findings = report_json["files"][0]["findings"]
    assert [finding["location"]["op"] for finding in findings if finding["rule"] == CRASHES] == [op]
    assert not [finding for finding in findings if finding["rule"].startswith("engine/")]


@pytest.mark.parametrize("jobs", ("1", "2"))
def test_crashers_cost_the_files_next_to_them_nothing(
    jobs: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("untyped_eye", "missing_pattern"):
        (tmp_path / f"{name}.onnx").write_bytes(CRASHERS[name][0]().SerializeToString())
    path = tmp_path / "z_good.onnx"
    path.write_bytes(good().SerializeToString())
    _, alone = report([str(path)], capfd)
    _, together = report(["--jobs", jobs, str(tmp_path)], capfd)
    assert len(together["files"]) == 3
    assert together["files"][2] == alone["files"][0]


@pytest.mark.parametrize("command", ("plan", "fix", "equalize"))
def test_other_commands_survive_too(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(untyped_eye().SerializeToString())
    options = ["--isolated", "--runtime", "htp"] if command == "plan" else ["-o", "out.onnx"]
    assert main([command, "m.onnx", *options]) in (0, 1)
    shown = capfd.readouterr()
    assert "Traceback" not in shown.out + shown.err
    if command != "plan":
        assert onnx.load("out.onnx") == untyped_eye()


def test_what_onnx_prints_does_not_reach_standard_output(tmp_path: Path) -> None:
    """Its checker warns of experimental ops there, from C++."""
    body = helper.make_graph(
        [helper.make_node("ATen", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))],
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(body, opset_imports=[helper.make_opsetid("", 9)]).SerializeToString())
    command = [sys.executable, "-m", "dlclint", "check", "--isolated", "--format", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["files"]
    assert done.stderr == ""


def test_a_healthy_model_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containment does nothing twice where nothing dies."""
    path, reads = tmp_path / "m.onnx", tmp_path / "reads"
    path.write_bytes(good().SerializeToString())
    original = onnx.shape_inference.infer_shapes

    def counting(*arguments: Any, **options: Any) -> onnx.ModelProto:
        with reads.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        return original(*arguments, **options)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", counting)
    assert main(["check", "--isolated", str(path)]) == 0
    contained = reads.read_text().split()
    reads.unlink()
    lint_file(Job(path))
    assert len(contained) == len(reads.read_text().split())
    assert len(set(contained)) == 1
    assert str(os.getpid()) not in contained
