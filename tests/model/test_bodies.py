"""Shapes inside the bodies of Loop, Scan and SequenceMap: known where they hold in every round, else not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, parser
from onnx.reference import ReferenceEvaluator

from dlclint.model import inference
from dlclint.model.graph import Graph, Model
from dlclint.model.reading import read

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'


def opened(tmp_path: Path, text: str) -> Model:
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(f"{HEAD} {text}").SerializeToString())
    return read(path)


def inside(model: Model) -> dict[str, str]:
    """Type of every tensor of every body, by name."""
    return {
        name: str(graph.type_of(name))
        for graph in model.graphs()
        if graph.path
        for name in (*graph.inputs, *(output for node in graph.nodes for output in node.outputs))
    }


def loop(body: str, scanned: str = "") -> str:
    """A Loop over one state `s` of float[2,3]; `body` makes `t` of it."""
    ends = "float[] t" + f", float[] {scanned}" * bool(scanned)
    outputs = "last" + ", all" * bool(scanned)
    return f"""g (float[2,3] x, int64 n) => (float[] y) <bool yes = {{1}}> {{
      {outputs} = Loop(n, yes, x) <body = b (int64 i, bool c, s) => (bool d, {ends}) {{
        d = Identity(c)
        {body}
      }}>
      y = Relu(last)
    }}"""


def test_a_state_that_keeps_its_shape_is_known(tmp_path: Path) -> None:
    model = opened(tmp_path, loop("r = Relu(s)\n z = Transpose(r)\n t = Transpose(z)", "z"))
    inner_types = inside(model)
    assert (inner_types["i"], inner_types["c"]) == ("int64[]", "bool[]")
    assert {name: inner_types[name] for name in "srzt"} == {
        "s": "float[2,3]",
        "r": "float[2,3]",
        "z": "float[3,2]",
        "t": "float[2,3]",
    }
    assert {name: str(model.graph.type_of(name)) for name in ("last", "all", "y")} == {
        "last": "float[2,3]",
        "all": "float[?,3,2]",
        "y": "float[2,3]",
    }


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("t = Concat<axis=0>(s, x)", "float[?,3]"),
        # One dimension grows, and then the other, as they are swapped.
        ("r = Transpose(s)\n t = Concat<axis=0>(r, r)", "float[?,?]"),
        # Of an unknown rank.
        ("a = Constant<value_ints=[0]>()\n t = Unsqueeze(s, a)", "float[?]"),
    ],
)
def test_what_changes_from_round_to_round_is_not(tmp_path: Path, body: str, known: str) -> None:
    model = opened(tmp_path, loop(body))
    assert (inside(model)["s"], str(model.graph.type_of("last"))) == (known, known)


def test_computed_sizes_count_in_a_body_too(tmp_path: Path) -> None:
    body = """shape = Shape(s)
        two = Constant<value_ints=[2, 1]>()
        half = Div(shape, two)
        less = Constant<value_ints=[-1, 2]>()
        target = Mul(half, less)
        r = Reshape(s, target)
        whole = Reshape(r, shape)
        t = Identity(whole)"""
    inner_types = inside(opened(tmp_path, loop(body)))
    assert (inner_types["r"], inner_types["t"]) == ("float[1,6]", "float[2,3]")


def test_a_scan_hands_out_slices(tmp_path: Path) -> None:
    text = """g (float[4] a, float[2,5,4] x) => (float[] last, float[] all) {
      last, all = Scan(a, x) <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],
        body = b (s, e) => (float[] t, float[] o) {
          r = Add(s, e)
          zero = Constant<value_ints=[0]>()
          t = ReduceSum<keepdims=0>(r, zero)
          o = Identity(r)
        }>
    }"""
    model = opened(tmp_path, text)
    inner_types = inside(model)
    assert {name: inner_types[name] for name in "seto"} == {
        "s": "float[4]",
        "e": "float[2,4]",
        "t": "float[4]",
        "o": "float[2,4]",
    }
    session = onnxruntime.InferenceSession(model.path)
    outputs = session.run(None, {"a": np.ones(4, np.float32), "x": np.ones((2, 5, 4), np.float32)})
    types = [model.graph.type_of(name) for name in ("last", "all")]
    assert [kind and kind.static_shape for kind in types] == [part.shape for part in outputs]


def test_a_map_hands_out_elements(tmp_path: Path) -> None:
    text = """g (seq(float[2,3]) many, float[3] one) => (seq(float[2,3]) y) {
      y = SequenceMap(many, one) <body = b (e, o) => (float[] t) { t = Add(e, o) }>
    }"""
    texts = inside(opened(tmp_path, text))
    assert (texts["e"], texts["o"], texts["t"]) == ("float[2,3]", "float[3]", "float[2,3]")


def nested(depth: int) -> onnx.ModelProto:
    """Loops in loops, of which each changes the shape of what the one around it carries."""
    level = helper.make_graph(
        [
            helper.make_node("Identity", [f"c{depth}"], ["d"]),
            helper.make_node("Concat", ["s", "s"], ["t"], axis=0),
        ],
        "inner",
        [
            helper.make_empty_tensor_value_info("i"),
            helper.make_empty_tensor_value_info(f"c{depth}"),
            helper.make_empty_tensor_value_info("s"),
        ],
        [helper.make_empty_tensor_value_info("d"), helper.make_empty_tensor_value_info("t")],
    )
    for number in reversed(range(depth)):
        names = [f"{name}{number}" for name in ("i", "c", "s", "d", "t")]
        level = helper.make_graph(
            [
                helper.make_node("Identity", [names[1]], [names[3]]),
                helper.make_node("Loop", ["n", "yes", names[2]], [names[4]], body=level),
            ],
            f"level{number}",
            [helper.make_empty_tensor_value_info(name) for name in names[:3]],
            [helper.make_empty_tensor_value_info(name) for name in names[3:]],
        )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["n", "yes", "x"], ["y"], body=level)],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3]),
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
        ],
        [helper.make_empty_tensor_value_info("y")],
        [helper.make_tensor("yes", TensorProto.BOOL, [], [True])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_loops_in_loops_cost_what_their_nodes_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = 0
    one_pass = inference._Refinement.graph

    def counted(self: inference._Refinement, graph: Graph) -> None:
        nonlocal looked_at
        looked_at += len(graph.nodes)
        one_pass(self, graph)

    monkeypatch.setattr(inference._Refinement, "graph", counted)
    path = tmp_path / "m.onnx"
    path.write_bytes(nested(20).SerializeToString())
    model = read(path)
    nodes = sum(len(graph.nodes) for graph in model.graphs())
    assert nodes == 43
    assert looked_at <= 8 * nodes


@given(
    steps=st.lists(
        st.sampled_from(["Relu", "Transpose", "Concat0", "Concat1", "Unsqueeze", "Reshape"]), max_size=4
    ),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    rounds=st.integers(0, 3),
)
def test_what_is_known_of_a_loop_holds_after_any_number_of_rounds(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], sizes: tuple[int, int], rounds: int
) -> None:
    nodes, last = [helper.make_node("Identity", ["c"], ["d"])], "s"
    for number, step in enumerate(steps):
        outputs = f"a{number}"
        node = {
            "Relu": helper.make_node("Relu", [last], [outputs]),
            "Transpose": helper.make_node("Transpose", [last], [outputs]),
            "Concat0": helper.make_node("Concat", [last, last], [outputs], axis=0),
            "Concat1": helper.make_node("Concat", [last, last], [outputs], axis=-1),
            "Unsqueeze": helper.make_node("Unsqueeze", [last, "zero"], [outputs]),
            "Reshape": helper.make_node("Reshape", [last, "flat"], [outputs]),
        }[step]
        nodes, last = [*nodes, node], outputs
    nodes.append(helper.make_node("Identity", [last], ["t"]))
    empty = helper.make_empty_tensor_value_info
    body = helper.make_graph(nodes, "b", [empty(n) for n in ("i", "c", "s")], [empty("d"), empty("t")])
    graph = helper.make_graph(
        [helper.make_node("Loop", ["n", "yes", "x"], ["y"], body=body)],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes),
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
        ],
        [helper.make_empty_tensor_value_info("y")],
        [
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
            helper.make_tensor("flat", TensorProto.INT64, [2], [1, -1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    path.write_bytes(model.SerializeToString())
    tensor_type = read(path).graph.type_of("y")
    (outputs,) = ReferenceEvaluator(model).run(None, {"x": np.ones(sizes, np.float32), "n": np.array(rounds)})
    if tensor_type is not None and tensor_type.shape is not None:
        assert len(tensor_type.shape) == outputs.ndim
        assert all(dim in (size, None) for dim, size in zip(tensor_type.shape, outputs.shape, strict=True))
    if set(steps) <= {"Relu"}:
        assert tensor_type is not None
        assert tensor_type.static_shape == sizes


@pytest.mark.parametrize("depth", [1, 4])
def test_node_by_node_the_same_is_known(depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where so many bodies are that onnx's inference, which is quadratic in them, is left out."""
    branches = loop("r = Relu(s)\n z = Transpose(r)\n t = Transpose(z)", "z")
    with_all = opened(tmp_path, branches)
    path = tmp_path / "n.onnx"
    path.write_bytes(nested(depth).SerializeToString())
    also_all = read(path)
    monkeypatch.setattr(inference, "_COPIED", 0)
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", lambda *_, **__: pytest.fail("left out"))
    for one, other in ((with_all, opened(tmp_path, branches)), (also_all, read(path))):
        # Of an unknown rank the element type may be known or not.
        ranked = [
            {name: kind for name, kind in inside(model).items() if kind not in ("None", "float[?]")}
            for model in (one, other)
        ]
        assert ranked[0] == ranked[1]
        assert ranked[0]
        shapes = [
            [kind and kind.shape for kind in map(m.graph.type_of, m.graph.outputs)] for m in (one, other)
        ]
        assert shapes[0] == shapes[1]
    assert inference.shape_contradiction(with_all.proto) is None  # too many bodies to ask
