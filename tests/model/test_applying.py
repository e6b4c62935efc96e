"""What applying a fix tidies up: nodes that lost their readers, and the order of the others."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from dlclint.model.applying import apply_to_draft
from dlclint.model.constants import replace_constant
from dlclint.model.draft import Draft, open_draft
from dlclint.model.edits import ModelEdit, RenameNode, SetDimension, SetInput


def draft(folder: Path, nodes: list[onnx.NodeProto], outputs: tuple[str, ...] = ("out",)) -> Draft:
    ends = [helper.make_tensor_value_info(name, 1, [4]) for name in ("in", *outputs)]
    weights = [helper.make_tensor(f"w{i}", 1, [1], [1.0]) for i in range(3)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return open_draft(path)


def relu(source: str, result: str) -> onnx.NodeProto:
    return helper.make_node("Relu", [source], [result], name=result)


def applied(source: Draft, *edits: ModelEdit) -> onnx.GraphProto:
    return apply_to_draft(source, [edits]).draft.proto.graph


def test_a_chain_goes_with_its_last_reader(tmp_path: Path) -> None:
    chain = [relu("in" if i == 0 else f"t{i - 1}", f"t{i}") for i in range(200)]
    scaled = helper.make_node("Mul", ["in", "w0"], ["t0"], name="t0")
    source = draft(tmp_path, [scaled, *chain[1:], relu("t199", "out")])
    graph = applied(source, SetInput(source.model().graph.nodes[-1], 0, "in"))
    assert [node.name for node in graph.node] == ["out"]
    assert [tensor.name for tensor in graph.initializer] == ["w1", "w2"]  # which nothing read before


def test_what_a_subgraph_reads_goes_with_it(tmp_path: Path) -> None:
    bodies = {
        name: helper.make_graph(
            [relu(inside, f"{name}_out")], name, [], [helper.make_tensor_value_info(f"{name}_out", 1, [4])]
        )
        for name, inside in (("then_branch", "a"), ("else_branch", "b"))
    }
    choice = helper.make_node("If", ["c"], ["chosen"], name="If", **bodies)
    nodes = [relu("in", "a"), relu("in", "b"), helper.make_node("Cast", ["in"], ["c"], to=9), choice]
    source = draft(tmp_path, [*nodes, relu("chosen", "out")])
    graph = applied(source, SetInput(source.model().graph.nodes[-1], 0, "in"))
    assert [node.name for node in graph.node] == ["out"]


def test_of_a_model_without_outputs_nothing_goes(tmp_path: Path) -> None:
    source = draft(tmp_path, [relu("in", "a"), relu("a", "b")], outputs=())
    graph = applied(source, SetInput(source.model().graph.nodes[1], 0, "in"))
    assert [node.name for node in graph.node] == ["a", "b"]


@given(st.integers(2, 40), st.integers(0, 1000))
def test_any_order_is_put_right(tmp_path_factory: object, size: int, seed: int) -> None:
    chosen = random.Random(seed)
    nodes = [
        helper.make_node(
            "Add",
            [chosen.choice(["in", *(f"t{j}" for j in range(i))]), f"t{i - 1}" if i else "in"],
            [f"t{i}" if i < size - 1 else "out"],
            name=f"n{i}",
        )
        for i in range(size)
    ]
    chosen.shuffle(nodes)
    folder = tmp_path_factory.mktemp("sorted")  # type: ignore[attr-defined]
    source = draft(folder, nodes)
    graph = applied(source, RenameNode(source.model().graph.nodes[0], "other"))
    available = {"in"}
    for node in graph.node:
        assert set(node.input) <= available
        available.update(node.output)
    assert len(graph.node) == size


def test_a_cycle_stays(tmp_path: Path) -> None:
    nodes = [relu("b", "a"), relu("a", "b"), relu("b", "out")]
    source = draft(tmp_path, nodes)
    graph = applied(source, RenameNode(source.model().graph.nodes[2], "last"))
    assert sorted(node.output[0] for node in graph.node) == ["a", "b", "out"]


def scaled(result: str, *inputs: str) -> onnx.NodeProto:
    return helper.make_node("Mul", [*inputs], [result], name=result)


def test_a_constant_is_replaced_once_for_all_its_readers(tmp_path: Path) -> None:
    source = draft(tmp_path, [scaled("a", "in", "w0"), scaled("b", "a", "w0"), scaled("out", "b", "w1")])
    nodes = source.model().graph.nodes
    both = [(nodes[0], 1), (nodes[1], 1)]
    graph = applied(source, *replace_constant(both, np.float32([2.0])))
    values = {tensor.name: onnx.numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer}
    assert values == {"w0": [2.0], "w1": [1.0], "w2": [1.0]}
    assert [node.input[1] for node in graph.node] == ["w0", "w0", "w1"]


def test_other_readers_of_a_constant_keep_it(tmp_path: Path) -> None:
    nodes = [scaled("a", "in", "w0"), scaled("b", "a", "w0"), scaled("c", "w0", "b"), relu("c", "out")]
    source = draft(tmp_path, nodes)
    both = [(node, 1) for node in source.model().graph.nodes[:2]]
    graph = applied(source, *replace_constant(both, np.float32([2.0])))
    values = {tensor.name: onnx.numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer}
    assert values == {"w0": [1.0], "w1": [1.0], "w2": [1.0], "w0_for_a": [2.0]}
    assert [list(node.input) for node in graph.node[:3]] == [
        ["in", "w0_for_a"],
        ["a", "w0_for_a"],
        ["w0", "b"],
    ]


def test_a_dimension_is_set_where_an_input_that_is_an_output_has_one(tmp_path: Path) -> None:
    draft(tmp_path, [relu("in", "out")], outputs=("out", "in"))
    path = tmp_path / "model.onnx"
    model = onnx.load(path)
    model.graph.output[1].type.tensor_type.ClearField("shape")
    path.write_bytes(model.SerializeToString())
    graph = applied(open_draft(path), SetDimension("in", 0, 2))
    assert [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim] == [2]
