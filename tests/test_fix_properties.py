"""Fixes on whole networks, on random graphs with seeded flaws, and in processes that are killed."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dlclint.cli.main import main
from dlclint.engine.fix.model import fix_model
from dlclint.engine.job import Job
from dlclint.model.dimensions import Dimensions
from dlclint.model.writing import write_model
from dlclint.target import DlcKind, Runtime, Target
from dlclint.verify import ComparisonResult, verify

LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))
QUANTIZED = Target((Runtime.HTP,), kind=DlcKind(quantize=True), simplify=False)


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_symbolic_batch_of_light_networks(tmp_path: Path, path: Path) -> None:
    """Made symbolic and fixed, a network is the original again, to the byte."""
    model = onnx.load(path)
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.output):
        if value.name not in stored:
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    source = tmp_path / "symbolic.onnx"
    onnx.save(model, source)
    fixed, draft = fix_model(Job(source, Target(), select=("batch",)))
    assert {finding.rule for finding in fixed.applied} >= {"batch/symbolic"}
    write_model(draft, tmp_path / "fixed.onnx")
    assert (tmp_path / "fixed.onnx").read_bytes() == path.read_bytes()


def transformer() -> onnx.ModelProto:
    """Two layers of self-attention as a tracing exporter writes them, batch and sequence open."""
    rng = np.random.default_rng(0)
    hidden, heads, vocabulary = 16, 2, 30
    weights = {"table": rng.standard_normal((vocabulary, hidden))}
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["h0"]),
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "m"], ["inverse"]),
        helper.make_node("Mul", ["inverse", "lowest"], ["bias2"]),
        helper.make_node("Unsqueeze", ["bias2", "axes12"], ["bias"]),
        helper.make_node("Shape", ["ids"], ["size"]),
        helper.make_node("Gather", ["size", "zero"], ["batch"]),
        helper.make_node("Gather", ["size", "one_i"], ["length"]),
        helper.make_node("Unsqueeze", ["batch", "axis0"], ["batch1"]),
        helper.make_node("Unsqueeze", ["length", "axis0"], ["length1"]),
        helper.make_node("Concat", ["batch1", "length1", "heads", "rest"], ["split"], axis=0),
        helper.make_node("Concat", ["batch1", "length1", "all"], ["join"], axis=0),
    ]
    for layer in range(2):
        into = f"h{layer}"
        for part in "qkv":
            weights[f"w{part}{layer}"] = rng.standard_normal((hidden, hidden)) / 4
            nodes += [
                helper.make_node("MatMul", [into, f"w{part}{layer}"], [f"{part}{layer}"]),
                helper.make_node("Reshape", [f"{part}{layer}", "split"], [f"{part}s{layer}"]),
                helper.make_node(
                    "Transpose",
                    [f"{part}s{layer}"],
                    [f"{part}t{layer}"],
                    perm=[0, 2, 3, 1] if part == "k" else [0, 2, 1, 3],
                ),
            ]
        nodes += [
            helper.make_node("MatMul", [f"qt{layer}", f"kt{layer}"], [f"raw{layer}"]),
            helper.make_node("Div", [f"raw{layer}", "root"], [f"scaled{layer}"]),
            helper.make_node("Add", [f"scaled{layer}", "bias"], [f"masked{layer}"]),
            helper.make_node("Softmax", [f"masked{layer}"], [f"p{layer}"], axis=-1),
            helper.make_node("MatMul", [f"p{layer}", f"vt{layer}"], [f"c{layer}"]),
            helper.make_node("Transpose", [f"c{layer}"], [f"ct{layer}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"ct{layer}", "join"], [f"joined{layer}"]),
            helper.make_node("Identity", [f"joined{layer}"], [f"same{layer}"]),
            helper.make_node("Add", [f"same{layer}", into], [f"h{layer + 1}"]),
        ]
    integers = {
        "axes12": [1, 2], "axis0": [0], "heads": [heads], "rest": [hidden // heads], "all": [hidden],
        "zero": 0, "one_i": 1,
    }  # fmt: skip
    floats = {"one": 1.0, "lowest": np.finfo(np.float32).min, "root": (hidden / heads) ** 0.5}
    stored = [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in integers.items()]
    stored += [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in (floats | weights).items()]
    dims = ["batch", "sequence"]
    graph = helper.make_graph(
        nodes,
        "transformer",
        [helper.make_tensor_value_info(name, TensorProto.INT64, dims) for name in ("ids", "mask")],
        [helper.make_tensor_value_info("h2", TensorProto.FLOAT, [*dims, hidden])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def test_transformer_of_given_size(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    source, target = tmp_path / "open.onnx", tmp_path / "fixed.onnx"
    onnx.save(transformer(), source)
    sizes = Dimensions(symbols={"batch": 1, "sequence": 8})
    fixed, draft = fix_model(Job(source, QUANTIZED, sizes))
    write_model(draft, target)
    model = onnx.load(target)
    assert not {"Shape", "Div", "Identity", "Concat"} & {node.op_type for node in model.graph.node}
    shape = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    assert shape == [1, 8, 16]
    assert verify(source, target).verdict is ComparisonResult.EQUAL
    assert {finding.rule for finding in fixed.applied} >= {
        "config/given-dimensions",
        "graph/constant-expression",
        "graph/without-effect",
        "htp/divide",
        "quantization/mask-constant",
    }


def _flawed(choices: list[int], width: int) -> onnx.ModelProto:
    """A chain of layers, each of which may carry a flaw that a safe fix resolves."""
    rng = np.random.default_rng(sum(choices))
    nodes, stored, last = [], [], "x"

    def put(name: str, values: object, dtype: type = np.float32) -> str:
        stored.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    for position, choice in enumerate(choices):
        name = f"t{position}"
        square = lambda: rng.standard_normal((width, width)).tolist()  # noqa: E731
        if choice == 0:
            nodes.append(helper.make_node("Gemm", [last, put(f"w{position}", square())], [name]))
        elif choice == 1:
            nodes.append(helper.make_node("Identity", [last], [name]))
        elif choice == 2:
            nodes.append(
                helper.make_node("Div", [last, put(f"d{position}", rng.uniform(1, 9, width))], [name])
            )
        elif choice == 3:
            nodes.append(
                helper.make_node("PRelu", [last, put(f"s{position}", [0.0] * width)], [name], name="same")
            )
        elif choice == 4:
            nodes.append(helper.make_node("Dropout", [last], [name, f"mask{position}"], name="same"))
        elif choice == 5:
            put(f"unread{position}", [1.0])
            nodes.append(helper.make_node("Tanh", [last], [name]))
        elif choice == 6:
            shape = helper.make_node("Shape", [last], [f"shape{position}"])
            nodes += [shape, helper.make_node("Reshape", [last, f"shape{position}"], [name])]
        elif choice == 7:
            index = put(f"i{position}", rng.integers(0, width, width), np.int64)
            nodes.append(helper.make_node("Gather", [last, index], [name], axis=1))
        else:
            a, b = put(f"a{position}", square()), put(f"b{position}", square())
            nodes.append(helper.make_node("Add", [a, b], [f"sum{position}"]))
            nodes.append(
                helper.make_node("Gemm", [last, f"sum{position}"], [name], transA=0, transB=1, alpha=0.5)
            )
        last = name
    nodes.append(helper.make_node("Sigmoid", [last], ["y"]))
    graph = helper.make_graph(
        nodes,
        "flawed",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in ("x", "unused")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, width])],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=8), st.integers(2, 5))
def test_seeded_flaws(tmp_path_factory: pytest.TempPathFactory, choices: list[int], width: int) -> None:
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("flawed")
    model = _flawed(choices, width)
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}{index}"  # ONNX Runtime refuses a name that is there twice
    onnx.save(model, folder / "flawed.onnx")
    fixed, draft = fix_model(Job(folder / "flawed.onnx", QUANTIZED))
    write_model(draft, folder / "fixed.onnx")
    assert not [
        finding
        for finding in fixed.remaining
        if finding.safety is not None and finding.safety.value == "safe"
    ]
    proof = verify(folder / "flawed.onnx", folder / "fixed.onnx")
    if proof.verdict is ComparisonResult.UNKNOWN:  # a network whose outputs no input moves
        assert "proves nothing" in proof.reason
    else:
        assert (proof.verdict, proof.reason) == (ComparisonResult.EQUAL, "")
    again, _ = fix_model(Job(folder / "fixed.onnx", QUANTIZED))
    assert again.applied == ()


@pytest.mark.parametrize("destination", ["in place", "beside"])
def test_killed(tmp_path: Path, destination: str) -> None:
    """SIGKILL at 25 moments each: the input is what it was or fixed whole, an output whole or absent."""
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Gemm", ["x", "w"], ["y"])],
            "large",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1500])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1500])],
            [numpy_helper.from_array(np.ones((1500, 1500), np.float32), "w")],
        ),
        opset_imports=[helper.make_opsetid("", 11)],
        ir_version=8,
    )
    before = model.SerializeToString()
    source, target = tmp_path / "m.onnx", tmp_path / "out.onnx"
    source.write_bytes(before)
    output = ["--in-place"] if destination == "in place" else ["-o", str(target)]
    arguments = ["fix", "--isolated", "--no-verify", str(source), *output]
    main(arguments)  # what is imported here, the children have
    source.write_bytes(before)
    started = time.perf_counter()
    os.waitpid(_forked(arguments), 0)
    took = time.perf_counter() - started
    written = source if destination == "in place" else target
    after = written.read_bytes()
    assert after != before
    chance = random.Random(destination)
    finished = 0
    for _ in range(25):
        source.write_bytes(before)
        if written is target:
            target.unlink(missing_ok=True)
        child = _forked(arguments)
        time.sleep(took * chance.random())
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        finished += os.WIFEXITED(status)
        if written is source:
            assert source.read_bytes() in (before, after)
        else:
            assert source.read_bytes() == before
            assert not target.exists() or target.read_bytes() == after
    assert finished < 25


def _forked(arguments: list[str]) -> int:
    """Run a command in a child that has all modules already, so that it spends its time on the model."""
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as quiet:  # noqa: PTH123
            sys.stdout = sys.stderr = quiet
            try:
                main(arguments)
            finally:
                os._exit(0)
    return child
