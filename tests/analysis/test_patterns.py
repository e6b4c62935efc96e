"""GELU, HardSwish and layer normalization in every way of writing them, and near misses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dlclint.analysis.matching.patterns import find_patterns
from dlclint.model.evaluation.values import Values
from dlclint.model.graph import Model

Array = np.ndarray[Any, Any]


class Writer:
    """A graph in the making, whose choices hypothesis draws."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def scalar(self, value: float) -> str:
        """A constant: an initializer or a Constant node, of rank 0 or 1."""
        array = np.array([value] if self.choose(True, False) else value, np.float32)
        if self.choose(True, False):
            return self.add("Constant", value=numpy_helper.from_array(array))
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def either_way(self, op: str, one: str, other: str) -> str:
        """A commutative op with its operands in either order."""
        return self.add(op, *self.choose((one, other), (other, one)))

    def times(self, x: str, factor: float) -> str:
        """A product with a constant, or the quotient that is the same."""
        if self.choose(True, False):
            return self.add("Div", x, self.scalar(1 / factor))
        return self.either_way("Mul", x, self.scalar(factor))

    def gelu(self, x: str, root: float = math.sqrt(2), half: float = 0.5) -> str:
        one = self.either_way("Add", self.add("Erf", self.times(x, 1 / root)), self.scalar(1.0))
        variant = self.choose("half of x", "half first", "half last")
        if variant == "half of x":
            return self.either_way("Mul", one, self.times(x, half))
        if variant == "half first":
            return self.either_way("Mul", self.times(one, half), x)
        return self.times(self.either_way("Mul", one, x), half)

    def hard_swish(self, x: str, offset: float = 3.0) -> str:
        if offset == 3.0 and self.choose(True, False):
            return self.either_way("Mul", x, self.add("HardSigmoid", x, alpha=1 / 6, beta=0.5))
        plus = self.either_way("Add", x, self.scalar(offset))
        clip = self.add("Clip", plus, self.scalar_bound(0.0), self.scalar_bound(6.0))
        if self.choose(True, False):
            return self.either_way("Mul", self.times(clip, 1 / 6), x)
        return self.times(self.either_way("Mul", clip, x), 1 / 6)

    def scalar_bound(self, value: float) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def layer_norm(self, x: str, power: float = 2.0) -> str:
        center = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        if power == 2.0 and self.choose(True, False):
            square = self.add("Mul", center, center)
        else:
            square = self.add("Pow", center, self.scalar(power))
        plus = self.either_way("Add", self.add("ReduceMean", square, axes=[-1]), self.scalar(1e-5))
        root = self.add("Sqrt", plus) if self.choose(True, False) else self.add("Pow", plus, self.scalar(0.5))
        return self.add("Div", center, root)

    def model(self, output: str) -> onnx.ModelProto:
        shape = [2, 3, 8]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", output)]
        graph = helper.make_graph(self.nodes, "g", ends[:1], ends[1:], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def erf(x: Array) -> Array:
    return np.vectorize(math.erf)(x)


def normalized(x: Array) -> Array:
    center = x - x.mean(-1, keepdims=True)
    return np.asarray(center / np.sqrt((center**2).mean(-1, keepdims=True) + 1e-5))


FORMULAS: dict[str, Callable[[Array], Array]] = {
    "Gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "HardSwish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "LayerNorm": normalized,
}


def layers(model: onnx.ModelProto) -> list[str]:
    return [pattern.layer for pattern in find_patterns(Model(model, Path("m.onnx"), {}, (), Values()))]


@st.composite
def networks(draw: st.DrawFn) -> tuple[onnx.ModelProto, list[str]]:
    """A chain of patterns with other nodes between them, and what it is made of."""
    writer = Writer(draw)
    last, outputs = "x", []
    for _ in range(draw(st.integers(1, 4))):
        layer = writer.choose("Gelu", "HardSwish", "LayerNorm", "")
        if layer == "":
            last = writer.add(writer.choose("Tanh", "Sigmoid", "Neg", "Identity"), last)
        else:
            build = {"Gelu": writer.gelu, "HardSwish": writer.hard_swish, "LayerNorm": writer.layer_norm}[
                layer
            ]
            last = build(last)
            outputs.append(layer)
    if not writer.nodes:
        last = writer.add("Neg", last)
    return writer.model(last), outputs


@given(networks())
def test_every_way_of_writing_is_found_once(network: tuple[onnx.ModelProto, list[str]]) -> None:
    model, outputs = network
    assert layers(model) == outputs


@given(st.data(), st.sampled_from(sorted(FORMULAS)))
def test_what_is_written_here_is_the_layer(data: st.DataObject, layer: str) -> None:
    """So that the test above tests what it says."""
    writer = Writer(data.draw)
    build = {"Gelu": writer.gelu, "HardSwish": writer.hard_swish, "LayerNorm": writer.layer_norm}[layer]
    model = writer.model(build("x"))
    x = np.random.default_rng(0).normal(0, 3, (2, 3, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_allclose(session.run(None, {"x": x})[0], FORMULAS[layer](x), atol=1e-4)


@given(st.data())
def test_near_misses_are_none(data: st.DataObject) -> None:
    writer = Writer(data.draw)
    last = writer.choose(
        lambda: writer.gelu("x", root=1.5),
        lambda: writer.gelu("x", half=0.25),
        lambda: writer.hard_swish("x", offset=2.5),
        lambda: writer.layer_norm("x", power=3.0),
    )()
    assert layers(writer.model(last)) == []


@given(st.data())
def test_a_part_that_is_read_elsewhere_breaks_a_gelu(data: st.DataObject) -> None:
    """The converter cannot remove what something else reads."""
    writer = Writer(data.draw)
    result = writer.gelu("x")
    erf_output = next(node.output[0] for node in writer.nodes if node.op_type == "Erf")
    last = writer.add("Add", result, writer.add("Neg", erf_output))
    assert layers(writer.model(last)) == []
