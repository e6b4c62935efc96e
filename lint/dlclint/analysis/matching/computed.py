"""GELU, HardSwish and layer normalization however they are spelled, recognized by what they compute.

Starting from a tensor, ops on it and on stored numbers are evaluated on sample values until a result is the
function's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from dlclint.model.evaluation.bounds import real_numbers
from dlclint.model.graph import Graph, Node
from dlclint.model.tensors import Array
from dlclint_schemas.record import record

_UP, _REGION = 6, 20
"""The maximum number of nodes from a seed up to the tensor it starts from, and in a whole subgraph."""
_READERS = 32
"""The readers of a tensor that are tried, so that the cost of all seeds that read it is linear."""
_INPUTS = 3
"""The most inputs that a node of these functions has: those of Clip."""
_CLOSE = 2e-5
"""The largest difference from the function that its spelling in float32 numbers may have."""


@record
class Computed:
    """A result that is a function of `source`: the layer's name, the node that computes it, a constant."""

    layer: str
    source: str
    last: Node
    epsilon: float = 0.0


def _erf(values: Array) -> Array:
    return np.array([math.erf(float(value)) for value in values.reshape(-1)]).reshape(values.shape)


def _gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _hard_swish(x: Array) -> Array:
    return np.asarray(x * np.clip(x + 3, 0, 6) / 6)


def _normalized(x: Array, epsilon: float) -> Array:
    centered = x - x.mean(-1, keepdims=True)
    return np.asarray(centered / np.sqrt((centered**2).mean(-1, keepdims=True) + epsilon))


_SAMPLE = np.concatenate([np.linspace(-8, 8, 60), [0.01, -0.01]]).reshape(2, 31)
_SEEDS = {
    "Erf": "Gelu", "Clip": "HardSwish", "HardSigmoid": "HardSwish", "HardSwish": "",
    "Sqrt": "LayerNorm", "Pow": "LayerNorm", "Reciprocal": "LayerNorm",
}  # fmt: skip
_BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power,
    "Min": np.minimum, "Max": np.maximum,
}  # fmt: skip
_UNARY: dict[str, Callable[[Array], Array]] = {
    "Neg": np.negative, "Erf": _erf, "Sqrt": np.sqrt, "Identity": np.asarray,
    "Reciprocal": lambda x: np.asarray(1 / x), "Relu": lambda x: np.maximum(x, 0), "Abs": np.abs,
}  # fmt: skip


def find_computed(seed: Node) -> Computed | None:
    """The function whose center a seed (Erf, Clip, HardSigmoid, Sqrt, Pow, Reciprocal) is, if any."""
    layer = _SEEDS.get(seed.op_type, "")
    if not layer or seed.domain or seed.graph.is_function:
        return None
    for source in _above(seed):
        computed = _function_of(seed, source, layer)
        if computed is not None:
            return computed
    return None


def _above(seed: Node) -> Iterator[str]:
    """Tensors that a seed depends on, nearest first."""
    graph, level, seen = seed.graph, [seed], {seed.index}
    for _ in range(_UP):
        names = [n for node in level for n in node.inputs if n and graph.constant(n) is None]
        yield from dict.fromkeys(names)
        makers = {
            m.index: m for name in names if (m := graph.producer(name)) is not None and m.graph is graph
        }
        level = [maker for index, maker in makers.items() if index not in seen and _is_simple(maker)]
        seen.update(node.index for node in level)


def _is_simple(node: Node) -> bool:
    if node.domain or len(node.inputs) > _INPUTS:
        return False
    known = node.op_type in _BINARY or node.op_type in _UNARY
    return known or node.op_type in ("Clip", "HardSigmoid", "ReduceMean")


def _function_of(seed: Node, source: str, layer: str) -> Computed | None:
    graph = seed.graph
    values: dict[str, Array] = {source: _SAMPLE}
    numbers: set[float] = set()
    pending, done, last = [*graph.consumers(source)[:_READERS]], set[int](), 0
    with np.errstate(all="ignore"):
        while pending and last < _REGION:
            node = min(pending, key=lambda candidate: candidate.index)
            pending.remove(node)
            if node.graph is not graph or node.index in done or not _is_simple(node):
                continue
            result = _evaluate(node, values, numbers)
            if result is None:
                continue
            done.add(node.index)
            last += 1
            output = node.outputs[0]
            values[output] = result
            pending.extend(graph.consumers(output)[:_READERS])
            epsilon = _agrees(layer, result, numbers)
            if epsilon is not None and seed.index in done and _follows(graph, output, seed):
                return Computed(layer, source, node, epsilon)
    return None


def _agrees(layer: str, result: Array, numbers: set[float]) -> float | None:
    """The function's small constant (0 where it has none) if the result is the function's, else None."""
    if result.shape != _SAMPLE.shape or not np.isfinite(result).all():
        return None
    if layer == "LayerNorm":
        small = [number for number in numbers if 0 < number < 1e-2]
        return next((e for e in small if np.abs(result - _normalized(_SAMPLE, e)).max() < _CLOSE), None)
    function = _gelu if layer == "Gelu" else _hard_swish
    return 0.0 if np.abs(result - function(_SAMPLE)).max() < _CLOSE else None


def _follows(graph: Graph, tensor: str, seed: Node) -> bool:
    """Whether a tensor depends on the seed."""
    pending, seen = [tensor], set[str]()
    while pending:
        maker = graph.producer(pending.pop())
        if maker is None or maker.graph is not graph:
            continue
        if maker.index == seed.index:
            return True
        if maker.index > seed.index:
            pending.extend(name for name in maker.inputs if name and name not in seen)
            seen.update(maker.inputs)
    return False


def _evaluate(node: Node, values: dict[str, Array], numbers: set[float]) -> Array | None:
    """A node's result on the samples; None where an input is neither a sample's nor a stored number."""
    inputs: list[Array | None] = []
    for name in node.inputs:
        value = values.get(name)
        if value is None and name:
            value = real_numbers(node.graph.small_value(name, limit=16))
            if value is None or not value.size or (value.size != 1 and node.op_type != "ReduceMean"):
                return None
            if value.size == 1:
                value = value.reshape(())
                numbers.add(float(value))
        inputs.append(value)
    first = inputs[0] if inputs else None
    if first is None:
        return None
    second = inputs[1] if len(inputs) > 1 else None
    if node.op_type in _BINARY:
        return None if second is None or len(inputs) != 2 else _BINARY[node.op_type](first, second)
    if node.op_type in _UNARY:
        return _UNARY[node.op_type](first)
    if node.op_type == "Clip":
        low = node.attribute("min") if node.has("min") else second
        high = node.attribute("max") if node.has("max") else inputs[2] if len(inputs) > 2 else None
        # An attribute that an op of this version does not have may be of any type.
        bounds = all(isinstance(bound, (int, float, np.ndarray)) for bound in (low, high))
        return np.asarray(np.clip(first, low, high)) if bounds else None
    if node.op_type == "HardSigmoid":
        line = node.attribute("alpha", 0.2) * first + node.attribute("beta", 0.5)
        return np.asarray(np.clip(line, 0, 1))
    if node.op_type == "ReduceMean" and node.attribute("keepdims", 1):
        axes = node.attribute("axes") if node.has("axes") else () if second is None else second.reshape(-1)
        rank = node.graph.rank(node.input(0))
        if not isinstance(axes, (list, tuple, np.ndarray)):
            return None
        if first.ndim and list(axes) in ([-1], [rank - 1 if rank else -1]):
            return np.asarray(first.mean(-1, keepdims=True))
    return None
