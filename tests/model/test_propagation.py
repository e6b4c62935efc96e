"""What may be computed from a model's values is bounded before it is computed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, helper, numpy_helper

from dlclint.cli.main import main
from dlclint.model import propagation
from dlclint.model.evaluation import values
from dlclint.model.propagation import stays_small
from dlclint.model.reading import read


def model(nodes: list[NodeProto], folder: Path, functions: tuple[onnx.FunctionProto, ...] = ()) -> Path:
    ends = [helper.make_tensor_value_info(name, 1, [2, 3]) for name in ("x", "y")]
    ones = [numpy_helper.from_array(np.ones(size, np.int64), f"k{size}") for size in (1, 4, 100)]
    biases = [numpy_helper.from_array(np.ones(128, np.float32), "bias")]
    nodes = [*nodes, helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [*ones, *biases])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    proto = helper.make_model(graph, opset_imports=imports, ir_version=8, functions=functions)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def is_small(nodes: list[NodeProto], folder: Path) -> bool:
    return stays_small(onnx.ModelProto.FromString(model(nodes, folder).read_bytes()).graph)


def doublings(first: str, count: int) -> list[NodeProto]:
    names = [first, *(f"d{i}" for i in range(count))]
    return [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in itertools.pairwise(names)]


def test_doublings_do_not_stay_small(tmp_path: Path) -> None:
    assert is_small(doublings("k4", 10), tmp_path)
    assert not is_small(doublings("k4", 26), tmp_path)
    assert is_small(doublings("x", 26), tmp_path)  # whose values are unknown
    assert is_small(doublings("bias", 26), tmp_path)  # which are floats, and not propagated
    assert not is_small([helper.make_node("Shape", ["x"], ["s"]), *doublings("s", 26)], tmp_path)


def test_many_values_do_not_stay_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(propagation, "_IN_ALL", 1000)
    casts = [helper.make_node("Cast", ["k100"], [f"c{i}"], to=7) for i in range(11)]
    assert is_small(casts[:10], tmp_path)
    assert not is_small(casts, tmp_path)


def test_shape_arithmetic_as_exporters_write_it_stays_small(tmp_path: Path) -> None:
    nodes: list[NodeProto] = []
    for i in range(300):
        source = f"t{i - 1}" if i else "x"
        nodes += [
            helper.make_node("Shape", [source], [f"s{i}"]),
            helper.make_node("Gather", [f"s{i}", "k1"], [f"g{i}"], axis=0),
            helper.make_node("Slice", [f"s{i}", "k1", "k1"], [f"r{i}"]),
            helper.make_node("Concat", [f"g{i}", f"r{i}", "k1"], [f"n{i}"], axis=0),
            helper.make_node("Reshape", [source, f"n{i}"], [f"t{i}"]),
        ]
    assert is_small(nodes, tmp_path)


@pytest.mark.parametrize("op", ["Reshape", "Expand", "Tile", "Concat", "Add", "Gather", "Cast"])
def test_damaged_nodes_without_inputs_stay_small(op: str, tmp_path: Path) -> None:
    assert is_small([helper.make_node(op, [], ["z"])], tmp_path)


def test_evaluation_ends_with_its_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [helper.make_node("Tile", ["k100", "k1"], [f"r{i}"]) for i in range(20)]
    nodes += [helper.make_node("Expand", ["x", f"r{i}"], [f"e{i}"]) for i in range(20)]
    path = model(nodes, tmp_path)
    known = read(path)
    assert known.values.whole(known.graph, "r19") is not None
    assert known.notes == ()
    monkeypatch.setattr(values, "_IN_ALL", 1000)
    known = read(path)
    assert known.values.whole(known.graph, "r19") is None
    main(["check", "--isolated", str(path)])
    assert "shape arithmetic is followed in part only" in capsys.readouterr().out


@pytest.mark.parametrize("ends", ["in Relu", "in a cycle"])
def test_functions_that_call_each_other_a_thousand_deep(ends: str, tmp_path: Path) -> None:
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    last = "Relu" if ends == "in Relu" else "f500"
    calls = [*(f"f{i}" for i in range(1, 1000)), last]
    functions = tuple(
        helper.make_function(
            "local",
            f"f{i}",
            ["a"],
            ["b"],
            [helper.make_node(call, ["a"], ["b"], domain="" if call == "Relu" else "local")],
            imports,
        )
        for i, call in enumerate(calls)
    )
    known = read(model([helper.make_node("f0", ["x"], ["z"], domain="local")], tmp_path, functions))
    assert len(known.functions) == 1000
