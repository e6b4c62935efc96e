"""What equalization would do to a model: the chains, their factors, and the effect on the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import onnx

from dlclint.analysis.cle.absorption import DEVIATIONS, HighBias, absorbed
from dlclint.analysis.cle.cells import CannotScale
from dlclint.analysis.cle.figures import Figures, chain_figures
from dlclint.analysis.cle.layers import Layer, read_layer
from dlclint.analysis.cle.matching import Pair
from dlclint.analysis.cle.scaling import (
    Effort,
    Flags,
    Scaled,
    equalizing_factors,
    input_factors,
    output_factors,
)
from dlclint.analysis.folding import NodeKey
from dlclint.analysis.weights.reading import for_each
from dlclint.analysis.weights.statistics import Floats
from dlclint.model.graph import Node
from dlclint.model.op_facts import CLIPPING
from dlclint_schemas.record import record


@record
class Link:
    """A pair in a chain: factors s, constants to absorb, and the range in between before and after.

    `range_before` and `range_after` are estimates of the largest activation, from the batch
    normalization (mean plus three deviations); None without one.
    """

    pair: Pair
    factors: Floats
    constants: Floats
    range_before: float | None
    range_after: float | None


@record
class EqualizedChain:
    """Convolutions that are equalized together."""

    layers: tuple[Layer, ...]
    links: tuple[Link, ...]
    scaled: Scaled
    before: tuple[Figures, ...]
    after: tuple[Figures, ...]

    @property
    def changes(self) -> bool:
        """Whether anything must be written."""
        return self.scaled.changes or any(bool(link.constants.any()) for link in self.links)

    def output_factors(self, position: int) -> Floats:
        """The factors of the output channels of a layer."""
        return output_factors(self.scaled.factors, position, self.layers[position].outputs)

    def input_factors(self, position: int) -> Floats:
        """The factors of the input channels of a layer."""
        return input_factors(self.scaled.factors, position, self.layers[position].inputs)


SETTLED = 0.05
"""Decibels below which a chain neither gains nor loses."""
_NO_NOISE = 1e-12


@record
class Refusal:
    """A pair that is not changed, and why."""

    pair: Pair
    reason: str


@record
class _Asked:
    """What to do with every chain."""

    high_bias: HighBias
    bitwidth: int
    effort: Effort


def planned_chains(
    pairs: Iterable[Pair],
    replace_relu6: bool,
    high_bias: HighBias,
    bitwidth: int = 8,
    effort: Effort | None = None,
) -> Iterator[EqualizedChain | Refusal]:
    """Compute the chains one by one, so that only one chain's numbers are held at a time.

    `bitwidth` is that of the weights, for the figures; `effort` bounds the search for factors.
    """
    asked = _Asked(high_bias, bitwidth, effort or Effort())
    following: dict[NodeKey, Pair] = {}
    for pair in pairs:
        if pair.relu6 and not replace_relu6:
            yield Refusal(pair, "ReLU6 lies between, which does not scale")
        elif pair.first.graph.is_function or pair.first.graph is not pair.second.graph:
            yield Refusal(pair, "it is in a model-local function")
        else:
            following[pair.first.key] = pair
    seconds = {pair.second.key for pair in following.values()}
    for start in [key for key in following if key not in seconds]:
        run: list[Pair] = []
        key = start
        while key in following:  # each pair once: names that are produced twice make a chain cyclic
            run.append(following.pop(key))
            key = run[-1].second.key
        yield from _chains(run, asked)


def _chains(run: list[Pair], asked: _Asked) -> Iterator[EqualizedChain | Refusal]:
    """A run of pairs, divided where a layer cannot be scaled."""
    layers: list[Layer] = []
    pairs: list[Pair] = []
    ends = [(run[0].first, run[0].norm), *((pair.second, pair.second_norm) for pair in run)]
    first, *rest = for_each(ends, [_nbytes(conv) for conv, _ in ends], lambda layer: _read(*layer))
    for pair, second in zip(run, rest, strict=True):
        reason = _unfit(pair, first, second)
        if not reason and isinstance(first, Layer) and isinstance(second, Layer):
            layers = layers or [first]
            layers.append(second)
            pairs.append(pair)
        else:
            yield Refusal(pair, reason)
            yield from _equalized(layers, pairs, asked)
            layers, pairs = [], []
        first = second
    yield from _equalized(layers, pairs, asked)


def _read(conv: Node, norm: Node | None) -> Layer | CannotScale:
    try:
        return read_layer(conv, norm)
    except CannotScale as error:
        return error


def _nbytes(conv: Node) -> int:
    weight = conv.graph.constant(conv.input(1))
    return 0 if weight is None else max(0, weight.nbytes)


def _unfit(pair: Pair, first: Layer | CannotScale, second: Layer | CannotScale) -> str:
    for node, layer_flags in ((pair.first, first), (pair.second, second)):
        if isinstance(layer_flags, CannotScale):
            return f"{node.op_type} {node.name or node.outputs[0]}: {layer_flags}"
    assert isinstance(first, Layer) and isinstance(second, Layer)
    if first.outputs != second.inputs:
        return f"the first has {first.outputs} output channels, the second {second.inputs} input channels"
    return ""


def _equalized(layers: list[Layer], pairs: list[Pair], asked: _Asked) -> Iterator[EqualizedChain | Refusal]:
    """The chain of these layers, or refusals where its weights together would lose.

    A chain is excluded as a whole: a second run on a part of it would find something else than the first run
    found for the chain. A weight that the file no longer returns as before is refused as well.
    """
    if not pairs:
        return
    try:
        chain = _chain(layers, pairs, asked)
    except CannotScale as error:
        yield from (Refusal(pair, str(error)) for pair in pairs)
        return
    gain = gained(*([figure.chain_sqnr for figure in figures] for figures in (chain.before, chain.after)))
    if gain > -SETTLED:
        yield chain
        return
    reason = f"its weights would keep {-gain:.1f} dB less at {asked.bitwidth} bits together"
    yield from (Refusal(pair, reason) for pair in pairs)


def gained(before: Iterable[float], after: Iterable[float]) -> float:
    """The gain of weights in dB: the ratio of total noise, each relative to its signal, before to after.

    `before` and `after` are the SQNRs of the weights.
    """
    noise = [max(sum(map(_noise, sqnrs)), _NO_NOISE) for sqnrs in (before, after)]
    return 10 * math.log10(noise[0] / noise[1])


def _noise(sqnr: float) -> float:
    return float(10 ** (-sqnr / 10))


def _chain(layers: list[Layer], pairs: list[Pair], asked: _Asked) -> EqualizedChain:
    weights = [layer.weight for layer in layers]
    asked.effort.grow(sum(weight.cells.tensor.count for weight in weights))
    halves = [a.is_half or b.is_half for a, b in pairwise(layers)]
    frozen: list[Flags] = [np.zeros(layer.outputs, bool) for layer in layers[:-1]]
    while True:
        scaled = equalizing_factors(weights, frozen, halves, asked.effort)
        overflows = [_overflows(layer, s) for layer, s in zip(layers, scaled.factors, strict=False)]
        if not any(bool(channels.any()) for channels in overflows):
            break
        frozen = [mask | channels for mask, channels in zip(frozen, overflows, strict=True)]
    links = tuple(
        _link(pair, layer, factors, absorbed(pair, layer, asked.high_bias))
        for pair, layer, factors in zip(pairs, layers, scaled.factors, strict=False)
    )
    return EqualizedChain(tuple(layers), links, scaled, *chain_figures(weights, scaled, asked.bitwidth))


def _overflows(layer: Layer, factors: Floats) -> Flags:
    """Channels whose bias, divided by the factor, would exceed its type."""
    overflowing: Flags = np.zeros(layer.outputs, bool)
    vectors = [layer.norm.gamma, layer.norm.beta] if layer.norm is not None else [layer.bias]
    for stored in vectors:
        if stored is not None:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(stored.tensor.data_type)
            with np.errstate(over="ignore"):
                overflowing |= ~np.isfinite((stored.values() / factors).astype(dtype).astype(np.float64))
    return np.asarray(overflowing & (factors != 1))


def _link(pair: Pair, first: Layer, factors: Floats, constants: Floats) -> Link:
    if first.norm is None:
        return Link(pair, factors, constants, None, None)
    beta, deviation = first.norm.beta.values(), np.abs(first.norm.gamma.values())
    clipped = pair.activation is not None and pair.activation.op_type in CLIPPING

    def largest(mean: Floats, spread: Floats) -> float:
        top = mean + DEVIATIONS * spread
        reach = np.maximum(top, 0.0) if clipped else np.maximum(top, DEVIATIONS * spread - mean)
        return float(reach.max(initial=0.0))

    return Link(
        pair,
        factors,
        constants,
        largest(beta, deviation),
        largest((beta - constants) / factors, deviation / factors),
    )
