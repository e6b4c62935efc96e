"""Which leading dimensions are a batch, op by op; what is called independent is, sample by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from dlclint.analysis.batch import Batch, Meaning, is_time
from dlclint.cli.main import main
from dlclint.model.evaluation.values import Values
from dlclint.model.graph import Model
from dlclint.model.inference import infer, refine
from dlclint.model.native import Crashes

SAMPLES, MIXED = Meaning.SAMPLES, Meaning.MIXED


def model_of(body: str, inputs: str = "float[N,6] x", opset: int = 17, stored: str = "") -> Model:
    text = (
        f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => (float y) '
        f"<float[6,5] w, float[5,6] t, float[4,3,1,1] k, float[3] c3, float[6] c6, float[1,8,6] lw, "
        f"float[1,8,2] lr, int64[1] zero = {{0}}, int64[1] one = {{1}}, int64[1] two = {{2}}, "
        f"int64[2] flat = {{-1, 12}}, int64 i = {{0}}, int64 j = {{1}}{stored}> {{ {body} }}"
    )
    proto = parser.parse_model(text)
    for value in proto.graph.value_info:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        proto.graph.initializer.append(numpy_helper.from_array(weight, value.name))
    del proto.graph.value_info[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    model = Model(infer(proto, Crashes()), Path("m.onnx"), {}, (), Values())
    refine(model)
    return model


IMAGE = "float[N,3,4,4] x"
STEPS = "float[N,5,6] x"
CASES: dict[str, tuple[str, str, Meaning]] = {
    "elementwise": ("a = Relu(x) y = Add(a, c6)", "float[N,6] x", SAMPLES),
    "broadcast from a lower rank": ("y = Mul(c6, x)", "float[N,6] x", SAMPLES),
    "dense": ("y = MatMul(x, w)", "float[N,6] x", SAMPLES),
    "gemm": ("y = Gemm(x, w)", "float[N,6] x", SAMPLES),
    "gemm of the transposed": ("y = Gemm<transA = 1>(x, w)", "float[N,5] x", MIXED),
    "matmul of three axes": ("y = MatMul(x, w)", STEPS, SAMPLES),
    "attention": (
        "q = Transpose<perm = [0, 2, 1]>(x) s = MatMul(x, q) p = Softmax<axis = -1>(s) y = MatMul(p, x)",
        STEPS,
        SAMPLES,
    ),
    "convolution": ("a = Conv(x, k) y = MaxPool<kernel_shape = [2, 2]>(a)", IMAGE, SAMPLES),
    "to the last axis and back": (
        "a = Transpose<perm = [1, 2, 3, 0]>(x) b = Relu(a) y = Transpose<perm = [3, 0, 1, 2]>(b)",
        IMAGE,
        SAMPLES,
    ),
    "flattened": ("a = Flatten(x) y = Relu(a)", IMAGE, SAMPLES),
    "reshaped": ("a = Reshape(x, flat) y = Softmax(a)", IMAGE, SAMPLES),
    "merged and split": ("a = Reshape(x, flat) s = Shape(x) y = Reshape(a, s)", IMAGE, SAMPLES),
    "mean of an image": ("y = ReduceMean<axes = [2, 3]>(x)", IMAGE, SAMPLES),
    "mean without kept axes": ("y = ReduceMean<axes = [-1], keepdims = 0>(x)", STEPS, SAMPLES),
    "mean of the samples": ("y = ReduceMean<axes = [0]>(x)", "float[N,6] x", MIXED),
    "mean of all": ("y = ReduceMean(x)", "float[N,6] x", MIXED),
    "softmax along a sample": ("y = Softmax<axis = -1>(x)", "float[N,6] x", SAMPLES),
    "softmax along the samples": ("y = Softmax<axis = 0>(x)", "float[N,6] x", MIXED),
    "joined": ("y = Concat<axis = 1>(x, x)", "float[N,6] x", SAMPLES),
    "joined along the samples": ("y = Concat<axis = 0>(x, x)", "float[N,6] x", MIXED),
    "cut": ("y = Slice(x, zero, two, one)", "float[N,6] x", SAMPLES),
    "cut along the samples": ("y = Slice(x, zero, two, zero)", "float[N,6] x", MIXED),
    "a column": ("y = Gather<axis = 1>(x, i)", "float[N,6] x", SAMPLES),
    "the first sample": ("y = Gather<axis = 0>(x, i)", "float[N,6] x", MIXED),
    "split": ("a, y = Split<axis = 1>(x)", "float[N,6] x", SAMPLES),
    "unsqueezed": ("a = Unsqueeze(x, zero) y = Squeeze(a, zero)", "float[N,6] x", SAMPLES),
    "reversed": ('y = Einsum<equation = "ij->ji">(x)', "float[N,6] x", SAMPLES),
    "summed by einsum": ('y = Einsum<equation = "ij->j">(x)', "float[N,6] x", MIXED),
    "samples times samples": ("a = Transpose(x) y = MatMul(x, a)", "float[N,6] x", MIXED),
    "normalized": ("y = LayerNormalization(x, c6)", STEPS, SAMPLES),
    "running sum": ("y = CumSum(x, j)", "float[N,6] x", SAMPLES),
    "running sum of samples": ("y = CumSum(x, i)", "float[N,6] x", MIXED),
    "padded": ("p = Constant<value_ints = [0, 1, 0, 1]>() y = Pad(x, p)", "float[N,6] x", SAMPLES),
    "padded with samples": ("p = Constant<value_ints = [1, 0, 0, 0]>() y = Pad(x, p)", "float[N,6] x", MIXED),
    "tiled": ("p = Constant<value_ints = [1, 2]>() y = Tile(x, p)", "float[N,6] x", SAMPLES),
    "tiled along the samples": ("p = Constant<value_ints = [2, 1]>() y = Tile(x, p)", "float[N,6] x", MIXED),
    "one from each": ("y = ArgMax<axis = 1>(x)", "float[N,6] x", SAMPLES),
    "the best": ("y, best = TopK<axis = 1>(x, two)", "float[N,6] x", SAMPLES),
    "recurrent, the batch second": (
        "a = Transpose<perm = [1, 0, 2]>(x) y = LSTM<hidden_size = 2>(a, lw, lr)",
        STEPS,
        SAMPLES,
    ),
    "recurrent, time first": ("y = LSTM<hidden_size = 2>(x, lw, lr)", STEPS, Meaning.TIME),
    "recurrent, after a layer": (
        "a = Relu(x) b = Unsqueeze(a, one) y = LSTM<hidden_size = 2>(b, lw, lr)",
        "float[N,6] x",
        Meaning.TIME,
    ),
    "the states of directions": (
        "y = LSTM<hidden_size = 2>(s, lw, lr, , , x)",
        "float[N,1,2] x, float[5,1,6] s",
        Meaning.LAYERS,
    ),
    "the right factor": ("y = MatMul(s, x)", "float[N,6] x, float[2,4] s", Meaning.OPERAND),
    "a weight": ("y = Conv(s, x)", "float[N,3,1,1] x, float[1,3,4,4] s", Meaning.OPERAND),
    "a shape": ("y = Reshape(s, x)", "int64[N] x, float[2,4] s", Meaning.SHAPE),
    "a branch": (
        "y = If(s) <then_branch = t () => (float u) { u = Relu(x) }, else_branch = e () => (float v) "
        "{ v = Neg(x) }>",
        "float[N,6] x, bool s",
        SAMPLES,
    ),
    "a branch that mixes": (
        "y = If(s) <then_branch = t () => (float u) { u = Relu(x) }, else_branch = e () => (float v) "
        "{ v = CumSum(x, i) }>",
        "float[N,6] x, bool s",
        MIXED,
    ),
    "a list": ("y = Relu(x)", "float[N] x", Meaning.LIST),
    "a list whose length is named as a batch": ("y = Relu(x)", "float[batch_size] x", SAMPLES),
    "a list beside samples": ("a = Gather(s, x) y = Relu(s)", "int64[N] x, float[N,6] s", MIXED),
    "an op of somebody else": ("y = com.acme.Thing(x)", "float[N,6] x", MIXED),
}


@pytest.mark.parametrize("case", CASES)
def test_meaning(case: str) -> None:
    body, inputs, expected = CASES[case]
    assert Batch(model_of(body, inputs)).meaning("x") is expected


@pytest.mark.parametrize("case", [name for name, (_, _, meaning) in CASES.items() if meaning is SAMPLES])
def test_independent_samples_are_computed_alike_one_by_one(case: str) -> None:
    body, inputs, _ = CASES[case]
    model = model_of(body, inputs)
    runner = ReferenceEvaluator(model.proto)
    random = np.random.default_rng(1)
    shape = [3 if isinstance(dim, str) else dim for dim in model.graph.type_of("x").shape or ()]  # type: ignore[union-attr]
    x = random.normal(size=shape).astype(np.float32)
    feeds = {"s": np.array(True)} if "s" in model.graph.inputs else {}
    (whole,) = runner.run(["y"], {"x": x, **feeds})
    parts = [runner.run(["y"], {"x": x[i : i + 1], **feeds})[0] for i in range(3)]
    axis = Batch(model).axis(model.graph, "y")
    assert axis is not None
    np.testing.assert_allclose(whole, np.concatenate(parts, axis), rtol=1e-5, atol=1e-6)


LAYERS = (
    "a = Relu(x)", "a = Transpose<perm = [1, 0]>(x)", "a = Softmax<axis = 0>(x)", "a = Softmax<axis = 1>(x)",
    "a = CumSum(x, i)", "a = CumSum(x, j)", "a = Concat<axis = 1>(x, x)", "a = Concat<axis = 0>(x, x)",
    "a = ReduceMax<axes = [0], keepdims = 1>(x)", "a = ReduceMax<axes = [1], keepdims = 1>(x)",
    "b = ReduceMax<axes = [1], keepdims = 1>(x) a = Sub(x, b)", "a = MatMul(x, m)", "a = MatMul(m, x)",
    "b = Transpose(x) a = MatMul(x, b)", "a = Flatten(x)", "a = Flatten<axis = 0>(x)",
    "b = Unsqueeze(x, zero) a = Squeeze(b, zero)", "b = Unsqueeze(x, one) a = Flatten<axis = 2>(b)",
    "a = Slice(x, zero, two, one)", "a = Slice(x, zero, two, zero)", "a = Reshape(x, pair)",
    "a = Reshape(x, turned)", "a = LayerNormalization<axis = 0>(x, m)",
)  # fmt: skip
"""Layers from a matrix to a matrix."""


@settings(max_examples=150)
@given(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=5), st.integers(0, 100))
def test_chains_that_are_called_independent_are(layers: list[str], seed: int) -> None:
    """In any order of layers, no chain in which one sample changes another has SAMPLES."""
    size = 6
    nodes, last = [], "x"
    for index, layer in enumerate(layers):
        for name in ("a", "b"):
            layer = layer.replace(f"{name} =", f"{name}{index} =").replace(f"({name}", f"({name}{index}")
            layer = layer.replace(f", {name})", f", {name}{index})")
        nodes.append(layer.replace("(x", f"({last}").replace(", x)", f", {last})"))
        last = f"a{index}"
    stored = ", float[6,6] m, int64[2] pair = {-1, 2}, int64[2] turned = {2, -1}"
    model = model_of(" ".join([*nodes, f"y = Identity({last})"]), "float[N,6] x", stored=stored)
    batch = Batch(model)
    if batch.meaning("x") is not SAMPLES:
        return
    runner = ReferenceEvaluator(model.proto)
    x = np.random.default_rng(seed).normal(size=(3, size)).astype(np.float32)
    axis = batch.axis(model.graph, "y")
    assert axis is not None
    try:
        (whole,) = runner.run(["y"], {"x": x})
    except Exception:
        return  # shapes that do not meet; a batch of 3 is as good as none
    parts = [runner.run(["y"], {"x": x[i : i + 1]})[0] for i in range(3)]
    np.testing.assert_allclose(whole, np.concatenate(parts, axis), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[
            (name, True)
            for name in ("sequence_length", "seq", "numFrames", "time", "T", "n_tokens", "decoder_seq_len")
        ],
        *[(name, False) for name in ("batch", "N", "batch_sequence", "height", "unk__12", "timber", None, 4)],
    ],
)
def test_names_of_time(name: str | int | None, expected: bool) -> None:
    assert is_time(name) is expected


def test_a_stored_tensor_that_differs_from_sample_to_sample() -> None:
    alike = model_of("y = Add(x, m)", "float[3,6] x", stored=", float[3,1] m = {1, 1, 1}")
    other = model_of("y = Add(x, m)", "float[3,6] x", stored=", float[3,1] m = {1, 2, 3}")
    assert Batch(alike).meaning("x") is SAMPLES
    assert Batch(other).meaning("x") is MIXED


def test_states_picked_one_by_one_are_not_a_batch() -> None:
    body = "a = Gather<axis = 0>(x, i) y = Relu(a)"
    assert Batch(model_of(body, "float[2,6] x")).meaning("x") is Meaning.LAYERS
    assert Batch(model_of(body, "float[N,6] x")).meaning("x") is MIXED


FIRST = "s0 = Slice(x, zero, one, zero) a = Relu(s0)"
SECOND = "s1 = Slice(x, one, two, zero) b = Relu(s1)"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Add(a, b)", Meaning.LAYERS),
        ("c = Tanh(b) d = MatMul(c, w) e = MatMul(a, w) y = Sub(d, e)", Meaning.LAYERS),
        ("p, q = Split(x) y = Mul(p, q)", Meaning.LAYERS),
        ("c = Gather<axis = 0>(x, j) y = Add(a, c)", Meaning.LAYERS),
        ("y = Concat<axis = 0>(a, b)", MIXED),
        ("c = Shape(b) y = Expand(a, c)", MIXED),
        ("c = Gather<axis = 0>(x, i) y = Add(a, c)", MIXED),
        ("c = Concat<axis = 0>(a, b) y = Add(c, x)", MIXED),
    ],
)
def test_parts_that_are_computed_with_each_other_are_not_samples(body: str, expected: Meaning) -> None:
    """As the steps of an unrolled recurrent op; samples are only put side by side again."""
    model = model_of(f"x = Neg(z) {FIRST} {SECOND} {body}", "float[N,6] z")
    assert Batch(model).meaning("z") is expected


def test_a_symbol_is_followed_from_wherever_it_stands() -> None:
    body = "a = Softmax<axis = 1>(h) y = Relu(x)"
    assert Batch(model_of(body, "float[N,6] x, float[2,N] h")).meaning("x") is MIXED


@pytest.mark.parametrize("constant", ["value_floats = [1.0, 2.0]", "value = float[0] z {}"])
def test_a_constant_of_another_rank_than_declared(
    constant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As damaged files have them; the batch is found all the same."""
    path = tmp_path / "m.onnxtxt"
    path.write_text(
        '<ir_version: 8, opset_import: ["" : 13]>'
        " g (float[N,4,2,2,2] x) => (float[N,4,2,2,2] y) <float[4,4,2,2,2] c>"
        f" {{ c = Constant <{constant}> () a = Add (x, c) y = Relu (a) }}"
    )
    assert main(["check", "--isolated", "--no-cache", "--format", "concise", str(path)]) == 1
    said = capsys.readouterr().out
    assert "batch/symbolic" in said
    assert "engine/crashed-rule" not in said
