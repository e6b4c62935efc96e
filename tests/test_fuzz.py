"""Models damaged in their structure, not only in their bytes: findings or one line, never a traceback."""

from __future__ import annotations

import json
import re
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper, parser

from dlclint.cli.main import main

SOURCES = (
    """<ir_version: 8, opset_import: ["" : 17, "local" : 1]>
    g (float[N,3,8,8] x, int64[2] s) => (float[N,10] y, float[?] z)
    <float[4,3,3,3] w, float[4] b = {0, 1, 2, 3}, float[4] one = {1, 1, 1, 1}, float[10,4] fc,
     float six = {6}, float zero = {0}, float half = {0.5}, float root = {1.41421356},
     int64[2] flat = {-1, 4}, float scale = {0.1}, uint8 point = {0}> {
      c = Conv<pads=[1,1,1,1]>(x, w, b)
      n = BatchNormalization(c, one, b, b, one)
      r = Clip(n, zero, six)
      q = QuantizeLinear(r, scale, point)
      d = DequantizeLinear(q, scale, point)
      p = GlobalAveragePool(d)
      f = Reshape(p, flat)
      e = Div(f, root)
      erf = Erf(e)
      up = Add(erf, one)
      g1 = Mul(f, up)
      g2 = Mul(g1, half)
      y = Gemm<transB=1>(g2, fc)
      shape = Shape(x)
      axis = Constant<value_int=0>()
      first = Gather(shape, axis)
      k = Unsqueeze(first, s)
      m = local.twice(k)
      z = ConstantOfShape(m)
    }
    <domain: "local", opset_import: ["" : 17]> twice (a) => (b) { b = Add(a, a) }""",
    """<ir_version: 8, opset_import: ["" : 13]>
    g (bool c, float[1,4,6] x, float[1,1,5] h) => (float[1,4,6] y, float t)
    <float[1,20,6] w, float[1,20,5] r, int64[1] start = {0}, int64[1] stop = {3}, int64[3] rep = {1, 2, 1}> {
      a = If(c) <then_branch = t1 () => (float[1,4,6] u) { u = Relu(x) },
                 else_branch = t2 () => (float[1,4,6] v) { v = Sigmoid(x) }>
      m = ReduceMean<axes=[-1], keepdims=1>(a)
      d = Sub(a, m)
      v2 = Mul(d, d)
      v3 = ReduceMean<axes=[-1], keepdims=1>(v2)
      sd = Sqrt(v3)
      ln = Div(d, sd)
      cut = Slice(ln, start, stop)
      tile = Tile(cut, rep)
      tr = Transpose<perm=[1,0,2]>(x)
      lstm = LSTM<hidden_size=5>(tr, w, r)
      sm = Softmax<axis=-1>(ln)
      mm = Identity(sm)
      y = MaxPool<kernel_shape=[1]>(mm)
      t = ReduceSum<keepdims=0>(y)
    }""",
)
NAMES = ("", "x", "y", "w", "ghost", "\x1b[31m", "a\nb", "c", "[bold]")
INTEGERS = st.one_of(
    st.sampled_from([0, 1, -1, 2, 5, 255, -(1 << 63), (1 << 63) - 1, 1 << 31]), st.integers(-9, 9)
)
OPS = sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain} | {"Odd", ""})
Draw = Any


def sound(source: str) -> onnx.ModelProto:
    """A source with values for the weights that it only declares."""
    model = parser.parse_model(source)
    for value in model.graph.value_info:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, value.name))
    del model.graph.value_info[:]
    return model


def nodes_of(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    found = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    for node in model.graph.node:
        for attribute in node.attribute:
            found.extend(attribute.g.node)
    return found


def rename(model: onnx.ModelProto, draw: Draw) -> None:
    node = draw(st.sampled_from(nodes_of(model)))
    ends = draw(st.sampled_from([node.input, node.output]))
    names = (*NAMES, *(name for other in model.graph.node for name in (*other.input, *other.output)))
    if ends:
        ends[draw(st.integers(0, len(ends) - 1))] = draw(st.sampled_from(names))


def resize_ends(model: onnx.ModelProto, draw: Draw) -> None:
    node = draw(st.sampled_from(nodes_of(model)))
    ends = draw(st.sampled_from([node.input, node.output]))
    if ends and draw(st.booleans()):
        del ends[draw(st.integers(0, len(ends) - 1)) :]
    else:
        ends.extend(draw(st.lists(st.sampled_from(NAMES), max_size=4)))


def change_op(model: onnx.ModelProto, draw: Draw) -> None:
    node = draw(st.sampled_from(nodes_of(model)))
    node.op_type = draw(st.sampled_from(OPS))
    node.domain = draw(st.sampled_from(["", "", "", "ai.onnx", "com.microsoft", "local"]))


def change_attribute(model: onnx.ModelProto, draw: Draw) -> None:
    node = draw(st.sampled_from(nodes_of(model)))
    known = [a.name for a in node.attribute] or ["axis"]
    schema_names = [
        "axis",
        "axes",
        "perm",
        "to",
        "mode",
        "value",
        "group",
        "pads",
        "keepdims",
        "alpha",
        "epsilon",
    ]
    name = draw(st.sampled_from([*known, *schema_names]))
    kept = [a for a in node.attribute if a.name != name]
    value = draw(
        st.one_of(
            INTEGERS,
            st.lists(INTEGERS, min_size=1, max_size=5),
            st.floats(width=32),
            st.lists(st.floats(width=32), min_size=1, max_size=3),
            st.sampled_from(["", "cubic", "\x1b"]),
        )
    )
    made = helper.make_attribute(name, value)
    made.type = draw(st.sampled_from([made.type] * 4 + list(AttributeProto.AttributeType.values())))
    made.ref_attr_name = draw(st.sampled_from(["", "", "", "which"]))
    del node.attribute[:]
    node.attribute.extend([*kept, made] if draw(st.booleans()) else kept)


def change_type(model: onnx.ModelProto, draw: Draw) -> None:
    values = [*model.graph.input, *model.graph.output]
    kind = draw(st.sampled_from(values)).type
    choice = draw(st.integers(0, 4))
    if choice == 0:
        kind.Clear()
    elif choice == 1:
        kind.sequence_type.elem_type.tensor_type.elem_type = 1
    elif choice == 2:
        kind.tensor_type.ClearField("shape")
    elif choice == 3:
        kind.tensor_type.elem_type = draw(st.integers(-1, 40))
    else:
        dims = kind.tensor_type.shape.dim
        del dims[:]
        for size in draw(st.lists(INTEGERS, max_size=7)):
            if draw(st.booleans()):
                dims.add().dim_value = size
            else:
                dims.add().dim_param = draw(st.sampled_from(["", "None", "N", "\x1b[1m", "unk__0"]))


def change_tensor(model: onnx.ModelProto, draw: Draw) -> None:
    if not model.graph.initializer:
        return
    tensor = draw(st.sampled_from(list(model.graph.initializer)))
    choice = draw(st.integers(0, 4))
    if choice == 0:
        tensor.data_type = draw(st.integers(0, 30))
    elif choice == 1:
        del tensor.dims[:]
        tensor.dims.extend(draw(st.lists(INTEGERS, max_size=4)))
    elif choice == 2:
        tensor.raw_data = draw(st.binary(max_size=40))
    elif choice == 3:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(
            key="location", value=draw(st.sampled_from(["", "w.bin", "../w", "/w", "\0"]))
        )
        tensor.external_data.add(
            key="offset", value=draw(st.sampled_from(["", "-1", "x", "99999999999999999999"]))
        )
    else:
        tensor.name = draw(st.sampled_from(NAMES))


def change_model(model: onnx.ModelProto, draw: Draw) -> None:
    choice = draw(st.integers(0, 5))
    if choice == 0:
        del model.opset_import[:]
    elif choice == 1:
        model.opset_import[:1] and setattr(model.opset_import[0], "version", draw(INTEGERS))
    elif choice == 2:
        model.ir_version = draw(INTEGERS)
    elif choice == 3:
        del model.graph.node[draw(st.integers(0, len(model.graph.node) - 1))]
    elif choice == 4:
        model.graph.node.add().CopyFrom(draw(st.sampled_from(list(model.graph.node))))
    else:
        model.graph.node.reverse()


CHANGES = (rename, resize_ends, change_op, change_attribute, change_type, change_tensor, change_model)
OPTIONS = (
    (),
    ("--runtime", "htp,dsp,aip", "--quantize"),
    ("--runtime", "gpu_float16", "-b", "1"),
    ("-n", "-d", "x", "1,3,8,8", "-s", "N", "2"),
    ("--quantize",),
)


@st.composite
def damaged(draw: st.DrawFn) -> onnx.ModelProto:
    model = sound(draw(st.sampled_from(SOURCES)))
    for _ in range(draw(st.integers(1, 5))):
        draw(st.sampled_from(CHANGES))(model, draw)
        if not model.graph.node:
            break
    return model


@settings(max_examples=150)
@given(model=damaged(), options=st.sampled_from(OPTIONS))
def test_a_damaged_model_gets_findings(
    tmp_path_factory: pytest.TempPathFactory, model: onnx.ModelProto, options: tuple[str, ...]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    path, report = folder / "m.onnx", folder / "report.json"
    path.write_bytes(model.SerializeToString())
    said = StringIO()
    with redirect_stderr(said):
        status = main(["check", "--isolated", "--format", "json", "-o", str(report), *options, str(path)])
    if status == 2:  # options that name what the damage took
        assert "-d" in options
        assert re.fullmatch(
            r"dlclint: error: .*--(input-dim|define-symbol) names '[xN]', .*\n", said.getvalue()
        )
        return
    assert status in (0, 1)
    findings = json.loads(report.read_text("utf-8"))["files"][0]["findings"]
    assert [item for item in findings if item["rule"] == "engine/crashed-rule"] == []
    assert all(item["message"].isprintable() for item in findings)


@pytest.mark.parametrize("source", SOURCES, ids=["convolutions", "sequences"])
def test_the_sources_are_models(tmp_path: Path, source: str) -> None:
    """Damage is only telling where what is damaged was sound."""
    path = tmp_path / "m.onnx"
    path.write_bytes(sound(source).SerializeToString())
    report = tmp_path / "report.json"
    main(["check", "--isolated", "--format", "json", "-o", str(report), str(path)])
    rules = {item["rule"] for item in json.loads(report.read_text("utf-8"))["files"][0]["findings"]}
    assert "model/dangling-input" not in rules
    assert "model/unreadable" not in rules
