"""Shapes inside model-local functions follow from their calls, and what is wrong in one is said once."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, parser

from dlclint.cli.main import main
from dlclint.model.graph import Graph, Model
from dlclint.model.reading import read

HEAD = '<ir_version: 8, opset_import: ["" : 17, "f" : 1]>'
FUNCTION = '<domain: "f", opset_import: ["" : 17, "f" : 1]>'


def opened(tmp_path: Path, graph: str, *functions: str) -> Model:
    path = tmp_path / "m.onnx"
    for count in (16, 72):
        graph = graph.replace(f"ZEROS_{count}", ", ".join("0" * count))
    text = "\n".join((HEAD, graph, *(f"{FUNCTION} {function}" for function in functions)))
    path.write_bytes(parser.parse_model(text).SerializeToString())
    return read(path)


def body(model: Model, name: str) -> Graph:
    return next(graph for graph in model.functions if graph.path == f"function f:{name}")


def types(graph: Graph, *names: str) -> list[str]:
    return [str(graph.type_of(name)) for name in names]


def findings(tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[tuple[str, str, str]]:
    main(["check", "--isolated", "--format", "json", *options, str(tmp_path / "m.onnx")])
    (file,) = json.loads(capsys.readouterr().out)["files"]
    return [
        (finding["rule"], finding["location"]["graph"], finding["location"]["op"])
        for finding in file["findings"]
        if finding["location"]["graph"]
    ]


FLATTEN = "Flat (x) => (y) { n = Shape<start=0, end=1>(x)\n r = Constant<value_ints=[-1]>()\n \
    t = Concat<axis=0>(n, r)\n y = Reshape(x, t) }"
BLOCK = "Block (x, w) => (y) { c = Conv(x, w)\n y = Relu(c) }"


def test_one_call_gives_its_types(tmp_path: Path) -> None:
    graph = "g (float[1,2,8,8] x) => (float[] y) <float[4,2,3,3] w = {ZEROS_72}> { y = f.Block(x, w) }"
    model = opened(tmp_path, graph, BLOCK)
    assert types(body(model, "Block"), "x", "w", "c", "y") == [
        "float[1,2,8,8]",
        "float[4,2,3,3]",
        "float[1,4,6,6]",
        "float[1,4,6,6]",
    ]
    assert body(model, "Block").static_inputs == {"w"}
    assert types(model.graph, "y") == ["float[1,4,6,6]"]


def test_calls_that_differ_leave_what_they_agree_on(tmp_path: Path) -> None:
    graph = """g (float[1,2,8,8] x, float[3,2,8,9] z) => (float[] a, float[] b)
    <float[4,2,3,3] w = {ZEROS_72}> {
      a = f.Block(x, w)
      b = f.Block(z, w)
    }"""
    function = body(opened(tmp_path, graph, BLOCK), "Block")
    assert types(function, "x", "c") == ["float[?,2,8,?]", "float[?,4,6,?]"]
    assert [str(kind) for kind in function.types_of("c")] == ["float[1,4,6,6]", "float[3,4,6,7]"]


def test_calls_of_different_rank(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each call knows its shape, so the Shape in the function folds; the call of rank 6 is reported, once."""
    graph = """g (float[1,4] x, float[2,3,4] z, float[1,1,2,2,2,2] v) => (float[] a, float[] b, float[] c) {
      a = f.Flat(x)
      b = f.Flat(z)
      c = f.Flat(v)
    }"""
    model = opened(tmp_path, graph, FLATTEN)
    function = body(model, "Flat")
    assert types(function, "x", "y") == ["float[?]", "float[?,?]"]
    assert function.ranks("x") == (2, 3, 6)
    assert findings(tmp_path, capsys) == [("shapes/rank-above-five", "function f:Flat", "Reshape")]


def test_values_that_calls_hand_over(tmp_path: Path) -> None:
    split = "Split (x, sizes) => (y) { r = Reshape(x, sizes)\n y = Relu(r) }"
    graph = """g (float[2,6] x) => (float[] a, float[] b) <int64[2] two = {1, 1}, int64[2] s = {3, 4}> {
      t = Mul(s, two)
      a = f.Split(x, t)
      b = f.Split(x, t)
    }"""
    model = opened(tmp_path, graph, split)
    assert types(body(model, "Split"), "r") == ["float[3,4]"]
    assert body(model, "Split").input_values["sizes"].tolist() == [3, 4]
    other = graph.replace("b = f.Split(x, t)", "b = f.Split(x, s2)").replace(
        "int64[2] s =", "int64[2] s2 = {4, 3}, int64[2] s ="
    )
    function = body(opened(tmp_path, other, split), "Split")
    assert types(function, "r") == ["float[?,?]"]
    assert function.input_values == {}
    assert [str(kind) for kind in function.types_of("r")] == ["float[3,4]", "float[4,3]"]


def test_attributes_are_those_of_the_call(tmp_path: Path) -> None:
    flat = "Flat <axis> (x) => (y) { y = Flatten<axis: int = @axis>(x) }"
    outer = "Outer <at> (x) => (y) { y = f.Flat<axis: int = @at>(x) }"
    graph = "g (float[2,3,4] x) => (float[] a) { a = f.Outer<at = 2>(x) }"
    model = opened(tmp_path, graph, outer, flat)
    assert types(body(model, "Flat"), "y") == ["float[6,4]"]
    both = graph.replace("(float[] a)", "(float[] a, float[] b)").replace(" }", "\n b = f.Outer<at=1>(x) }")
    function = body(opened(tmp_path, both, outer, flat), "Flat")
    assert [str(kind) for kind in function.types_of("y")] == ["float[6,4]", "float[2,12]"]
    assert types(function, "y") == ["float[?,?]"]


def test_a_default_attribute_holds_where_the_call_is_silent(tmp_path: Path) -> None:
    flat = "Flat <axis: int = 2> (x) => (y) { y = Flatten<axis: int = @axis>(x) }"
    model = opened(tmp_path, "g (float[2,3,4] x) => (float[] a) { a = f.Flat(x) }", flat)
    assert types(body(model, "Flat"), "y") == ["float[6,4]"]


def test_a_loop_in_a_function(tmp_path: Path) -> None:
    looped = """Looped (x, n) => (y) {
      yes = Constant<value_int = 1>()
      c = Cast<to = 9>(yes)
      y = Loop(n, c, x) <body = b (int64 i, bool d, s) => (bool e, float[] t) {
        e = Identity(d)
        t = Relu(s)
      }>
    }"""
    model = opened(tmp_path, "g (float[2,3] x, int64 n) => (float[] y) { y = f.Looped(x, n)\n }", looped)
    (inner,) = [graph for graph in model.graphs() if graph.path.endswith(".body")]
    assert types(inner, "s", "t") == ["float[2,3]", "float[2,3]"]


def test_what_is_wrong_in_a_function_is_one_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called five times, in two ways, and once from another function."""
    calls = "\n".join(f"a{i} = f.Bad({'xz'[i % 2]})" for i in range(4))
    graph = f"g (float[1,4] x, float[1,5] z) => (float[] y) {{ {calls}\n y = f.Twice(x)\n }}"
    opened(tmp_path, graph, "Bad (x) => (y) { y = Det(x) }", "Twice (x) => (y) { y = f.Bad(x) }")
    reported = findings(tmp_path, capsys, "--select", "ops")
    assert reported == [("ops/unsupported", "function f:Bad", "Det")]


def test_what_every_call_stores_is_static(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    product = "Dense (x, w) => (y) { y = Gemm<transB = 1>(x, w) }"
    graph = """g (float[1,4] x, float[4,4] v) => (float[1,4] y) <float[4,4] w = {ZEROS_16}> {
      a = f.Dense(x, w)
      y = f.Dense(a, %s)
    }"""
    opened(tmp_path, graph % "w", product)
    assert findings(tmp_path, capsys) == []
    opened(tmp_path, graph % "v", product)
    assert findings(tmp_path, capsys) == [("ops/pattern-only", "function f:Dense", "Gemm")]


def doubling(depth: int) -> onnx.ModelProto:
    """Functions of which each calls the next twice: 2 ** depth nodes once all is inlined."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    functions = [
        helper.make_function(
            "f",
            f"F{i}",
            ["x"],
            ["y"],
            [helper.make_node(f"F{i + 1}", [a], [b], domain="f") for a, b in (("x", "a"), ("a", "y"))],
            imports,
        )
        for i in range(depth)
    ]
    last = helper.make_function(
        "f", f"F{depth}", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], imports
    )
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    nodes = [helper.make_node("F0", ["x"], ["a"], domain="f"), helper.make_node("Identity", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    return helper.make_model(graph, functions=[*functions, last], opset_imports=imports, ir_version=8)


def test_functions_that_double_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trillion nodes when inlined, a hundred as they are; `fix` looks at them too."""
    path = tmp_path / "m.onnx"
    path.write_bytes(doubling(40).SerializeToString())
    assert findings(tmp_path, capsys, "--runtime", "htp") == [
        ("ops/version-not-listed", "function f:F40", "Relu")
    ]
    assert main(["fix", "--isolated", "--no-verify", "--diff", str(path)]) == 0
    small = tmp_path / "small.onnx"
    small.write_bytes(doubling(6).SerializeToString())
    assert types(body(read(small), "F6"), "y") == ["float[1,3]"]


def test_functions_that_call_each_other_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    functions = ["A (x) => (y) { y = f.B(x) }", "B (x) => (y) { y = f.A(x) }", "C (x) => (y) { y = f.C(x) }"]
    opened(tmp_path, "g (float[1,3] x) => (float[1,3] z) { y = f.A(x)\n z = f.C(y)\n }", *functions)
    main(["check", "--isolated", "--format", "concise", "--runtime", "htp", str(tmp_path / "m.onnx")])
    shown = capsys.readouterr().out
    assert "Model-local functions must not be recursive" in shown
    assert "engine/" not in shown
