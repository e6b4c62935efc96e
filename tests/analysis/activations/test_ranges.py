"""Estimated ranges against what ONNX Runtime computes on a network whose statistics are true."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from dlclint.analysis.activations.estimate import (
    Basis,
    Estimate,
    added,
    clipped,
    leaky,
    multiplied,
    normal,
    through,
)
from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.model.tensors import Array
from dlclint.target import Target

C = 12
QUANTILES = np.array([NormalDist().inv_cdf((index + 0.5) / 5000) for index in range(5000)])
"""A normal distribution at evenly spaced probabilities: no randomness."""


class Network:
    """A convolutional network in the making; `tensors` are its weights by name."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(5)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, Array] = {}

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        output = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def weight(self, values: Array) -> str:
        name = f"w{len(self.tensors)}"
        self.tensors[name] = values.astype(np.float32)
        return name

    def conv(self, x: str, op: str = "Conv", group: int = 1, **more: object) -> str:
        shape = (C, C // group, 3, 3)
        weight = self.weight(self.generator.normal(0, (9 * C / group) ** -0.5, shape))
        bias = self.weight(self.generator.normal(0, 0.1, C))
        return self.add(op, x, weight, bias, pads=[1, 1, 1, 1], group=group, **more)

    def norm(self, x: str) -> str:
        parts = (
            self.generator.uniform(0.3, 1.5, C),
            self.generator.normal(0, 0.5, C),
            np.zeros(C),
            np.ones(C),
        )
        return self.add("BatchNormalization", x, *map(self.weight, parts))

    def model(self, outputs: list[str]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, C, 32, 32])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.tensors.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def run(self, outputs: list[str], x: Array) -> dict[str, Array]:
        session = ort.InferenceSession(
            self.model(outputs).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        return dict(zip(outputs, session.run(outputs, {"x": x}), strict=True))

    def calibrate(self, x: Array) -> None:
        """Give every batch normalization the statistics of what it reads."""
        for node in self.nodes:
            if node.op_type == "BatchNormalization":
                read_by = self.run([node.input[0]], x)[node.input[0]]
                self.tensors[node.input[3]] = read_by.mean(axis=(0, 2, 3))
                self.tensors[node.input[4]] = read_by.var(axis=(0, 2, 3))


def network() -> Network:
    net = Network()
    x = net.add("Relu", net.norm(net.conv("x")))
    skip = x
    x = net.add("Clip", net.norm(net.conv(x)), net.weight(np.array(0.0)), net.weight(np.array(6.0)))
    x = net.norm(net.conv(x, group=C))
    x = net.add("Relu", net.add("Add", x, skip))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    wide = net.norm(net.conv(x, "ConvTranspose", strides=[2, 2], output_padding=[1, 1]))
    x = net.add("LeakyRelu", wide, alpha=0.2)
    x = net.add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    swish = net.add("HardSwish", net.norm(net.conv(x)))
    gate = net.norm(net.conv(swish))
    x = net.add("Mul", gate, net.add("Sigmoid", gate))
    x = net.add("Concat", x, swish, axis=1)
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    net.add("Tanh", net.add("Gemm", x, net.weight(net.generator.normal(0, 0.2, (2 * C, 5)))))
    return net


def test_ranges_cover_and_are_not_far_off(tmp_path: Path) -> None:
    net = network()
    data = np.random.default_rng(8).normal(size=(4, C, 32, 32)).astype(np.float32)
    net.calibrate(data)
    names = [node.output[0] for node in net.nodes]
    onnx.save(net.model(names[-1:]), tmp_path / "m.onnx")
    activations = ModelView(read(tmp_path / "m.onnx"), Target()).activations
    measured = net.run(names, np.random.default_rng(9).normal(size=data.shape).astype(np.float32))
    first = next(i for i, node in enumerate(net.nodes) if node.op_type == "BatchNormalization")
    assert set(activations) == set(names[first:])
    for name in names[first:]:
        estimate, values = activations[name], measured[name]
        inside = np.mean((values >= estimate.minimum - 1e-6) & (values <= estimate.maximum + 1e-6))
        assert inside >= (0.99 if estimate.basis is Basis.PROPAGATED else 0.9995), name
        ratio = (estimate.maximum - estimate.minimum) / np.ptp(values)
        averaged = name.startswith(("average", "global", "flatten", "gemm", "tanh"))
        # Six deviations are wider than what 50,000 normal values reach, four and a half; a mean over
        # an image is far narrower than the image, which its range is taken from.
        propagated = estimate.basis is Basis.PROPAGATED
        least, most = (0.5, 4.0) if propagated else (1.0, 2.6)
        assert least <= ratio < (60.0 if averaged else most), name
        # The largest of four values is larger than one of them: its moments are not followed.
        if estimate.known and not averaged and not propagated and not name.startswith("maxpool"):
            square = np.square(values, dtype=np.float64).mean()
            assert estimate.mean_square == pytest.approx(square, rel=0.5), name


FUNCTIONS: dict[str, tuple[Callable[[Estimate], Estimate], Callable[[Array], Array]]] = {
    "relu": (lambda e: clipped(e, 0.0, np.inf), lambda x: np.maximum(x, 0.0)),
    "relu6": (lambda e: clipped(e, 0.0, 6.0), lambda x: np.clip(x, 0.0, 6.0)),
    "clip": (lambda e: clipped(e, -1.0, 0.5), lambda x: np.clip(x, -1.0, 0.5)),
    "leaky": (lambda e: leaky(e, 0.1), lambda x: np.where(x < 0, 0.1 * x, x)),
    "tanh": (lambda e: through(e, np.tanh), np.tanh),
    "swish": (lambda e: through(e, lambda x: x / (1 + np.exp(-x))), lambda x: x / (1 + np.exp(-x))),
}


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(FUNCTIONS)), st.floats(-5, 5), st.floats(0, 4))
def test_moments_of_a_normal(name: str, mean: float, deviation: float) -> None:
    estimated, exact = FUNCTIONS[name]
    estimates = estimated(normal(np.array([mean]), np.array([deviation]), Basis.NORMALIZATION))
    values = exact(mean + deviation * QUANTILES)
    assert estimates.mean[0] == pytest.approx(values.mean(), abs=5e-3 * (1 + deviation))
    assert estimates.deviation[0] == pytest.approx(values.std(), abs=1e-2 * (1 + deviation))
    # The range is tried out in 257 places.
    assert estimates.minimum - 1e-3 <= values.min() and values.max() <= estimates.maximum + 1e-3


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.lists(st.floats(0, 2), min_size=2, max_size=2))
def test_sum_and_product_of_independent(means: list[float], deviations: list[float]) -> None:
    generator = np.random.default_rng(0)
    one, other = (
        normal(np.array([mean]), np.array([dev]), Basis.NORMALIZATION)
        for mean, dev in zip(means[:2], deviations, strict=True)
    )
    draws = generator.normal(size=(2, 40000))
    left, right = (mean + dev * draw for mean, dev, draw in zip(means[:2], deviations, draws, strict=True))
    for combined, values in ((added(one, other), left + right), (multiplied(one, other), left * right)):
        spread = 1 + np.abs(values).max()
        assert combined.mean[0] == pytest.approx(values.mean(), abs=0.02 * spread)
        assert combined.deviation[0] == pytest.approx(values.std(), abs=0.03 * spread)
        assert combined.minimum <= values.min() + 1e-9 and values.max() <= combined.maximum + 1e-9
        assert combined.basis is Basis.PROPAGATED


def test_sums_of_independent_activations_add_in_quadrature() -> None:
    """Deviations 3 and 4 make 5, and six deviations to either side 30; a plain sum would make 7 and 42."""
    one = normal(np.array([1.0]), np.array([3.0]), Basis.NORMALIZATION)
    other = normal(np.array([-3.0]), np.array([4.0]), Basis.NORMALIZATION)
    total = added(one, other)
    assert total.mean == [-2.0]
    assert total.deviation == [5.0]
    assert (total.low, total.high) == ([-32.0], [28.0])
