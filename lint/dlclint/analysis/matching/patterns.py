"""Subgraphs that the converter recognizes as one layer: GELU, HardSwish, layer normalization."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dlclint.analysis.matching.norm_axes import mean_axes, trailing
from dlclint.analysis.matching.terms import (
    clip_bounds,
    is_near,
    other_operand,
    scalar,
    scaled_operand,
    sole_reader,
    squared,
    with_scalar,
)
from dlclint.model.op_facts import FACTORS
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.folding import NodeKey
    from dlclint.model.graph import Graph, Model, Node


@record
class Pattern:
    """A match in one graph: the layer that it becomes, its input tensor, and the keys of its nodes.

    It is valid for the model with its quantization as for the float one, because nodes keep their index.
    """

    layer: str
    source: str
    nodes: frozenset[NodeKey]

    @property
    def path(self) -> str:
        """The path of the graph."""
        return next(iter(self.nodes))[0]

    def members(self, graph: Graph) -> list[Node]:
        """The nodes in graph order; the last produces the result."""
        return [graph.nodes[index] for _, index in sorted(self.nodes)]

    def inner(self, graph: Graph) -> set[str]:
        """The tensors that only nodes of the pattern read, so that the layer has none of them."""
        if graph.path != self.path:
            return set()
        return {
            name
            for node in self.members(graph)
            for name in node.outputs
            if name not in graph.outputs
            and (readers := graph.consumers(name))
            and all(reader.key in self.nodes for reader in readers)
        }

    def is_closed(self, graph: Graph) -> bool:
        """Whether nothing else reads a part of it, so that one node can replace all of them."""
        inner = self.inner(graph)
        return all(name in inner for node in self.members(graph)[:-1] for name in node.outputs)


def _pattern(layer: str, source: str, nodes: Iterable[Node]) -> Pattern | None:
    keys = frozenset(node.key for node in nodes)
    return Pattern(layer, source, keys) if len({path for path, _ in keys}) == 1 else None


def find_patterns(model: Model) -> tuple[Pattern, ...]:
    """Every match in every graph, in graph order."""
    patterns: list[Pattern] = []
    for graph in model.graphs():
        for node in graph.nodes:
            if node.domain:
                continue
            if node.op_type == "Erf":
                match = _gelu(graph, node)
            elif node.op_type == "HardSigmoid":
                match = _hard_swish_of_sigmoid(graph, node)
            elif node.op_type == "Clip":
                match = _hard_swish_of_clip(graph, node)
            elif node.op_type in ("Sqrt", "Pow"):
                match = _layer_norm(graph, node)
            else:
                continue
            if match is not None:
                patterns.append(match)
    return tuple(patterns)


def _gelu(graph: Graph, erf: Node) -> Pattern | None:
    """x/sqrt(2) -> Erf -> +1 -> *x -> *0.5, with the half before, between or after."""
    scale = graph.producer(erf.input(0))
    x = scaled_operand(graph, scale, 0.7071067811865476)
    plus = sole_reader(graph, erf.output(0))
    if not x or scale is None or plus is None or not with_scalar(graph, plus, "Add", 1.0):
        return None
    nodes = [scale, erf, plus]
    half = False
    reached = False
    last = plus
    while not (half and reached):
        following = sole_reader(graph, last.output(0))
        if following is None or following.op_type not in FACTORS:
            return None
        if not half and scaled_operand(graph, following, 0.5):
            half = True
        elif not reached and following.op_type == "Mul":
            other = other_operand(following, last.output(0))
            maker = graph.producer(other)
            if other == x:
                reached = True
            elif not half and maker is not None and scaled_operand(graph, maker, 0.5) == x:
                half = reached = True
                nodes.append(maker)
            else:
                return None
        else:
            return None
        nodes.append(following)
        last = following
    return _pattern("Gelu", x, nodes)


def _hard_swish_of_sigmoid(graph: Graph, sigmoid: Node) -> Pattern | None:
    """x * HardSigmoid(x) with alpha 1/6 and beta 0.5."""
    alpha, beta = sigmoid.attribute("alpha"), sigmoid.attribute("beta")
    if not (is_near(alpha, 1 / 6) and is_near(beta, 0.5)):
        return None
    times = sole_reader(graph, sigmoid.output(0))
    if times is None or times.op_type != "Mul":
        return None
    if other_operand(times, sigmoid.output(0)) != sigmoid.input(0):
        return None
    return _pattern("HardSwish", sigmoid.input(0), (sigmoid, times))


def _hard_swish_of_clip(graph: Graph, clip: Node) -> Pattern | None:
    """x * Clip(x + 3, 0, 6) / 6, the division before or after the product."""
    if clip_bounds(clip) != (0.0, 6.0):
        return None
    plus = graph.producer(clip.input(0))
    x = with_scalar(graph, plus, "Add", 3.0)
    following = sole_reader(graph, clip.output(0))
    if not x or plus is None or following is None:
        return None
    after = sole_reader(graph, following.output(0))
    if scaled_operand(graph, following, 1 / 6):
        done = after is not None and after.op_type == "Mul" and other_operand(after, following.output(0)) == x
    else:
        done = (
            following.op_type == "Mul"
            and other_operand(following, clip.output(0)) == x
            and bool(scaled_operand(graph, after, 1 / 6))
        )
    if not done or after is None:
        return None
    return _pattern("HardSwish", x, (plus, clip, following, after))


def _layer_norm(graph: Graph, root: Node) -> Pattern | None:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), found from its square root."""
    if root.op_type == "Pow" and not is_near(scalar(graph, root.input(1)), 0.5):
        return None
    plus = graph.producer(root.input(0))
    if plus is None or plus.op_type != "Add" or len(plus.inputs) != 2:
        return None
    for name in plus.inputs:
        mean = graph.producer(name)
        if mean is not None and mean.op_type == "ReduceMean":
            break
    else:
        return None
    square = graph.producer(mean.input(0))
    if square is None:
        return None
    center = graph.producer(squared(square))
    if center is None or center.op_type != "Sub":
        return None
    average = graph.producer(center.input(1))
    if average is None or average.op_type != "ReduceMean" or average.input(0) != center.input(0):
        return None
    quotient = sole_reader(graph, root.output(0))
    if quotient is None or quotient.op_type != "Div":
        return None
    numerator = graph.producer(quotient.input(0))
    # Old exporters write the difference twice.
    if numerator is None or numerator.op_type != "Sub" or numerator.inputs != center.inputs:
        return None
    axes, rank = mean_axes(mean), graph.rank(mean.input(0))
    if axes is not None and rank is not None and axes != trailing(rank, len(axes)):
        return None  # LayerNorm is over the last axes; others remain as they are written
    members = (root, plus, mean, square, center, average, quotient, numerator)
    return _pattern("LayerNorm", center.input(0), members)
