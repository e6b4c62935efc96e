"""Estimates on demand equal those of a walk over all nodes, in whatever order they are requested."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dlclint.analysis.activations.asked import OnDemand
from dlclint.model.evaluation.values import Values
from dlclint.model.graph import Model, Node


def _nodes(edges: list[list[int]], order: list[int]) -> tuple[Node, ...]:
    """Nodes `t0`, `t1` ... that read what `edges` says, listed in an order."""
    protos = [
        helper.make_node("Sum", [f"t{source}" for source in sources] or ["x"], [f"t{number}"])
        for number, sources in enumerate(edges)
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([protos[number] for number in order], "g", [value], [])
    return Model(onnx.ModelProto(graph=graph), Path("m.onnx"), {}, (), Values()).graph.nodes


class _Walk:
    """States for a tensor how many nodes it depends on as far as these were visited before."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}
        self.visited: list[str] = []

    def visit(self, node: Node) -> None:
        self.visited.append(node.output(0))
        self.found[node.output(0)] = 1 + sum(self.found.get(name, 0) for name in node.inputs)


@st.composite
def _graphs(draw: st.DrawFn) -> tuple[list[list[int]], list[int], list[int]]:
    count = draw(st.integers(1, 12))
    edges = [draw(st.lists(st.integers(0, max(0, n - 1)), max_size=3)) if n else [] for n in range(count)]
    order = draw(st.permutations(range(count))) if draw(st.booleans()) else list(range(count))
    return edges, list(order), draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count))


@given(_graphs())
@settings(max_examples=200, deadline=None)
def test_asked_and_walked_are_the_same(
    drawn: tuple[list[list[int]], list[int], list[int]],
) -> None:
    edges, order, questions = drawn
    nodes = _nodes(edges, order)
    whole = _Walk()
    for node in nodes:
        whole.visit(node)
    walk = _Walk()
    asked = OnDemand(nodes, walk.visit, lambda node: node.inputs, walk.found)
    for number in questions:
        assert asked[f"t{number}"] == whole.found[f"t{number}"]
    assert dict(asked) == whole.found
    assert sorted(walk.visited) == sorted(whole.visited)


def test_what_no_question_depends_on_is_not_visited() -> None:
    walk = _Walk()
    asked = OnDemand(
        _nodes([[], [0], [1], [0]], [0, 1, 2, 3]), walk.visit, lambda node: node.inputs, walk.found
    )
    assert asked["t1"] == 2
    assert walk.visited == ["t0", "t1"]
    with pytest.raises(KeyError):
        asked["nowhere"]
    assert len(asked) == 4
