"""Small networks that the tests of simulation share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.simulate.evaluating import Evaluator
from dlclint.simulate.folding import folded_network
from dlclint.simulate.network import network_of
from dlclint.simulate.running import Runner
from dlclint.target import DlcKind, Runtime, Target

HEAD = '<ir_version: 8, opset_import: ["": 17]>'
YOLO = """yolo (float[1,4,64] boxes, float[1,8,64] logits) => (float[1,12,64] out)
<float stride = {32}> { p = Mul(boxes, stride) s = Sigmoid(logits) out = Concat<axis=1>(p, s) }"""

SMALL_RANGES = """small (float[1,64] x) => (float[1,64] y, float[1,64] z)
<float tenth = {0.1}, float one = {1}>
{ h = Sigmoid(x) v = Mul(h, tenth) y = Reciprocal(v) e = Add(h, one) z = Log(e) }"""
"""Reciprocal of 0.01 to 0.1, and Log of 1 to 2, which HTP computes only on wider grids."""


def saved(tmp_path: Path, body: str, weights: dict[str, np.ndarray] | None = None) -> Path:
    """A model in text form, with weights added as initializers, as a file."""
    model = parser.parse_model(f"{HEAD} {body}")
    for name, values in (weights or {}).items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    return path


def small_conv(tmp_path: Path, seed: int = 0) -> Path:
    """Conv, BatchNormalization, Relu, MaxPool, a depthwise Conv with HardSwish, pooling and Gemm."""
    random = np.random.default_rng(seed)
    shapes = {
        "w1": (8, 3, 3, 3), "gamma": (8,), "beta": (8,), "mean": (8,), "variance": (8,),
        "w2": (8, 1, 3, 3), "b2": (8,), "w3": (10, 8), "b3": (10,),
    }  # fmt: skip
    weights = {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["variance"] = np.abs(weights["variance"]) + np.float32(0.5)
    body = """net (float[1,3,16,16] x) => (float[1,10] y) {
      a = Conv<pads=[1,1,1,1]>(x, w1)
      n = BatchNormalization(a, gamma, beta, mean, variance)
      r = Relu(n)
      m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
      d = Conv<group=8, pads=[1,1,1,1]>(m, w2, b2)
      h = HardSwish(d)
      g = GlobalAveragePool(h)
      f = Flatten(g)
      y = Gemm<transB=1>(f, w3, b3)
    }"""
    return saved(tmp_path, body, weights)


UNEQUAL = """g (float[1,4,6,6] x) => (float[1,6,6,6] y) {
  a = Conv<kernel_shape=[1,1]>(x, w1, b1) r = Relu(a) c = Conv<kernel_shape=[1,1]>(r, w2, b2) y = Relu(c) }"""


def unequal(tmp_path: Path) -> Path:
    """Two convolutions whose channels differ a thousand times, and undo it."""
    random = np.random.default_rng(5)
    spread = np.logspace(-1.5, 1.5, 8)[:, np.newaxis]
    w1, w2 = random.normal(0, 1, (8, 4)) * spread, random.normal(0, 1, (6, 8)) / spread.T
    weights = {"w1": w1.reshape(8, 4, 1, 1), "w2": w2.reshape(6, 8, 1, 1)}
    weights |= {"b1": random.normal(0, 0.1, 8), "b2": random.normal(0, 0.1, 6)}
    return saved(tmp_path, UNEQUAL, {name: values.astype(np.float32) for name, values in weights.items()})


def evaluator_of(path: Path) -> Evaluator:
    """An evaluator of a model's folded network."""
    view = ModelView(read(path), Target((Runtime.HTP,), kind=DlcKind(True)))
    network = network_of(view)
    runner = Runner(network)
    return Evaluator(folded_network(network, runner), runner)


def inputs(path: Path, seed: int = 0) -> dict[str, np.ndarray]:
    """Normal values for every input."""
    random = np.random.default_rng(seed)
    feed = {}
    for value in onnx.load(path).graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feed[value.name] = random.normal(size=shape).astype(kind)
    return feed
