"""Sure ranges hold for every input, and detectors' boxes get theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dlclint.analysis.activations.certain import certain_ranges
from dlclint.model.dimensions import Dimensions
from dlclint.model.reading import read

HEAD = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,64,6] boxes, float[1,3,6] scores) => (float[1,7,6] y)
<int64[4] four = {1, 4, 16, 6}, int64[3] flat = {1, 4, 6}, int64[2] halves = {2, 2},
 float[1,16,1,1] bins = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
 float[1,2,6] anchors = {0.5, 1.5, 2.5, 0.5, 1.5, 0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 0.5},
 float[1,6] stride = {8, 8, 8, 16, 16, 32}>
{
  apart = Reshape(boxes, four)
  turned = Transpose<perm = [0, 2, 1, 3]>(apart)
  shares = Softmax<axis = 1>(turned)
  mean = Conv(shares, bins)
  sides = Reshape(mean, flat)
  first, second = Split<axis = 1>(sides, halves)
  near = Sub(anchors, first)
  far = Add(anchors, second)
  both = Concat<axis = 1>(near, far)
  pixels = Mul(both, stride)
  odds = Sigmoid(scores)
  y = Concat<axis = 1>(pixels, odds)
}"""


def ranges(tmp_path: Path, text: str) -> dict[str, tuple[float, float]]:
    path = tmp_path / "m.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    bounds = certain_ranges(read(path, Dimensions()).graph)
    return {name: (each.minimum, each.maximum) for name, each in bounds.items()}


def test_boxes_of_a_detector(tmp_path: Path) -> None:
    """A Softmax times 0 to 15 is a mean of those; anchors and strides count element by element."""
    bounds = ranges(tmp_path, HEAD)
    assert bounds["mean"] == (0.0, 15.0)
    assert bounds["far"] == (0.5, 17.5)
    # The widest stride belongs to the anchor at 0.5, so 17.5 * 32 is not reached.
    assert bounds["pixels"] == (-14.5 * 32, 15.5 * 32)
    assert bounds["y"] == (-14.5 * 32, 15.5 * 32)
    assert "turned" not in bounds


def test_a_column_and_a_row_are_not_multiplied_out(tmp_path: Path) -> None:
    """Small constants that broadcast to a large tensor have one range for all of it."""
    size = 1 << 16
    column, row = np.linspace(0, 3, size), np.linspace(0, 5, size)
    save(tmp_path, ["Add a column", "Add b row"], column=column[:, None], row=row[None])
    bounds = certain_ranges(read(tmp_path / "m.onnx", Dimensions()).graph)
    assert bounds["b"].low.shape == (size, 1)
    assert (bounds["c"].minimum, bounds["c"].maximum) == (0.0, 9.0)
    assert bounds["c"].low.size == 1


def test_what_is_held_element_by_element_is_bounded(tmp_path: Path) -> None:
    """After some millions of elements a range is one for its tensor."""
    names = "abcdefghijklmnopqrstuvwxyz"
    save(tmp_path, [f"Add {name} offsets" for name in names[:-1]], offsets=np.linspace(0, 1, 1 << 18)[None])
    bounds = certain_ranges(read(tmp_path / "m.onnx", Dimensions()).graph)
    assert sum(bounds[name].low.size for name in names) < 1 << 22
    assert (bounds["z"].minimum, bounds["z"].maximum) == (0.0, 26.0)


def save(folder: Path, ops: list[str], **stored: npt.NDArray[np.float64]) -> None:
    """A model of a Sigmoid, `a`, and one op after another on it and a stored tensor, from `b` on."""
    nodes = [helper.make_node("Sigmoid", ["x"], ["a"])]
    for text in ops:
        op, before, constant = text.split()
        nodes.append(helper.make_node(op, [before, constant], [chr(ord(before) + 1)]))
    last = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in stored.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), folder / "m.onnx")


@pytest.mark.parametrize(
    ("ops", "low", "high"),
    [
        ("a = MatMul(s, k) y = Identity(a)", -2.0, 3.0),
        ("a = Mul(s, row) y = ReduceSum<keepdims = 1>(a, last)", -2.0, 3.0),
        ("a = Mul(s, row) y = ReduceSum<keepdims = 1>(a, first)", None, None),
        ("a = Transpose<perm = [1, 0]>(s) y = MatMul(a, wide)", -6.0, 6.0),
    ],
)
def test_weighted_means(tmp_path: Path, ops: str, low: float | None, high: float | None) -> None:
    """Only a sum over the axis of the Softmax is a mean."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
g (float[2,3] x) => (float[n,m] y)
<float[3,1] k = {{-2, 0.5, 3}}, float[3] row = {{-2, 0.5, 3}}, int64[1] last = {{1}}, int64[1] first = {{0}},
 float[2,1] wide = {{-6, 6}}>
{{
  s = Softmax<axis = 1>(x)
  {ops}
}}"""
    bounds = ranges(tmp_path, text).get("y")
    assert bounds == (None if low is None else (low, high))


CHAIN = """<ir_version: 8, opset_import: ["" : 17]>
g (float[4] x, float[4] z) => (float[4] y)
<float[4] k = {{{constant}}}, float lo = {{-0.5}}, float hi = {{2.0}}, float p = {{2.0}}>
{{
  a = {first}
  b = {second}
  y = {third}
}}"""
UNARY = (
    "Sigmoid({})",
    "Tanh({})",
    "Relu({})",
    "Clip({}, lo, hi)",
    "Abs({})",
    "Exp({})",
    "Neg({})",
    "Softmax({})",
)
BINARY = ("Add({}, k)", "Sub(k, {})", "Mul({}, k)", "Div({}, k)", "Max({}, z)", "Min({}, k)", "Pow({}, p)")


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(UNARY),
    st.sampled_from(UNARY + BINARY),
    st.sampled_from(UNARY + BINARY + ("Mul({}, a)", "Sub({}, a)")),
    st.lists(st.sampled_from([-3.0, -0.5, 0.25, 2.0]), min_size=4, max_size=4),
    st.integers(0, 1000),
)
def test_no_value_is_outside(
    tmp_path_factory: pytest.TempPathFactory, first: str, second: str, third: str, k: list[float], seed: int
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    text = CHAIN.format(
        constant=", ".join(map(str, k)),
        first=first.format("x"),
        second=second.format("a"),
        third=third.format("b"),
    )
    path = tmp_path_factory.mktemp("chain")
    bounds = ranges(path, text).get("y")
    if bounds is None:
        return
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path / "m.onnx"), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    for spread in (0.1, 2.0, 20.0):
        feeds = {name: (rng.normal(size=4) * spread).astype(np.float32) for name in ("x", "z")}
        names = {each.name for each in session.get_inputs()}
        value = session.run(None, {name: feeds[name] for name in names})[0].astype(np.float64)
        value = value[np.isfinite(value)]  # Exp of Exp overflows
        slack = 1e-5 * (1 + np.abs(value))
        assert (value >= bounds[0] - slack).all()
        assert (value <= bounds[1] + slack).all()
