"""Computed values are those of onnx's own test data and of ONNX Runtime; sizes stay bounded."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser

from dlclint.model.evaluation.arithmetic import ARITHMETIC
from dlclint.model.evaluation.movement import MOVEMENT
from dlclint.model.evaluation.values import Value, Values
from dlclint.model.graph import Model
from dlclint.model.reading import read

Array = np.ndarray[Any, Any]


def values(model: onnx.ModelProto, limit: int = 4096) -> Callable[[str], Value | None]:
    inferred = Model(onnx.shape_inference.infer_shapes(model), Path("m.onnx"), {}, (), Values())
    values = Values(limit)
    return lambda name: values.partly(inferred.graph, name)


def whole(model: onnx.ModelProto, name: str) -> Array | None:
    elements = values(model)(name)
    return None if elements is None or elements.unknown is not None else elements.elements


def assert_same(array: Array, wanted: Array) -> None:
    assert array.dtype == wanted.dtype
    assert array.shape == wanted.shape
    np.testing.assert_allclose(array, wanted, rtol=1e-3 if wanted.dtype == np.float16 else 2e-6)


def onnx_cases(op: str) -> list[tuple[onnx.ModelProto, list[Array]]]:
    """onnx's own test cases of one node of an op, inputs made initializers, with the outputs."""
    odd = {"Range": "rangeop", "GreaterOrEqual": "greater_or_equal", "LessOrEqual": "less_or_equal"}
    module = odd.get(op, op.lower())
    module += "_" * iskeyword(module)
    node = import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        import_module(f"onnx.backend.test.case.node.{module}")
    collected = []
    for case in node._NodeTestCases:
        model = case.model
        if [n.op_type for n in model.graph.node] != [op]:
            continue
        for inputs, outputs in case.data_sets:
            if any(isinstance(value, list) for value in (*inputs, *outputs)):
                continue  # sequences
            proto = onnx.ModelProto()
            proto.CopyFrom(model)
            for value, data in zip(model.graph.input, inputs, strict=True):
                proto.graph.initializer.append(numpy_helper.from_array(as_array(data), value.name))
            collected.append((proto, [as_array(output) for output in outputs]))
    return collected


def as_array(value: object) -> Array:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


@pytest.mark.parametrize("op", sorted(MOVEMENT | ARITHMETIC))
def test_onnx_own_cases(op: str) -> None:
    """Every kernel agrees wherever it gives a value, and gives one for some of the cases."""
    known = 0
    for model, outputs in onnx_cases(op):
        for name, wanted in zip([v.name for v in model.graph.output], outputs, strict=True):
            array = whole(model, name)
            if array is not None:
                assert_same(array, wanted)
                known += 1
    assert known


class Chain:
    """A random graph of shape arithmetic over the input `x`, in int64 lists."""

    def __init__(self, dims: list[int | str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.dims = dims
        self.lists = [self.add("Shape", "x")]

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, value: object, dtype: type = np.int64) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def model(self) -> onnx.ModelProto:
        outputs = [helper.make_empty_tensor_value_info(n.output[0]) for n in self.nodes]
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.dims)
        graph = helper.make_graph(self.nodes, "g", [value], outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def run(self, sizes: list[int]) -> dict[str, Array]:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(self.model().SerializeToString(), options)
        results = session.run(None, {"x": np.zeros(sizes, np.float32)})
        return {node.output[0]: result for node, result in zip(self.nodes, results, strict=True)}


def gather(chain: Chain, source: str, other: str, number: int) -> str:
    return chain.add("Gather", source, chain.constant([number % 2, -1]))


def cut(chain: Chain, source: str, other: str, number: int) -> str:
    bounds = [[0, 2, 1], [-1, -(1 << 40), -1], [1, 1 << 40, 1], [-2, 99, 2]][number % 4]
    return chain.add("Slice", source, *(chain.constant([b]) for b in (*bounds[:2], 0, bounds[2])))


def joined(chain: Chain, source: str, other: str, number: int) -> str:
    return chain.add("Concat", source, chain.constant([number]), other, axis=0)


def arithmetic(chain: Chain, source: str, other: str, number: int) -> str:
    op = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Mod")[number % 7]
    return chain.add(op, source, chain.constant([number + 1 if number % 2 else -number - 1]))


def halved(chain: Chain, source: str, other: str, number: int) -> str:
    real = chain.add("Cast", source, to=TensorProto.FLOAT)
    scaled = chain.add("Mul", real, chain.constant(0.37, np.float32))
    return chain.add("Cast", chain.add("Floor" if number % 2 else "Ceil", scaled), to=TensorProto.INT64)


def product(chain: Chain, source: str, other: str, number: int) -> str:
    single = chain.add("ReduceProd", source, keepdims=number % 2)
    return single if number % 2 else chain.add("Unsqueeze", single, chain.constant([0]))


def chosen(chain: Chain, source: str, other: str, number: int) -> str:
    equal = chain.add("Equal", source, chain.constant([number]))
    return chain.add("Where", equal, chain.constant([1]), source)


def counted(chain: Chain, source: str, other: str, number: int) -> str:
    first = chain.add("Squeeze", chain.add("Gather", source, chain.constant([0])), chain.constant([0]))
    small = chain.add("Min", chain.add("Max", first, chain.constant(0)), chain.constant(5))
    steps = chain.add("Range", chain.constant(0), small, chain.constant(1 + number % 2))
    return chain.add("Concat", steps, source, axis=0)


STEPS = (gather, cut, joined, arithmetic, halved, product, chosen, counted)


@st.composite
def chains(draw: st.DrawFn, dims: list[int | str]) -> Chain:
    chain = Chain(dims)
    for _ in range(draw(st.integers(1, 8))):
        step = draw(st.sampled_from(STEPS))
        source, other = (draw(st.sampled_from(chain.lists)) for _ in range(2))
        chain.lists.append(step(chain, source, other, draw(st.integers(0, 12))))
    return chain


def run_or_reject(chain: Chain, sizes: list[int]) -> dict[str, Array]:
    try:
        return chain.run(sizes)
    except Exception:  # an index beyond a short list, a division by zero: no model to compare with
        assume(False)
        raise


@given(chains([2, 3, 5, 8]))
def test_shape_arithmetic_is_that_of_onnx_runtime(chain: Chain) -> None:
    find = values(chain.model())
    for name, wanted in run_or_reject(chain, [2, 3, 5, 8]).items():
        elements = find(name)
        assert elements is not None, name
        assert elements.unknown is None
        assert_same(elements.elements, wanted)


@given(chains(["N", 3, "H", 8]))
def test_what_is_known_in_part_holds_for_every_size(chain: Chain) -> None:
    find = values(chain.model())
    runs = [run_or_reject(chain, [n, 3, h, 8]) for n, h in ((1, 6), (4, 11))]
    for name in runs[0]:
        elements = find(name)
        if elements is None:
            continue
        for run in runs:
            assert elements.elements.shape == run[name].shape
            known = ... if elements.unknown is None else ~elements.unknown
            assert_same(elements.elements[known], run[name][known])


def test_a_part_is_known() -> None:
    chain = Chain(["N", 3, "H", 8])
    tail = cut(chain, chain.lists[0], "", 2)
    both = chain.add("Concat", tail, chain.constant([7]), axis=0)
    picked = chain.add("Gather", both, chain.constant([0, 2, 3]))
    find = values(chain.model())
    partly = find(both)
    assert partly is not None
    assert partly.unknown is not None
    assert partly.unknown.tolist() == [False, True, False, False]
    exact = find(picked)
    assert exact is not None
    assert exact.unknown is None
    assert exact.elements.tolist() == [3, 8, 7]


HUGE = {
    "ConstantOfShape": "r = ConstantOfShape(big)",
    "Expand": "r = Expand(one, big)",
    "Tile": "r = Tile(grid, big)",
    "Pad": "r = Pad(grid, pads, zero)",
    "Range": "r = Range(zero, far, step)",
    "Add": "r = Add(tall, wide)",
    "Where": "c = Equal(tall, tall)\n r = Where(c, wide, wide)",
    "Gather": "r = Gather(wide, many)",
    "Concat": "r = Concat<axis=1>(wide, wide)",
    "Trilu": "r = Trilu(grid, far)",
}


@pytest.mark.parametrize("op", HUGE)
def test_declared_sizes_decide_no_allocation(op: str) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1] x) => (int64 r)
    <int64[2] big = {{4294967296, 4294967296}}, int64[4] pads = {{0, 0, 1099511627776, 1099511627776}},
     int64[1] one = {{1}}, int64 zero = {{0}}, int64 step = {{1}}, int64 far = {{4611686018427387904}}>
    {{ {HUGE[op]} }}"""
    model = parser.parse_model(text)
    for name, shape in (("grid", (2, 2)), ("tall", (4096, 1)), ("wide", (1, 4096)), ("many", (64, 64))):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros(shape, np.int64), name))
    find = values(model)
    tracemalloc.start()
    try:
        assert find("r") is None
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_long_chains_and_cycles_end() -> None:
    nodes = [helper.make_node("Identity", [f"t{i}"], [f"t{i + 1}"]) for i in range(20_000)]
    start = numpy_helper.from_array(np.array([7]), "t0")
    graph = helper.make_graph(nodes, "g", [], [], [start])
    array = whole(helper.make_model(graph), "t20000")
    assert array is not None
    assert array.tolist() == [7]
    circle = [helper.make_node("Add", ["a", "b"], ["b"]), helper.make_node("Identity", ["b"], ["a"])]
    assert whole(helper.make_model(helper.make_graph(circle, "g", [], [])), "a") is None


@pytest.mark.parametrize(
    "body",
    [
        "r = Div(a, z)",
        "r = Gather<axis=7>(a, z)",
        "r = Gather(a, far)",
        "r = Reshape(a, far)",
        "r = Transpose<perm=[5,5]>(a)",
        "r = Concat<axis=-9>(a, a)",
        "r = Squeeze(a, far)",
        "r = Range(z, far, z)",
        "r = Cast<to=99>(a)",
        "r = Split<axis=3>(a)",
        "r = Slice(a, far, z)",
        "r = ReduceSum(a, far)",
        "r = Add(a)",
        "r = Where(a, a, a)",
    ],
)
def test_what_makes_no_sense_is_unknown(body: str) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[1] x) => (int64 r)
    <int64[3] a = {{1, 2, 3}}, int64[1] z = {{0}}, int64[2] far = {{1000, -1000}}> {{ {body} }}"""
    model = Model(parser.parse_model(text), Path("m.onnx"), {}, (), Values())
    assert Values().whole(model.graph, "r") is None


def test_an_attribute_of_the_caller_is_unknown() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[1] x) => (int64[2] y) { y = local.pick<which=1>(x) }
    <domain: "local", opset_import: ["" : 17]>
    pick<which>(x) => (y) { c = Constant<value_ints=[3, 4]>()
      d = Concat<axis: int = @which>(c, c)
      y = Constant<value_int: int = @which>() }"""
    (function,) = Model(parser.parse_model(text), Path("m.onnx"), {}, (), Values()).functions
    array = Values().whole(function, "c")
    assert array is not None
    assert array.tolist() == [3, 4]
    assert Values().whole(function, "d") is None
    assert Values().whole(function, "y") is None


def test_a_value_outside_the_structure_takes_part(tmp_path: Path) -> None:
    """Of more than 4 KiB, so that it is read from the file when it is needed."""
    table = np.arange(600, dtype=np.int64)
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> g () => (int64[2] y)
        <int64[2] places = {7, 599}> { y = Gather(table, places) }"""
    )
    proto.graph.initializer.append(numpy_helper.from_array(table, "table"))
    onnx.save(proto, tmp_path / "m.onnx")
    model = read(tmp_path / "m.onnx")
    assert model.graph.initializers["table"].location() is not None
    array = model.values.whole(model.graph, "y")
    assert array is not None
    assert array.tolist() == [7, 599]
