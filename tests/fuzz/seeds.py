"""Sound inputs that the mutations start from: the fixtures of the rules, and networks with much in them."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

TESTS = Path(__file__).parent.parent
NETWORKS = (
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
    """<ir_version: 8, opset_import: ["" : 13]>
    g (float[1,3,8,8] x) => (float[1,6,8,8] y)
    <float[8,3,1,1] w1, float[8] b1 = {1, -2, 3, 0, 1, 1, 90, 1}, float[8,1,3,3] w2, float[6,8,1,1] w3> {
      a = Conv(x, w1, b1)
      r = Relu(a)
      d = Conv<group=8, pads=[1,1,1,1]>(r, w2)
      s = Relu(d)
      y = Conv(s, w3)
    }""",
)
"""Operators of every kind: convolutions and functions, sequences and bodies, a chain to equalize."""
CONFIGURATION = """\
select = ["ops", "batch", "encodings"]
ignore = ["ops/pattern-only"]
fail-on = "warning"

[[models]]
path = "*.onnx"
runtime = ["htp", "dsp"]
soc = "SM8650"
quantize = true
act-bitwidth = 16
weights-bitwidth = 8
simplify = false
batch = 1
sdk = "snpe-2025-06"
input-dim = { x = [1, 3, 8, 8] }
define-symbol = { N = 1 }
input-encoding = { x = "rgb" }
input-type = { x = "image" }

[[ignores]]
rule = "ops/unsupported"
path = "models/**"
reason = "known"
"""


def network(text: str) -> onnx.ModelProto:
    """A model from text, with values for the weights that the text only declares."""
    model = parser.parse_model(text)
    for value in model.graph.value_info:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, value.name))
    del model.graph.value_info[:]
    return model


def _fixtures(pattern: str) -> list[Path]:
    return sorted((TESTS / "fixtures").glob(pattern))


@functools.cache
def models() -> Sequence[bytes]:
    """Networks and fixtures as .onnx bytes, the networks as often as all fixtures of a family."""
    warnings.simplefilter("ignore")  # onnx calls its own text form experimental
    serialized = []
    for path in _fixtures("*/*/*.onnxtxt"):
        text = path.read_text("utf-8")
        if text.startswith("#"):
            text = text.partition("\n")[2]
        try:
            serialized.append(parser.parse_model(text).SerializeToString())
        except parser.ParseError:
            continue  # a fixture of what cannot be read
    return tuple(serialized + [network(text).SerializeToString() for text in NETWORKS] * 12)


@functools.cache
def overrides() -> Sequence[tuple[bytes, bytes]]:
    """Override files, each with its model (b"" where it has none)."""
    collected = []
    for path in [*_fixtures("encodings/*/*.json"), *_fixtures("precision/*/*.json")]:
        model = path.with_suffix(".onnxtxt")
        binary = b""
        if model.exists():
            text = model.read_text("utf-8")
            binary = parser.parse_model(text.partition("\n")[2] if text.startswith("#") else text)
            binary = binary.SerializeToString()
        collected.append((path.read_bytes(), binary))
    return tuple(collected)


@functools.cache
def parsed_overrides() -> Sequence[object]:
    """The override files that are JSON, parsed."""
    parsed = []
    for data, _ in overrides():
        try:
            parsed.append(json.loads(data))
        except ValueError:
            continue
    return tuple(parsed)
