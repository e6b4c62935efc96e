"""QDQ models: what they state about their tensors, and that the float model computes the same."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper, parser

from dlclint.analysis.qdq.encodings import CarriedEncodings, carried_encodings, encodings_text
from dlclint.analysis.qdq.inserting import quantized_again
from dlclint.analysis.qdq.lifting import Lifted, lift
from dlclint.analysis.view import ModelView
from dlclint.cli.main import main
from dlclint.encodings.show import rows
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.model.draft import open_draft
from dlclint.model.reading import read
from dlclint.model.writing import write_model
from dlclint.target import DlcKind, Runtime, Target

HEAD = '<ir_version: 10, opset_import: ["": 21, "com.microsoft": 1]>'
HTP8 = Target((Runtime.HTP,), kind=DlcKind(quantize=True, stated=True))
S, Z = "float s = {0.05}, uint8 z = {128}", "s, z"
RELU = f"""g (float[1,4] x) => (float[1,4] y) <{S}, float r = {{0.02}}, uint8 o = {{0}}> {{
  q = QuantizeLinear(x, {Z}) d = DequantizeLinear(q, {Z}) a = Relu(d)
  [out] p = QuantizeLinear(a, r, o) y = DequantizeLinear(p, r, o) }}"""
FORMS = {
    "per tensor": RELU,
    "com.microsoft at 16 bits": """g (float[1,4] x) => (float[1,4] y)
      <float s = {0.001}, uint16 z = {32768}> {
      q = com.microsoft.QuantizeLinear(x, s, z) d = com.microsoft.DequantizeLinear(q, s, z) y = Relu(d) }""",
    "weights per channel": f"""g (float[1,4] x) => (float[1,2] y)
      <{S}, int8[4,2] w = {{1,-2,3,-4,5,-6,7,-128}}, float[2] t = {{0.1, 0.7}}, int8[2] n = {{0, 0}},
      int32[2] b = {{100, -70000}}, float[2] u = {{0.005, 0.035}}, int32[2] m = {{0, 0}}> {{
      q = QuantizeLinear(x, {Z}) d = DequantizeLinear(q, {Z}) e = DequantizeLinear<axis = 1>(w, t, n)
      c = DequantizeLinear<axis = 0>(b, u, m) y = Gemm(d, e, c) }}""",
    "weights in blocks": """g (float[1,4] x) => (float[1,2] y) <int8[4,2] w = {1,-2,3,-4,5,-6,7,-128},
      float[2,2] t = {0.1, 0.7, 0.2, 0.3}> {
      e = DequantizeLinear<axis = 0, block_size = 2>(w, t) y = MatMul(x, e) }""",
    "weights in blocks with integer scales": """g (float[1,4] x) => (float[1,2] y)
      <int8[4,2] w = {1,-2,3,-4,5,-6,7,-128}, uint8[2,2] i = {1, 7, 2, 16}, float[2] c = {0.1, 0.03}> {
      t = DequantizeLinear<axis = 1>(i, c) e = DequantizeLinear<axis = 0, block_size = 2>(w, t)
      y = MatMul(x, e) }""",
    "a float weight in such blocks": """g (float[1,4] x) => (float[1,2] y)
      <float[4,2] w = {0.1,-0.2,0.3,-0.4,0.5,-0.6,0.7,-0.8}, uint8[2,2] i = {1, 7, 2, 16},
      float[1,2] c = {0.1, 0.03}> {
      t = DequantizeLinear<axis = 0, block_size = 2>(i, c)
      q = QuantizeLinear<axis = 0, block_size = 2, output_dtype = 3>(w, t)
      e = DequantizeLinear<axis = 0, block_size = 2>(q, t) y = MatMul(x, e) }""",
    "a float weight that is quantized in the model": f"""g (float[1,2] x) => (float[1,2] y)
      <{S}, float[2,2] w = {{0.11, 1.33, -3.2, 0.02}}> {{
      q = QuantizeLinear(w, {Z}) d = DequantizeLinear(q, {Z}) y = MatMul(x, d) }}""",
    "one node for each reader": f"""g (float[1,4] x) => (float[1,4] y) <{S}> {{
      q = QuantizeLinear(x, {Z}) d = DequantizeLinear(q, {Z}) e = DequantizeLinear(q, {Z})
      a = Relu(d) b = Neg(e) y = Add(a, b) }}""",
    "a second grid": f"""g (float[1,4] x) => (float[1,4] y, float[1,4] v)
      <{S}, float r = {{0.3}}, uint8 o = {{7}}> {{
      q = QuantizeLinear(x, {Z}) d = DequantizeLinear(q, {Z}) y = Relu(d)
      p = QuantizeLinear(d, r, o) e = DequantizeLinear(p, r, o) v = Neg(e) }}""",
    "data moved as integers": f"""g (float[1,4] x) => (float[2,2] y) <{S}, int64[2] shape = {{2, 2}}> {{
      q = QuantizeLinear(x, {Z}) r = Reshape(q, shape) t = Transpose(r)
      d = DequantizeLinear(t, {Z}) y = Relu(d) }}""",
    "an input is an output": f"""g (float[1,4] x) => (float[1,4] y, float[1,4] v) <{S}> {{
      q = QuantizeLinear(x, {Z}) y = DequantizeLinear(q, {Z}) v = Relu(y) }}""",
    "two outputs of one tensor": f"""g (float[1,4] x) => (float[1,4] y, float[1,4] v, float[1,4] raw) <{S}> {{
      raw = Relu(x) q = QuantizeLinear(raw, {Z})
      y = DequantizeLinear(q, {Z}) v = DequantizeLinear(q, {Z}) }}""",
    "read as float too": f"""g (float[1,4] x) => (float[1,4] y, float[1,4] v) <{S}> {{
      q = QuantizeLinear(x, {Z}) d = DequantizeLinear(q, {Z}) p = QuantizeLinear(x, {Z})
      e = DequantizeLinear(p, {Z}) a = Relu(d) y = Add(a, e) v = Neg(x) }}""",
    "signed with a zero point": """g (float[1,4] x) => (float[1,4] y) <float s = {0.02}, int8 z = {-100}> {
      q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Relu(d) }""",
    "read inside a body": f"""g (float[1,4] x, bool c) => (float[1,4] y) <{S}> {{
      q = QuantizeLinear(x, {Z}) d = DequantizeLinear(q, {Z})
      y = If (c) <then_branch = t () => (float[1,4] a) {{ a = Relu(d) }},
                  else_branch = f () => (float[1,4] a) {{ a = Neg(d) }}> }}""",
}


def saved(tmp_path: Path, body: str, name: str = "m.onnx") -> Path:
    path = tmp_path / name
    onnx.save(parser.parse_model(f"{HEAD} {body}"), path)
    return path


def lift_model(path: Path) -> Lifted:
    draft = open_draft(path)
    return lift(draft, draft.model(check=False))


def carried(path: Path) -> CarriedEncodings:
    encodings = carried_encodings(read(path))
    assert encodings is not None
    return encodings


def computed(path: Path, seed: int = 0) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(seed)
    feed = {
        model_input.name: np.array(True)
        if model_input.type == "tensor(bool)"
        else rng.normal(0, 3, model_input.shape).astype("f4")
        for model_input in session.get_inputs()
    }
    return session.run(None, feed)


@pytest.mark.parametrize("form", FORMS)
def test_float_model_with_its_encodings_computes_the_same_bits(form: str, tmp_path: Path) -> None:
    source = saved(tmp_path, FORMS[form])
    lifted = lift_model(source)
    assert lifted.encoded and not lifted.kept
    plain, again = tmp_path / "plain.onnx", tmp_path / "again.onnx"
    write_model(lifted.draft, plain)
    onnx.checker.check_model(onnx.load(plain), full_check=True)
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in onnx.load(plain).graph.node}
    write_model(quantized_again(lifted), again)
    for ours, theirs in zip(computed(again), computed(source), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("form", FORMS)
def test_nodes_keep_their_places_in_the_view(form: str, tmp_path: Path) -> None:
    path = saved(tmp_path, FORMS[form])
    encodings = carried(path)
    for old, new in zip(read(path).graph.nodes, encodings.model.graph.nodes, strict=True):
        assert new.name == old.name
        assert new.op_type == old.op_type or old.op_type in ("QuantizeLinear", "DequantizeLinear")
    assert not encodings.document.flaws
    assert [row.name for row in rows(encodings.document)] == [
        encoding.name for encoding in lift_model(path).encoded
    ]


def test_encodings_bear_the_names_and_numbers_of_the_model(tmp_path: Path) -> None:
    encodings = carried(saved(tmp_path, FORMS["weights per channel"]))
    table = {row.name: (row.dtype, row.elements, row.offset) for row in rows(encodings.document)}
    assert table == {
        "x": ("uint8", 1, (-128.0, -128.0)),
        "e": ("int8", 2, (-128.0, -128.0)),
        "c": ("int32", 2, (-(2.0**31), -(2.0**31))),
    }
    assert [node.op_type for node in encodings.nodes] == [
        "QuantizeLinear",
        "DequantizeLinear",
        "DequantizeLinear",
    ]


def test_an_output_gives_its_name_to_what_it_is_made_of(tmp_path: Path) -> None:
    lifted = lift_model(saved(tmp_path, RELU))
    assert [encoding.name for encoding in lifted.encoded] == ["x", "y"]
    assert [(node.op_type, [*node.input], [*node.output]) for node in lifted.draft.proto.graph.node] == [
        ("Relu", ["x"], ["y"])
    ]
    assert not lifted.draft.proto.graph.initializer


def test_a_second_grid_gets_a_tensor_of_its_own(tmp_path: Path) -> None:
    lifted = lift_model(saved(tmp_path, FORMS["a second grid"]))
    assert [(tensor.name, tensor.source) for tensor in lifted.apart] == [("e", "x")]
    assert {encoding.name: encoding.grid.dtype for encoding in lifted.encoded} == {"x": "uint8", "e": "uint8"}


def test_branches_of_one_if_may_share_names(tmp_path: Path) -> None:
    body = f"""g (float[1,4] x, bool c) => (float[1,4] y) <{S}> {{
      y = If (c) <then_branch = t () => (float[1,4] a) {{
                    q = QuantizeLinear(x, {Z}) d = DequantizeLinear(q, {Z}) a = Relu(d) }},
                  else_branch = f () => (float[1,4] b) {{ d = Neg(x) b = Relu(d) }}> }}"""
    lifted = lift_model(saved(tmp_path, body))
    branch = lifted.draft.proto.graph.node[0].attribute
    read_by = {attribute.name: [[*node.input] for node in attribute.g.node] for attribute in branch}
    assert read_by == {"then_branch": [["x"]], "else_branch": [["x"], ["d"]]}


def test_integer_inputs_and_outputs_become_float(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = f"""g (uint8[1,4] x) => (uint8[1,4] y) <{S}> {{
      d = DequantizeLinear(x, {Z}) a = Relu(d) y = QuantizeLinear(a, {Z}) }}"""
    path = saved(tmp_path, body)
    lifted = lift_model(path)
    graph = lifted.draft.proto.graph
    assert [value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)] == [1, 1]
    assert [encoding.name for encoding in lifted.encoded] == ["x", "y"]
    assert main(["encodings", "extract", str(path), "-o", str(tmp_path / "plain.onnx")]) == 0
    assert "not compared: inputs or outputs that held integers are float now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            f"g (float[1,4] x, float s) => (float[1,4] y) <uint8 z = {{0}}>"
            f" {{ q = QuantizeLinear(x, {Z}) y = DequantizeLinear(q, {Z}) }}",
            "is not stored in the model",
        ),
        (
            f"g (float[1,4] x) => (float[1,4] y) <{S}, float r = {{0.1}}>"
            f" {{ q = QuantizeLinear(x, {Z}) y = DequantizeLinear(q, r, z) }}",
            "with other numbers",
        ),
        (
            f"g (float[1,4] x) => (int32[1,4] y) <{S}> {{ q = QuantizeLinear(x, {Z}) y = Cast<to = 6>(q) }}",
            "read as integers",
        ),
        (
            "g (float[1,3] x) => (float[1,2] y) <int8[3,2] w = {1,2,3,4,5,6}, float[3] t = {1.0,2.0,3.0}>"
            " { e = DequantizeLinear<axis = 1>(w, t) y = MatMul(x, e) }",
            "do not fit a tensor of shape [3, 2]",
        ),
    ],
)
def test_what_cannot_be_taken_out_stays_and_says_why(body: str, reason: str, tmp_path: Path) -> None:
    path = saved(tmp_path, body)
    lifted = lift_model(path)
    assert not lifted.encoded
    assert reason in lifted.kept[0].reason
    before = onnx.load(path).graph
    assert [node.SerializeToString() for node in lifted.draft.proto.graph.node] == [
        node.SerializeToString() for node in before.node
    ]
    assert main(["encodings", "extract", str(path), "-o", str(tmp_path / "plain.onnx")]) == 2
    assert not (tmp_path / "plain.onnx").exists()


def test_extract_writes_both_files_and_proves_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = saved(tmp_path, FORMS["weights per channel"]), tmp_path / "plain.onnx"
    for version in ("2.0.0", "1.0.0", "0.6.1"):
        assert main(["encodings", "extract", str(path), "-o", str(out), "--to", version]) == 0
        said = capsys.readouterr().out
        assert "largest difference 0 of the output's magnitude" in said
        assert json.loads(out.with_suffix(".encodings").read_text())["version"] == version
        findings = lint_file(
            Job(out.with_suffix(".encodings"), HTP8, kind="encodings", model=out)
        ).diagnostics
        assert not [finding for finding in findings if finding.severity.rank == 0]


def test_extract_refuses_what_a_format_cannot_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = saved(tmp_path, FORMS["weights in blocks"]), tmp_path / "plain.onnx"
    assert main(["encodings", "extract", str(path), "-o", str(out), "--to", "0.6.1"]) == 1
    assert "block quantization is not converted" in capsys.readouterr().err
    assert not out.exists() and not out.with_suffix(".encodings").exists()


def test_extract_refuses_a_float_model_and_its_own_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, "g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }")
    assert main(["encodings", "extract", str(path), "-o", str(tmp_path / "o.onnx")]) == 2
    assert "holds no QuantizeLinear" in capsys.readouterr().err
    assert main(["encodings", "extract", str(path), "-o", str(path)]) == 2
    assert "three files" in capsys.readouterr().err


def test_the_proof_notices_another_scale(tmp_path: Path) -> None:
    """What the proof stands on: with wrong numbers the outputs differ."""
    source = saved(tmp_path, RELU)
    lifted = lift_model(source)
    wrong = replace(lifted.encoded[0], grid=replace(lifted.encoded[0].grid, scale=np.float64(0.06)))
    again = tmp_path / "again.onnx"
    write_model(quantized_again(replace(lifted, encoded=(wrong, *lifted.encoded[1:]))), again)
    assert not np.array_equal(computed(again)[0], computed(source)[0])


def test_large_weights_are_dequantized_when_they_are_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-128, 128, (256, 64)).astype(np.int8)
    model = parser.parse_model(
        f"{HEAD} g (float[1,256] x) => (float[1,64] y) <float t = {{0.01}}> "
        "{ e = DequantizeLinear(w, t) y = MatMul(x, e) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    path, out = tmp_path / "m.onnx", tmp_path / "plain.onnx"
    onnx.save(model, path)
    write_model(lift_model(path).draft, out)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(out).graph.initializer}
    assert stored.keys() == {"e"}
    np.testing.assert_array_equal(stored["e"], weights.astype(np.float32) * np.float32(0.01))
    weight = ModelView(read(path), HTP8).as_float.model.graph.constant("e")
    assert weight is not None
    np.testing.assert_array_equal(weight.array(), stored["e"])


def test_float8_and_four_bits(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["w", "s"], ["e"]),
            helper.make_node("DequantizeLinear", ["v", "s"], ["f"]),
            helper.make_node("Add", ["e", "f"], ["y"]),
        ],
        "g",
        [],
        [helper.make_tensor_value_info("y", 1, [4])],
        [
            helper.make_tensor("w", onnx.TensorProto.INT4, [4], [-8, -1, 3, 7]),
            helper.make_tensor("v", onnx.TensorProto.FLOAT8E4M3FN, [4], [0.5, -448.0, 1.0, 0.0]),
            helper.make_tensor("s", onnx.TensorProto.FLOAT, [], [0.25]),
        ],
    )
    path, out = tmp_path / "m.onnx", tmp_path / "plain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    lifted = lift_model(path)
    assert [encoding.grid.dtype for encoding in lifted.encoded] == ["int4", "float8e4m3fn"]
    write_model(lifted.draft, out)
    stored = {
        tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in onnx.load(out).graph.initializer
    }
    assert stored == {"e": [-2.0, -0.25, 0.75, 1.75], "f": [0.125, -112.0, 0.25, 0.0]}


def test_check_reports_what_a_model_carries_at_its_nodes(tmp_path: Path) -> None:
    body = f"""g (float[2,4] x) => (float[2,4] y)
      <{S}, int8[2,4] w = {{1,2,3,4,5,6,7,8}}, float[2] t = {{0.1, 0.2}}> {{
      q = QuantizeLinear(x, {Z}) d = DequantizeLinear(q, {Z})
      [weights] e = DequantizeLinear<axis = 0>(w, t) y = Add(d, e) }}"""
    findings = lint_file(Job(saved(tmp_path, body), HTP8)).diagnostics
    hit = next(finding for finding in findings if finding.rule == "encodings/per-channel-consumer")
    assert (hit.location.node, hit.location.tensor, hit.location.pointer) == ("weights", "e", None)
    assert "it is not a weight; Add reads it" in hit.message


def test_equalization_and_patterns_look_through(tmp_path: Path) -> None:
    conv = ", ".join(["1"] * 16)
    body = f"""g (float[1,4,1,1] x) => (float[1,4,1,1] y)
      <{S}, int8[4,4,1,1] w = {{{conv}}}, float t = {{0.1}}, float r = {{1.41421354}}, float one = {{1.0}},
      float half = {{0.5}}> {{
      e = DequantizeLinear(w, t) f = DequantizeLinear(w, t)
      a = Conv(x, e) b = Relu(a) q = QuantizeLinear(b, {Z}) d = DequantizeLinear(q, {Z}) c = Conv(d, f)
      h = Div(c, r) hq = QuantizeLinear(h, {Z}) hd = DequantizeLinear(hq, {Z})
      i = Erf(hd) j = Add(i, one) k = Mul(c, j) y = Mul(k, half) }}"""
    view = ModelView(read(saved(tmp_path, body)), HTP8)
    assert len(view.as_float.cle.pairs) == 1
    assert [pattern.layer for pattern in view.patterns] == ["Gelu"]
    assert {view.model.graph.nodes[index].op_type for _, index in view.patterns[0].nodes} == {
        "Div",
        "Erf",
        "Add",
        "Mul",
    }


def test_show_and_diff_read_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, RELU)
    assert main(["encodings", "show", str(path)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["tensor", "x", "y"]
    file = tmp_path / "m.encodings"
    file.write_text(encodings_text(lift_model(path).encoded))
    assert main(["encodings", "diff", str(path), str(file)]) == 0
    assert (
        main(["encodings", "show", str(saved(tmp_path, "g (float[1] x) => (float[1] y) { y = Relu(x) }"))])
        == 2
    )
    assert "carries no encodings" in capsys.readouterr().err


def test_rules_on_neighbors_look_through_and_offer_no_fix(tmp_path: Path) -> None:
    """A fix would be computed from tensors that the file does not have."""
    ones = ", ".join(["1"] * 16)
    body = f"""g (float[1,4,1,1] x) => (float[1,4,1,1] y)
      <{S}, int8[4,4,1,1] w = {{{ones}}}, float t = {{0.1}}, float[4,1,1] slope = {{0.1, 0.2, 0.3, 0.4}}> {{
      e = DequantizeLinear(w, t)
      a = Conv(x, e) q = QuantizeLinear(a, {Z}) d = DequantizeLinear(q, {Z})
      [elu] b = Elu(d) p = QuantizeLinear(b, {Z}) c = DequantizeLinear(p, {Z})
      f = Conv(c, e) r = QuantizeLinear(f, {Z}) g = DequantizeLinear(r, {Z}) [slope] y = PRelu(g, slope) }}"""
    findings = {finding.rule: finding for finding in lint_file(Job(saved(tmp_path, body), HTP8)).diagnostics}
    assert findings["htp/unfused-activation"].location.node == "elu"
    assert "each can run inside the convolution before it" in findings["htp/prelu"].message
    assert findings["htp/prelu"].fix is None


def test_copies_and_constants_that_only_the_quantization_read_are_dropped(tmp_path: Path) -> None:
    """Along whole chains; a copy without an output, as damaged files have it, stays."""
    names = [f"t{index}" for index in range(5)]
    copies = " ".join(f"{name} = Identity({before})" for before, name in itertools.pairwise(["t", *names]))
    body = f"""g (float[1,4] x) => (float[1,4] y) <{S}, float t = {{0.05}}> {{
      {copies} q = QuantizeLinear(x, {names[-1]}, z) d = DequantizeLinear(q, {names[-1]}, z) y = Relu(d) }}"""
    path = saved(tmp_path, body)
    model = onnx.load(path)
    model.graph.node.append(onnx.NodeProto(op_type="Identity", input=["y"]))
    onnx.save(model, path)
    graph = lift_model(path).draft.proto.graph
    assert [node.op_type for node in graph.node] == ["Relu", "Identity"]
    assert [tensor.name for tensor in graph.initializer] == ["s"]  # nothing read it before either


@pytest.mark.parametrize("zero", ['string z = {"a"}', "float z = {0}", "bool z = {0}", "int64 z = {0}"])
def test_a_zero_point_of_a_type_that_holds_no_quantized_numbers(zero: str, tmp_path: Path) -> None:
    """As damaged files have them: the quantization stays."""
    body = f"""g (float[1,4] x) => (float[1,4] y) <float s = {{0.05}}, {zero}> {{
      q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Relu(d) }}"""
    lifted = lift_model(saved(tmp_path, body))
    assert len(lifted.kept) == 2
    assert not lifted.encoded
