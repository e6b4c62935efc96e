"""Estimated ranges of a model's activations, op by op from its normalizations on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from dlclint.analysis.activations.asked import OnDemand
from dlclint.analysis.activations.estimate import (
    Basis,
    Estimate,
    Floats,
    added,
    affine,
    bounded_estimate,
    clipped,
    leaky,
    mixed,
    multiplied,
    normal,
    single,
    through,
)
from dlclint.analysis.activations.products import through_product
from dlclint.analysis.activations.weighted import through_weights
from dlclint.analysis.folding import NodeKey
from dlclint.analysis.matching.gates import gate_of
from dlclint.analysis.matching.patterns import Pattern
from dlclint.analysis.matching.terms import clip_bounds
from dlclint.analysis.norms import divides_by_own_rms
from dlclint.analysis.roles import vector
from dlclint.analysis.weights.store import Weights
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import (
    ADDITIONS,
    CLIPPING,
    FACTORS,
    MOVES_ONE,
    NORMALIZATIONS,
    POOLS,
    RESHAPES,
    SUMS,
    UNCHANGED,
    WEIGHTED_OPS,
)
from dlclint_schemas.outputs import bounded_outputs
from dlclint_schemas.quantization import quantization_facts

_ERF = np.frompyfunc(math.erf, 1, 1)


def _erf(x: Floats) -> Floats:
    return np.asarray(_ERF(x), dtype=np.float64)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def _softplus(x: Floats) -> Floats:
    return np.logaddexp(x, 0.0)


def _gelu(x: Floats) -> Floats:
    return 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0)))


def _hard_swish(x: Floats) -> Floats:
    return x * np.clip(x / 6.0 + 0.5, 0.0, 1.0)


_UNARY: Mapping[str, Callable[[Floats], Floats]] = {
    "Abs": np.abs,
    "Erf": _erf,
    "Exp": np.exp,
    "Gelu": _gelu,
    "HardSwish": _hard_swish,
    "Mish": lambda x: x * np.tanh(_softplus(x)),
    "Neg": np.negative,
    "Sigmoid": _sigmoid,
    "Softplus": _softplus,
    "Softsign": lambda x: x / (1.0 + np.abs(x)),
    "Sqrt": lambda x: np.sqrt(np.maximum(x, 0.0)),
    "Tanh": np.tanh,
}
_KEEP_CHANNELS = frozenset({*UNCHANGED, "Cast", *POOLS})
_POOL_ALL = frozenset({"GlobalAveragePool", "GlobalMaxPool"})
_MOVERS = MOVES_ONE | {"ReduceMean", "ReduceMax", "ReduceMin", "Upsample"}
"""Ops whose output holds values of their input, or means or maxima of some, which keeps the range.

The moments of means and maxima differ from those of the values; they are not computed."""


def activation_ranges(
    graph: Graph,
    folded: frozenset[NodeKey],
    patterns: Sequence[Pattern],
    weights: Weights,
    moments: Sequence[tuple[str, float, float]] = (),
) -> Mapping[str, Estimate]:
    """An estimate, by name, for every tensor of a model's main graph where one is possible, on request.

    `moments` are mean and standard deviation of inputs.

    Nothing else is known about the inputs, so without moments tensors before the first normalization have no
    estimate, unless their op bounds them.
    """
    walk = _Walk(weights, {max(pattern.nodes): pattern for pattern in patterns})
    for name, mean, deviation in moments:
        walk.found[name] = normal(np.array([mean]), np.array([deviation]), Basis.STATED)
    nodes = [node for node in graph.nodes if node.key not in folded and not node.domain]
    return OnDemand(nodes, walk.visit, walk.needs, walk.found)


_HELD = 1 << 22
"""Channels whose estimates are held for one graph; more are estimated as whole tensors. This bounds memory:
large networks have some hundred thousand."""
_SAMPLED, _SAMPLED_AT_ONCE = 1 << 18, 1 << 14
"""Channels for which a smooth function is sampled, in one graph and for one node; this bounds time."""


class _Walk:
    """The estimates so far."""

    def __init__(self, weights: Weights, fused: Mapping[NodeKey, Pattern]) -> None:
        self.weights = weights
        self.fused = fused
        self.found: dict[str, Estimate] = {}
        self._stored: dict[tuple[str, int, int | None], Estimate | None] = {}
        """Constants by name, number of channels, and rank of the output of the op that reads them."""
        self._held, self._sampled = _HELD, _SAMPLED

    @cached_property
    def fixed(self) -> dict[str, tuple[float, float]]:
        """The ranges that quantizers give the outputs of some ops, whatever their inputs."""
        return {
            op: (float(low), float(high))
            for op, (low, high) in quantization_facts()["aimet_htp_config"]["fixed_ranges"].items()
        }

    def needs(self, node: Node) -> Iterable[str]:
        """The tensors whose estimates `visit` reads."""
        pattern = self.fused.get(node.key)
        if node.op_type in NORMALIZATIONS or node.op_type == "Softmax":
            return ()
        if pattern is None:
            return node.inputs
        return () if pattern.layer == "LayerNorm" else (pattern.source, *node.inputs)

    def visit(self, node: Node) -> None:
        with np.errstate(all="ignore"):
            estimate = self.fused_end(node) or self.estimate(node)
            if estimate is None or not math.isfinite(estimate.maximum - estimate.minimum):
                return
            if (estimate.low > estimate.high).any():
                return
            if estimate.channels > 1:
                self._held -= estimate.channels
                estimate = estimate if self._held >= 0 else estimate.whole()
        self.found.update((output, estimate) for output in node.outputs if output)

    def through(self, estimate: Estimate, function: Callable[[Floats], Floats]) -> Estimate:
        """Apply a smooth function by channel while that is cheap, else to the whole tensor."""
        if estimate.channels > 1:
            self._sampled -= estimate.channels
            if self._sampled < 0 or estimate.channels > _SAMPLED_AT_ONCE:
                estimate = estimate.whole()
        return through(estimate, function)

    def fused_end(self, node: Node) -> Estimate | None:
        pattern = self.fused.get(node.key)
        if pattern is None:
            return None
        if pattern.layer == "LayerNorm":
            return normal(np.zeros(1), np.ones(1), Basis.NORMALIZATION)
        estimate = self.found.get(pattern.source)
        return None if estimate is None else self.through(estimate, _UNARY[pattern.layer])

    def estimate(self, node: Node) -> Estimate | None:
        op, graph = node.op_type, node.graph
        input_estimate = self.found.get(node.input(0))
        if op in NORMALIZATIONS:
            return _normalized(node)
        if op == "Softmax":
            return bounded_estimate(*self.fixed["Softmax"])
        if op in _UNARY and (op in self.fixed or op in bounded_outputs()):
            low, high = self.fixed.get(op) or bounded_outputs()[op]
            return (
                bounded_estimate(low, high)
                if input_estimate is None
                else _within(self.through(input_estimate, _UNARY[op]), low, high)
            )
        if op == "HardSigmoid":
            return (
                bounded_estimate(*bounded_outputs()[op])
                if input_estimate is None
                else self.through(input_estimate, _hard_sigmoid(node))
            )
        if op in CLIPPING:
            return _clip(node, input_estimate)
        if op == "MatMul" and graph.constant(node.input(1)) is None:
            return through_product(node, self.found)
        if op in WEIGHTED_OPS:
            return through_weights(node, input_estimate, self.weights)
        if op == "Gather" and input_estimate is None and graph.constant(node.input(0)) is not None:
            return self.operand(node, 0, 1)
        if op == "Concat":
            return self.concat(node)
        if op in (*SUMS, *FACTORS):
            return self.arithmetic(node)
        if input_estimate is None:
            return None
        if op in ("LeakyRelu", "PRelu"):
            return _leaky(node, input_estimate)
        if op in _UNARY:
            return self.through(input_estimate, _UNARY[op])
        if op in _POOL_ALL:
            return input_estimate
        if op == "LRN":
            # Divided by (bias + ...) to a power, where the rest of the sum is positive.
            return input_estimate.whole() if float(node.attribute("bias", 1.0)) >= 1.0 else None
        if op == "Pad":
            return replace(
                input_estimate,
                low=np.minimum(input_estimate.low, 0.0),
                high=np.maximum(input_estimate.high, 0.0),
            )
        if op == "Resize":
            return input_estimate if node.attribute("mode") != "cubic" else None
        if op in _KEEP_CHANNELS:
            return input_estimate
        return _moved(graph, node, input_estimate) if op in _MOVERS else None

    def operand(self, node: Node, position: int, channels: int) -> Estimate | None:
        """An activation's estimate, or a constant as an estimate."""
        name = node.input(position)
        estimate = self.found.get(name)
        if estimate is not None:
            return estimate
        key = name, channels, node.graph.rank(next(filter(None, node.outputs), ""))
        if key not in self._stored:
            self._stored[key] = self.constant(node, name, channels)
        return self._stored[key]

    def constant(self, node: Node, name: str, channels: int) -> Estimate | None:
        """A constant as an estimate, by channel where a node applies it so."""
        small = vector(node.graph, name)
        if small is not None and small.size:
            size = _by_channel(node, small.shape, channels)
            if size:
                values = small.reshape(size)
                return Estimate(values, np.zeros(size), values, values, Basis.BOUND)
            ends = float(small.min()), float(small.max())
            return single(float(small.mean()), float(small.std()), *ends, Basis.BOUND)
        statistics = self.weights.statistics(node.graph, name)
        if statistics is None or not statistics.finite:
            return None
        mean = float(statistics.sample.astype(np.float64).mean())
        deviation = math.sqrt(max(0.0, statistics.mean_square - mean * mean))
        return single(mean, deviation, statistics.minimum, statistics.maximum, Basis.BOUND)

    def arithmetic(self, node: Node) -> Estimate | None:
        if divides_by_own_rms(node):
            return normal(np.zeros(1), np.ones(1), Basis.NORMALIZATION)
        known = [self.found[name] for name in node.inputs if name in self.found]
        if not known:
            return None
        channels = max(estimate.channels for estimate in known)
        operands = [self.operand(node, index, channels) for index in range(len(node.inputs))]
        gated = self.gated(node)
        if gated is not None:
            return gated
        parts = [part for part in operands if part is not None]
        if len(parts) != len(node.inputs) or not parts:
            return None
        if any(part.channels not in (1, channels) for part in parts):
            parts = [part.whole() for part in parts]
        total = parts[0]
        for part in parts[1:]:
            total = _combined(node.op_type, total, part)
        return total

    def gated(self, node: Node) -> Estimate | None:
        """x * Sigmoid(x) and similar products, whose factors are not independent."""
        x, gate = gate_of(node) or ("", node)
        if x not in self.found:
            return None
        if gate.op_type == "HardSigmoid":
            return self.through(self.found[x], _gate(_hard_sigmoid(gate)))
        if gate.op_type not in _UNARY:
            return None
        return self.through(self.found[x], _gate(_UNARY[gate.op_type]))

    def concat(self, node: Node) -> Estimate | None:
        parts = [self.operand(node, index, 1) for index in range(len(node.inputs))]
        known = [part for part in parts if part is not None]
        if len(known) != len(parts) or not known:
            return None
        if node.attribute("axis") == 1:
            sizes = [_size(node.graph, name, 1) for name in node.inputs]
            counts = [size for size in sizes if size is not None and size > 0]
            fit = len(counts) == len(known) and all(
                part.channels in (1, size) for size, part in zip(counts, known, strict=True)
            )
            if fit and sum(counts) <= self._held:
                wide = [part.spread(size) for size, part in zip(counts, known, strict=True)]
                return Estimate(
                    np.concatenate([part.mean for part in wide]),
                    np.concatenate([part.deviation for part in wide]),
                    np.concatenate([part.low for part in wide]),
                    np.concatenate([part.high for part in wide]),
                    max(part.basis for part in wide),
                    all(part.known for part in wide),
                )
        return mixed([part.whole() for part in known])


def _combined(op: str, one: Estimate, other: Estimate) -> Estimate:
    fixed = not other.deviation.any() and other.known and np.array_equal(other.low, other.high)
    if op in ADDITIONS:
        if fixed:
            return affine(one, np.ones(1), other.mean)
        if not one.deviation.any() and one.known and np.array_equal(one.low, one.high):
            return affine(other, np.ones(1), one.mean)
        return added(one, other)
    if op == "Sub":
        return added(one, affine(other, -np.ones(1), np.zeros(1)))
    if op == "Div":
        # The quotient by an activation that may be near zero is unknown.
        factor = np.where(other.mean != 0, 1.0 / np.where(other.mean != 0, other.mean, 1.0), np.nan)
        return affine(one, factor if fixed else np.full(1, np.nan), np.zeros(1))
    return affine(one, other.mean, np.zeros(1)) if fixed else multiplied(one, other)


def _within(estimate: Estimate, low: float, high: float) -> Estimate:
    """The estimate with the op's own, guaranteed bounds as the range."""
    size = estimate.channels
    return replace(estimate, low=np.full(size, low), high=np.full(size, high), basis=Basis.BOUND)


def _normalized(node: Node) -> Estimate | None:
    scale, bias = (vector(node.graph, node.input(position)) for position in (1, 2))
    if scale is None or (node.input(2) and bias is None):
        return None
    deviation = np.abs(scale.astype(np.float64).reshape(-1))
    mean = np.zeros_like(deviation) if bias is None else bias.astype(np.float64).reshape(-1)
    if not deviation.size or mean.shape != deviation.shape:
        return None
    if not (np.isfinite(deviation).all() and np.isfinite(mean).all()):
        return None
    estimate = normal(mean, deviation, Basis.NORMALIZATION)
    by_channel = node.op_type in ("BatchNormalization", "InstanceNormalization")
    return estimate if by_channel else estimate.whole()


def _hard_sigmoid(node: Node) -> Callable[[Floats], Floats]:
    alpha, beta = float(node.attribute("alpha", 0.2)), float(node.attribute("beta", 0.5))
    return lambda x: np.clip(alpha * x + beta, 0.0, 1.0)


def _gate(function: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    return lambda x: x * function(x)


def _clip(node: Node, estimate: Estimate | None) -> Estimate | None:
    low, high = clip_bounds(node)
    below = low is None and (node.has("min") or bool(node.input(1)))
    above = high is None and (node.has("max") or bool(node.input(2)))
    if node.op_type == "Clip" and (below or above):
        return None  # the bounds exist but are not stored
    ends = (-math.inf if low is None else low), (math.inf if high is None else high)
    if estimate is not None:
        return clipped(estimate, *ends)
    return bounded_estimate(*ends) if all(map(math.isfinite, ends)) else None


def _leaky(node: Node, estimate: Estimate) -> Estimate | None:
    if node.op_type == "LeakyRelu":
        return leaky(estimate, float(node.attribute("alpha", 0.01)))
    slope = vector(node.graph, node.input(1))
    if slope is None or slope.size not in (1, estimate.channels):
        return leaky(estimate.whole(), float(slope.max())) if slope is not None and slope.size else None
    return leaky(estimate, slope.astype(np.float64).reshape(-1))


def _moved(graph: Graph, node: Node, estimate: Estimate) -> Estimate:
    """The estimate after an op that moves values: channels are distinguished where they are still axis 1."""
    size = _size(graph, next(filter(None, node.outputs), ""), 1)
    kept = node.op_type in RESHAPES and size == estimate.channels
    before = graph.type_of(node.input(0))
    sizes = None if before is None else before.static_shape
    # For example [N, C, 1, 1] to [N, C].
    flat = sizes is not None and len(sizes) > 2 and math.prod(sizes[2:]) == 1
    return estimate if kept and flat else estimate.whole()


def _size(graph: Graph, name: str, axis: int) -> int | None:
    tensor_type = graph.type_of(name)
    if tensor_type is None or tensor_type.shape is None or len(tensor_type.shape) <= axis:
        return None
    size = tensor_type.shape[axis]
    return size if isinstance(size, int) else None


def _by_channel(node: Node, shape: tuple[int, ...], channels: int) -> int:
    """1 or `channels` if a constant has one value, or one per channel on axis 1 of the output; else 0."""
    if math.prod(shape) == 1:
        return 1
    rank = node.graph.rank(next(filter(None, node.outputs), ""))
    if rank is None or rank < 2 or len(shape) > rank:
        return 0
    aligned = (1,) * (rank - len(shape)) + tuple(shape)
    return channels if aligned[1] == channels and math.prod(aligned) == channels else 0
