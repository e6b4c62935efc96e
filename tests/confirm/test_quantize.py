"""Quantization put in: what is stored and where, that it still computes the model, and what is left alone."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from dlclint.analysis.qdq.lifting import holds_quantization
from dlclint.analysis.view import ModelView
from dlclint.confirm.quantize import insert_quantization
from dlclint.confirm.question import CannotAsk, Question, question_of
from dlclint.confirm.ranges import ActivationGrids, UnsignedGrid
from dlclint.confirm.stored import StoredGrids
from dlclint.encodings.grid import packed_nibbles
from dlclint.encodings.reading import read_encodings
from dlclint.model.reading import read
from dlclint.target import DlcKind, Runtime, Target

HEAD = '<ir_version: 8, opset_import: ["": 17]>'
EIGHT = DlcKind(quantize=True, stated=True)
GELU = """g (float[1,4] x) => (float[1,4] y) <float r = {1.41421354}, float one = {1.0}, float half = {0.5}> {
  a = Div(x, r) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half) }"""


def view_of(path: Path, kind: DlcKind = EIGHT) -> ModelView:
    return ModelView(read(path), Target((Runtime.HTP,), kind=kind))


def saved(tmp_path: Path, body: str) -> Path:
    path = tmp_path / "m.onnx"
    onnx.save(parser.parse_model(f"{HEAD} {body}"), path)
    return path


def network(tmp_path: Path) -> Path:
    """Conv with bias, Relu, Add of a constant, Clip, MatMul: weights large enough to stay in the file."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.2, (8, 8, 3, 3)),
        "b": rng.normal(0, 0.1, 8),
        "c": rng.normal(0, 0.5, (1, 8, 1, 1)),
        "m": rng.normal(0, 0.2, (8, 8)),
        "low": np.array(0.0),
        "high": np.array(6.0),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["a"], ["r"]),
            helper.make_node("Add", ["r", "c"], ["s"]),
            helper.make_node("Clip", ["s", "low", "high"], ["t"]),
            helper.make_node("MatMul", ["t", "m"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 8, 8])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def overrides(tmp_path: Path, **entries: dict[str, object]) -> Path:
    path = tmp_path / "m.encodings"
    listed = {name: [entry] for name, entry in entries.items()}
    path.write_text(json.dumps({"version": "0.6.1", "activation_encodings": listed, "param_encodings": {}}))
    return path


def ask(view: ModelView, file: Path | None = None) -> tuple[Question, ActivationGrids]:
    document = None if file is None else read_encodings(file)
    grids = ActivationGrids(view, document)
    return question_of(
        view.model,
        partial(insert_quantization, view, grids=grids, stored=StoredGrids(view.target.kind, document)),
    ), grids


def run(model: bytes, folder: Path, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (EIGHT, 0.03),
        (replace(EIGHT, per_channel=True), 0.03),
        (replace(EIGHT, act_bitwidth=16), 0.02),
        (replace(EIGHT, act_bitwidth=16, weights_bitwidth=16), 0.001),
        (replace(EIGHT, weights_bitwidth=4, per_channel=True), 0.25),
    ],
    ids=lambda value: str(value) if isinstance(value, DlcKind) else "",
)
def test_it_still_computes_the_model(kind: DlcKind, error: float, tmp_path: Path) -> None:
    path = network(tmp_path)
    file = overrides(
        tmp_path,
        **{
            name: {"bitwidth": kind.act_bitwidth, "min": low, "max": high, "dtype": "int"}
            for name, low, high in (
                ("x", -4, 4),
                ("a", -8, 8),
                ("r", 0, 8),
                ("s", -2, 9),
                ("t", 0, 6),
                ("y", -9, 9),
            )
        },
    )
    question, grids = ask(view_of(path, kind), file)
    assert dict(grids.sources) == {"from the override file": 6}
    x = np.random.default_rng(1).normal(size=(1, 8, 8, 8)).astype(np.float32)
    expected = run(path.read_bytes(), tmp_path, x)
    off = np.abs(run(question.model, question.folder, x) - expected)
    assert off.mean() < error * np.abs(expected).max()
    assert question.quantized == {("", index) for index in range(5)}


def test_every_op_reads_and_makes_quantized_tensors(tmp_path: Path) -> None:
    question, _ = ask(view_of(network(tmp_path)))
    graph = onnx.ModelProto.FromString(question.model).graph
    makers = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    types: dict[str, list[int]] = {}
    for node in graph.node:
        if question.node_of(node.name) is None:
            continue
        reads = [makers[name] for name in node.input if name in makers]
        assert all(read.op_type == "DequantizeLinear" for read in reads)
        types[node.op_type] = [stored.get(read.input[0], 0) for read in reads]
        assert [n.op_type for n in graph.node if node.output[0] in n.input] == ["QuantizeLinear"]
    eight, wide = TensorProto.UINT8, TensorProto.INT32
    assert types == {
        "Conv": [0, eight, wide],
        "Relu": [0],
        "Add": [0, eight],
        "Clip": [0],
        "MatMul": [0, eight],
    }
    clip = next(node for node in graph.node if node.op_type == "Clip")
    assert list(clip.input[1:]) == ["low", "high"], "bounds are parameters and stay float"


def test_weights_per_channel_are_symmetric(tmp_path: Path) -> None:
    question, _ = ask(view_of(network(tmp_path), replace(EIGHT, per_channel=True)))
    stored = {t.name: t for t in onnx.ModelProto.FromString(question.model).graph.initializer}
    weight, scale, zero = (stored[f"dlclint_0_0_/in1/{end}"] for end in ("q", "scale", "zero"))
    assert (weight.data_type, list(scale.dims)) == (TensorProto.INT8, [8])
    assert not numpy_helper.to_array(zero).any()
    assert np.abs(numpy_helper.to_array(weight).astype(int)).max(axis=(1, 2, 3)).tolist() == [127] * 8


def test_what_the_override_file_keeps_float(tmp_path: Path) -> None:
    path = saved(tmp_path, "g (float[1,4] x) => (float[1,4] y) { a = Relu(x) y = Tanh(a) }")
    file = overrides(
        tmp_path,
        a={"bitwidth": 16, "dtype": "float"},
        x={"bitwidth": 16, "dtype": "int", "min": -1.0, "max": 1.0},
    )
    grids = ask(view_of(path), file)[1]
    assert grids.of("a") is None
    assert isinstance(grid := grids.of("x"), UnsignedGrid) and grid.bitwidth == 16
    assert "left float by the override file" in grids.words()


def test_what_is_known_decides_and_the_rest_is_said_to_be_a_default(tmp_path: Path) -> None:
    path = saved(tmp_path, "g (float[1,4] x) => (float[1,4] y) { y = Sigmoid(x) }")
    _, grids = ask(view_of(path))
    assert grids.words() == "activation ranges: 1 by default (-1 to 1), 1 estimated"
    bounded = grids.of("y")
    assert bounded is not None and (bounded.zero, bounded.scale) == (0, pytest.approx(1 / 255))


def test_a_gelu_becomes_one_op(tmp_path: Path) -> None:
    path = saved(tmp_path, GELU)
    question, _ = ask(view_of(path))
    graph = onnx.ModelProto.FromString(question.model).graph
    assert [node.op_type for node in graph.node] == [
        "QuantizeLinear",
        "DequantizeLinear",
        "Gelu",
        "QuantizeLinear",
        "DequantizeLinear",
    ]
    assert question.quantized == {("", 0)}
    assert question.node_of(graph.node[2].name) == ("", 0)
    x = np.linspace(-1, 1, 4, dtype=np.float32)[None]
    assert np.abs(run(question.model, tmp_path, x) - run(path.read_bytes(), tmp_path, x)).max() < 0.01


def test_a_gelu_of_which_something_else_reads_a_part_keeps_its_nodes(tmp_path: Path) -> None:
    read_twice = GELU.replace("(float[1,4] y)", "(float[1,4] y, float[1,4] a)")
    question, _ = ask(view_of(saved(tmp_path, read_twice)))
    assert "Erf" in [node.op_type for node in onnx.ModelProto.FromString(question.model).graph.node]


NORM = """g (float[1,3,4] x) => (float[1,3,4] y) <float two = {{2.0}}, float e = {{0.001}}> {{
  m = ReduceMean<axes = {axes}>(x) d = Sub(x, m) q = Pow(d, two) v = ReduceMean<axes = {axes}>(q)
  s = Add(v, e) r = Sqrt(s) y = Div(d, r) }}"""


@pytest.mark.parametrize(("axes", "sizes"), [("[-1]", [4]), ("[1, 2]", [3, 4])])
def test_a_layer_normalization_becomes_one_op(axes: str, sizes: list[int], tmp_path: Path) -> None:
    path = saved(tmp_path, NORM.format(axes=axes))
    question, _ = ask(view_of(path))
    graph = onnx.ModelProto.FromString(question.model).graph
    (made,) = (node for node in graph.node if node.op_type == "LayerNormalization")
    assert not {"ReduceMean", "Sub", "Pow", "Sqrt", "Div"} & {node.op_type for node in graph.node}
    assert helper.get_node_attr_value(made, "epsilon") == pytest.approx(0.001)
    (scale,) = (node for node in graph.node if node.output[0] == made.input[1])
    stored = {tensor.name: tensor for tensor in graph.initializer}
    assert (scale.op_type, list(stored[scale.input[0]].dims)) == ("DequantizeLinear", sizes)
    assert question.quantized == {("", 0)} and question.node_of(made.name) == ("", 0)
    x = np.random.default_rng(3).uniform(-1, 1, (1, 3, 4)).astype(np.float32)
    quantized, exact = run(question.model, tmp_path, x), run(path.read_bytes(), tmp_path, x)
    assert np.abs(quantized - exact.clip(quantized.min(), quantized.max())).max() < 0.05


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(float[1,3,4] y)", "(float[1,3,4] y, float[1,3,1] v)"),  # something else reads a part
        ("v = ReduceMean<axes = [-1]>", "v = ReduceMean<axes = [1, 2]>"),  # means over two sets of axes
        ("float[1,3,4] x)", "float[1,3,N] x)"),  # a scale of unknown size
    ],
)
def test_a_layer_normalization_that_no_op_expresses_keeps_its_nodes(
    old: str, new: str, tmp_path: Path
) -> None:
    text = NORM.format(axes="[-1]")
    assert old in text
    question, _ = ask(view_of(saved(tmp_path, text.replace(old, new))))
    ops = [node.op_type for node in onnx.ModelProto.FromString(question.model).graph.node]
    assert "Sqrt" in ops and "LayerNormalization" not in ops


def test_what_only_moves_data_keeps_its_grid(tmp_path: Path) -> None:
    body = "g (float[1,4,4] x) => (float[1,4,4] y) { a = Sigmoid(x) b = Transpose(a) y = Relu(b) }"
    question, grids = ask(view_of(saved(tmp_path, body)))
    scales = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.ModelProto.FromString(question.model).graph.initializer
    }
    assert scales["b/scale"] == scales["a/scale"] != scales["x/scale"]
    assert "1 as what they are moved from" in grids.words()


def types_of(question: Question) -> dict[str, int]:
    graph = onnx.ModelProto.FromString(question.model).graph
    return {tensor.name: tensor.data_type for tensor in graph.initializer}


@pytest.mark.parametrize(
    ("kind", "gamma", "slope"),
    [
        (replace(EIGHT, act_bitwidth=16), TensorProto.UINT8, TensorProto.UINT8),
        (replace(EIGHT, weights_bitwidth=4), TensorProto.UINT8, TensorProto.UINT8),
        (replace(EIGHT, act_bitwidth=16, weights_bitwidth=16), TensorProto.UINT16, TensorProto.INT16),
    ],
)
def test_scales_and_slopes_have_the_width_of_their_role(
    kind: DlcKind, gamma: int, slope: int, tmp_path: Path
) -> None:
    body = """g (float[1,4] x) => (float[1,4] y)
      <float[4] g = {1.0, 0.5, 2.0, 1.0}, float[4] b = {0.1, 0.1, 0.1, 0.1}, float[4] s = {0.1, 0.2, 0, 0}> {
      n = LayerNormalization(x, g, b) y = PRelu(n, s) }"""
    types = types_of(ask(view_of(saved(tmp_path, body), kind))[0])
    assert types["dlclint_0_0_/in1/q"] == gamma
    assert types["dlclint_0_0_/in2/q"] == TensorProto.INT32
    assert types["dlclint_0_1_/in1/q"] == slope


def legacy(tmp_path: Path, **params: object) -> Path:
    path = tmp_path / "m.encodings"
    text = {"version": "0.6.1", "activation_encodings": {}, "param_encodings": params}
    path.write_text(json.dumps(text))
    return path


def test_an_entry_of_a_weight_decides_its_width_sign_and_channels(tmp_path: Path) -> None:
    path = network(tmp_path)
    channel = {"bitwidth": 4, "dtype": "int", "is_symmetric": "True", "scale": 0.1, "offset": -8}
    whole = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "scale": 0.01, "offset": -100}
    question, _ = ask(view_of(path), legacy(tmp_path, w=[channel] * 8, m=[whole]))
    stored = {t.name: t for t in onnx.ModelProto.FromString(question.model).graph.initializer}
    weight, scale = stored["dlclint_0_0_/in1/q"], stored["dlclint_0_0_/in1/scale"]
    assert (weight.data_type, list(scale.dims)) == (TensorProto.INT4, [8])
    assert np.allclose(numpy_helper.to_array(scale), 0.1)
    zero = stored["dlclint_0_4_/in1/zero"]
    assert (zero.data_type, numpy_helper.to_array(zero).item()) == (TensorProto.UINT8, 100)


def test_an_invalid_entry_is_reported(tmp_path: Path) -> None:
    entry = {"bitwidth": 8, "dtype": "int", "is_symmetric": "True", "scale": 0.1, "offset": -128}
    document = read_encodings(legacy(tmp_path, w=[entry] * 3, m=[{**entry, "bitwidth": 2, "offset": -2}]))
    view = view_of(network(tmp_path))
    grids, stored = ActivationGrids(view, document), StoredGrids(view.target.kind, document)
    question_of(view.model, partial(insert_quantization, view, grids=grids, stored=stored))
    assert stored.unused == {
        "w": "has 3 channels in the file and others in the model",
        "m": "has 2 bits, which the question does not hold",
    }
    assert not stored.from_file


def test_a_weight_that_stays_float_makes_bias_and_output_float(tmp_path: Path) -> None:
    entry = {"bitwidth": 16, "dtype": "float"}
    question, _ = ask(view_of(network(tmp_path)), legacy(tmp_path, w=[entry]))
    graph = onnx.ModelProto.FromString(question.model).graph
    conv = next(node for node in graph.node if node.op_type == "Conv")
    assert list(conv.input[1:]) == ["w", "b"]
    readers = [node.op_type for node in graph.node if conv.output[0] in node.input]
    assert readers == ["Relu"]


def test_an_op_runs_at_the_width_of_its_output(tmp_path: Path) -> None:
    path = network(tmp_path)
    entry = {"dtype": "int", "min": -9.0, "max": 9.0}
    file = overrides(tmp_path, a={**entry, "bitwidth": 16}, r={**entry, "bitwidth": 8})
    question, grids = ask(view_of(path), file)
    assert (grids.converted, dict(grids.widths)) == (2, {8: 5, 16: 1})
    types = types_of(question)
    assert types["x/as16/zero"] == TensorProto.UINT16
    assert types["a/as8/zero"] == TensorProto.UINT8
    x = np.random.default_rng(1).normal(size=(1, 8, 8, 8)).astype(np.float32)
    assert np.isfinite(run(question.model, question.folder, np.clip(x, -1, 1))).all()


def test_a_bias_beyond_int32_saturates(tmp_path: Path) -> None:
    stored = StoredGrids(EIGHT, None)
    bias = stored.bias("b", np.array([3.0, -3.0, 0.0]), np.array([1e-12, 1e-12, 1e-12]))
    limits = np.iinfo(np.int32)
    assert bias.integers.tolist() == [limits.max, limits.min, 0]


def test_what_carries_quantization(tmp_path: Path) -> None:
    body = (
        "g (float[1,4] x) => (uint8[1,4] y) <float s = {0.1}, uint8 z = {0}> { y = QuantizeLinear(x, s, z) }"
    )
    assert holds_quantization(read(saved(tmp_path, body)))
    assert not holds_quantization(read(saved(tmp_path, "g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }")))


def test_a_float16_model(tmp_path: Path) -> None:
    path = saved(tmp_path, "g (float16[1,4] x) => (float16[1,4] y) { y = Relu(x) }")
    with pytest.raises(CannotAsk, match="a float32 export"):
        ask(view_of(path))


def test_nibbles() -> None:
    assert packed_nibbles(np.array([1, -1, -8, 7, 3], np.int8)) == bytes([0xF1, 0x78, 0x03])
