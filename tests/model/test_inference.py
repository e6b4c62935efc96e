"""Shapes that follow from computed values are known, and are those that ONNX Runtime makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

from dlclint.model.dimensions import Dimensions
from dlclint.model.reading import read

HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
SHARED = next(
    (p / "shared" for p in Path(__file__).absolute().parents if (p / "shared/samples").is_dir()), None
)


def types(tmp_path: Path, text: str, dimensions: Dimensions | None = None) -> dict[str, str]:
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(f"{HEAD} {text}").SerializeToString())
    graph = read(path, dimensions).graph
    return {name: str(graph.type_of(name)) for node in graph.nodes for name in node.outputs}


HALVED = """g (float[N,8,H,6] x) => (float[?,?,?] y)
<int64[1] two = {2}, int64[1] height = {2}, int64[2] ends = {-1, 3}> {
  s = Shape(x)
  h = Gather(s, height)
  half = Div(h, two)
  target = Concat<axis=0>(half, ends)
  r = Reshape(x, target)
  y = Relu(r)
}"""


def test_a_reshape_behind_a_division_is_known(tmp_path: Path) -> None:
    inferred = types(tmp_path, HALVED, Dimensions({"x": (2, 8, 10, 6)}))
    assert inferred["y"] == "float[5,64,3]"
    assert types(tmp_path, HALVED)["y"] == "float[?,?,3]"


def test_a_list_of_known_length_gives_the_rank(tmp_path: Path) -> None:
    text = (
        "g (float[A,B] x, int64[4] s) => (float[?] y) { r = Reshape(x, s)\n e = Expand(r, s)\n y = Relu(e) }"
    )
    texts = types(tmp_path, text)
    assert (texts["r"], texts["e"]) == ("float[?,?,?,?]", "float[?,?,?,?]")


def test_branches_that_agree_make_a_type(tmp_path: Path) -> None:
    branch = "z (float[2,3,?] {0}) {{ {0} = {1} }}"
    text = f"""g (bool c, float[2,3,N] x) => (float[?] y) {{
      t = If(c) <then_branch = {branch.format("a", "Relu(x)")}, else_branch = {branch.format("b", "Abs(x)")}>
      y = Neg(t)
    }}""".replace("z (float", "z () => (float")
    assert types(tmp_path, text)["t"] == "float[2,3,N]"


def test_what_is_declared_is_kept(tmp_path: Path) -> None:
    text = HALVED.replace("=> (float[?,?,?] y)", "=> (float[?,?,?] y, float[A,B,3] r)")
    texts = types(tmp_path, text)
    assert texts["r"] == "float[A,B,3]"


def test_functions_without_inference_pass_shapes_on(tmp_path: Path) -> None:
    text = HALVED.replace("y = Relu(r)", "y = LessOrEqual(r, r)").replace(
        "(float[?,?,?] y)", "(bool[?,?,?] y)"
    )
    text = text.replace('"" : 17', '"" : 12')
    assert types(tmp_path, text, Dimensions({"x": (2, 8, 10, 6)}))["y"] == "bool[5,64,3]"


@given(
    sizes=st.tuples(*(st.integers(1, 2),) * 3),
    factor=st.integers(1, 2),
    # Each once: what is tiled or padded by its own sizes grows fast.
    steps=st.lists(
        st.sampled_from(["Reshape", "Expand", "Tile", "Slice", "Pad", "Resize"]), max_size=4, unique=True
    ),
)
def test_shapes_are_those_of_onnx_runtime(
    tmp_path_factory: pytest.TempPathFactory, sizes: tuple[int, int, int], factor: int, steps: list[str]
) -> None:
    """Each step reworks `x` by sizes that are divided first, where onnx's own inference stops."""
    nodes, last = [], "x"
    for i, op in enumerate(steps):
        nodes += [
            helper.make_node("Shape", [last], [f"s{i}"]),
            helper.make_node("Mul", [f"s{i}", "factor"], [f"m{i}"]),
            helper.make_node("Div", [f"m{i}", "factor"], [f"d{i}"]),
        ]
        extra = {
            "Reshape": ([f"p{i}"], [helper.make_node("ReduceProd", [f"d{i}"], [f"p{i}"], keepdims=1)]),
            "Expand": ([f"m{i}"], []),
            "Tile": ([f"d{i}"], []),
            "Slice": (["zeros", f"d{i}"], []),
            "Pad": ([f"w{i}"], [helper.make_node("Concat", ["zeros", f"d{i}"], [f"w{i}"], axis=0)]),
            "Resize": (["", "", f"m{i}"], []),
        }[op]
        inputs, before = extra
        if op in ("Slice", "Pad", "Resize", "Tile", "Expand") and "Reshape" in steps[:i]:
            continue  # the rank is 1 by then, and the constants here are for 3
        if op == "Expand":
            nodes.append(helper.make_node("ReduceMax", [last], [f"k{i}"], axes=[0, 1, 2]))
            last = f"k{i}"
        nodes += [*before, helper.make_node(op, [last, *inputs], [f"y{i}"])]
        last = f"y{i}"
    constants = [
        numpy_helper.from_array(np.array([factor]), "factor"),
        numpy_helper.from_array(np.zeros(3, np.int64), "zeros"),
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for node in nodes for name in node.output]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, list("ABC"))
    graph = helper.make_graph(nodes, "g", [value], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    path.write_bytes(model.SerializeToString())
    read_graph = read(path, Dimensions({"x": sizes})).graph
    if nodes:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(path, options)
        for output, result in zip(outputs, session.run(None, {"x": np.ones(sizes, np.float32)}), strict=True):
            tensor_type = read_graph.type_of(output.name)
            assert tensor_type is not None
            assert tensor_type.static_shape == result.shape


@pytest.mark.skipif(SHARED is None, reason="no folder of samples beside the checkout")
def test_a_detector_with_given_sizes_is_known_everywhere() -> None:
    assert SHARED is not None
    model = read(SHARED / "samples/models/yunet_n_dynamic.onnx", Dimensions({"input": (1, 3, 320, 320)}))
    unknown = [
        name
        for node in model.graph.nodes
        for name in node.outputs
        if (inferred_type := model.graph.type_of(name)) is None or inferred_type.static_shape is None
    ]
    assert unknown == []


@pytest.mark.parametrize(
    "name", sorted(p.stem for p in (Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))
)
def test_light_networks_are_known_everywhere(name: str) -> None:
    model = read(Path(onnx.__file__).parent / f"backend/test/data/light/{name}.onnx")
    for node in model.graph.nodes:
        for output in node.outputs[:1]:  # old Dropouts have masks of which onnx infers nothing
            tensor_type = model.graph.type_of(output)
            assert tensor_type is not None, output
            assert tensor_type.static_shape is not None, output
