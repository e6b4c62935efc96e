"""Pairs of convolutions that cross-layer equalization applies to, and why it does not apply to others.

Source: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models, CLE. Two chains are documented,
Conv-BN-[act]-Conv-BN-[act] and Conv-BN-[act]-DepthwiseConv-BN-[act]-Conv-BN-[act]: all on one branch, no
output with a second consumer; only Relu counts as activation, ReLU6 is replaced by Relu silently, and before
any other activation the convolution is excluded. A chain of n convolutions counts here as n - 1 pairs. What
the page leaves open is decided as follows: a grouped convolution is a Conv; a depthwise one may start a chain
(as in AIMET's own equalization) but not end it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import field

from dlclint.analysis.cle.commuting import commutes
from dlclint.analysis.folding import NodeKey
from dlclint.analysis.matching.gates import gated_activation
from dlclint.analysis.matching.terms import clip_bounds, is_relu6, sole_reader
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import ACTIVATIONS, CONVOLUTIONS, UNCHANGED
from dlclint_schemas.record import record


class PairObstacle(enum.Enum):
    """Why a convolution leads to no further convolution."""

    BRANCH = "branch"
    """A tensor in between has a second reader, or is also an output of the model."""
    ACTIVATION = "activation"
    """An activation other than Relu and ReLU6."""
    CHAIN = "chain"
    """Another op, or a depthwise convolution that no convolution follows."""
    END = "end"
    """Nothing comes after: an output of the model, or a tensor that nothing reads."""


@record
class Stop:
    """Where the path from a convolution ends. `at` names the op, or the activation that it is part of."""

    conv: Node
    obstacle: PairObstacle
    at: str
    tensor: str
    """The tensor at which it ends."""
    norm: Node | None = None
    """The batch normalization directly after the convolution, if the path includes one."""


@record
class Pair:
    """Two convolutions on one branch, and the ops in between.

    `norm` is the batch normalization directly after the first and `second_norm` the one after the second;
    None where it was folded in the export or never existed. `between` holds the other ops in order;
    `activation` is the one of them that is an activation.
    """

    first: Node
    second: Node
    norm: Node | None
    second_norm: Node | None
    activation: Node | None
    relu6: bool
    between: tuple[Node, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether both batch normalizations exist, as the documented chains require."""
        return self.norm is not None and self.second_norm is not None


@record
class Matching:
    """For every convolution of a model, in graph order: its pairs, or where its path ends."""

    convolutions: tuple[Node, ...]
    pairs: tuple[Pair, ...]
    stops: Mapping[NodeKey, Stop] = field(default_factory=dict)
    """By the key of the convolution: those from which no pair starts."""

    @property
    def paired(self) -> frozenset[NodeKey]:
        """Convolutions that are in a pair, as first or second."""
        return frozenset(node.key for pair in self.pairs for node in (pair.first, pair.second))

    def outside(self) -> Iterator[Stop]:
        """The convolutions in no pair, each with where its path ends."""
        paired = self.paired
        return (self.stops[conv.key] for conv in self.convolutions if conv.key not in paired)


def is_depthwise(conv: Node) -> bool:
    """Whether every channel is convolved separately: as many groups as input and output channels."""
    tensor_type = conv.graph.type_of(conv.input(1))
    group = conv.attribute("group", 1) or 1
    return (
        group > 1
        and tensor_type is not None
        and tensor_type.shape is not None
        and tensor_type.shape[:2] == (group, 1)
    )


def match(model: Model, folded: Collection[NodeKey] = (), extended: bool = False) -> Matching:
    """The chains of a model.

    Args:
        model: the model.
        folded: nodes that are not converted and so are not counted as readers.
        extended: match everything that is mathematically possible, not only what is documented: through every
            op that passes a positive factor, depthwise convolutions anywhere, and ConvTranspose.
    """
    kinds = CONVOLUTIONS if extended else ("Conv",)
    convolutions = [
        node
        for graph in model.graphs()
        for node in graph.nodes
        if node.op_type in kinds and not node.domain and node.key not in folded
    ]
    paths = {conv.key: _follow(conv, folded, extended) for conv in convolutions}
    stops = {key: path for key, path in paths.items() if isinstance(path, Stop)}
    pairs = [path for path in paths.values() if isinstance(path, Pair)]
    if not extended:
        stops |= {stop.conv.key: stop for stop in _undocumented(pairs, stops)}
    kept = tuple(pair for pair in pairs if pair.first.key not in stops)
    return Matching(tuple(convolutions), kept, stops)


def _undocumented(pairs: list[Pair], stops: Mapping[NodeKey, Stop]) -> Iterator[Stop]:
    """Depthwise convolutions at positions where no documented chain has one."""
    ended = set(stops)
    for pair in pairs:
        if is_depthwise(pair.first) and is_depthwise(pair.second):
            ended.add(pair.first.key)
            at = "a second depthwise Conv"
            yield Stop(pair.first, PairObstacle.CHAIN, at, pair.second.outputs[0], pair.norm)
    for pair in pairs:
        if is_depthwise(pair.second) and pair.second.key in ended and pair.first.key not in ended:
            at = "a depthwise Conv that no Conv follows"
            yield Stop(pair.first, PairObstacle.CHAIN, at, pair.second.outputs[0], pair.norm)


def readers(graph: Graph, tensor: str, folded: Collection[NodeKey]) -> list[Node]:
    """The converted nodes that read a tensor."""
    return [node for node in graph.consumers(tensor) if node.key not in folded]


def _follow(conv: Node, folded: Collection[NodeKey], extended: bool) -> Pair | Stop:
    """Walk from a convolution to the next one along a chain."""
    graph = conv.graph
    norm: Node | None = None
    activation: Node | None = None
    between: list[Node] = []
    tensor = conv.outputs[0]
    passed: set[str] = set()
    while True:
        following = readers(graph, tensor, folded)
        if tensor in graph.outputs:
            if following:
                return Stop(conv, PairObstacle.BRANCH, "an output of the model", tensor, norm)
            return Stop(conv, PairObstacle.END, "the end of the model", tensor, norm)
        if len(following) != 1:
            gated = gated_activation(graph, tensor, following)
            if gated:
                return Stop(conv, PairObstacle.ACTIVATION, gated, tensor, norm)
            if not following:
                return Stop(conv, PairObstacle.END, "an output that nothing reads", tensor, norm)
            return Stop(conv, PairObstacle.BRANCH, _ops(following), tensor, norm)
        node = following[0]
        passed.add(tensor)
        in_circle = node.outputs[0] in passed  # which an invalid model may have
        if node.graph is not graph or node.domain or list(node.inputs).count(tensor) != 1 or in_circle:
            return Stop(conv, PairObstacle.CHAIN, node.op_type, tensor, norm)
        if node.inputs[0] == tensor and node.op_type in (CONVOLUTIONS if extended else ("Conv",)):
            relu6 = any(is_relu6(op) for op in between)
            return Pair(conv, node, norm, norm_behind(node, folded), activation, relu6, (*between,))
        if node.op_type in UNCHANGED and not any(node.outputs[1:]):
            pass
        elif is_inference_norm(node, tensor) and norm is None and activation is None:
            norm = node
        elif is_relu(node) and activation is None:
            activation = node
        elif extended and (commutes(node, tensor) or is_relu6(node)):
            activation = node if activation is None and node.op_type in ACTIVATIONS else activation
        elif node.op_type in ACTIVATIONS:
            return Stop(conv, PairObstacle.ACTIVATION, _named(node), tensor, norm)
        else:
            return Stop(conv, PairObstacle.CHAIN, node.op_type, tensor, norm)
        if node is not norm:
            between.append(node)
        tensor = node.outputs[0]


def is_relu(node: Node) -> bool:
    """Whether a node is Relu or ReLU6, a Clip from 0 to 6."""
    return node.op_type == "Relu" or is_relu6(node)


def is_inference_norm(node: Node, tensor: str) -> bool:
    """Whether a node normalizes a tensor by stored statistics."""
    return (
        node.op_type == "BatchNormalization"
        and node.input(0) == tensor
        and not node.attribute("training_mode", 0)
        and not any(node.outputs[1:])
    )


def norm_behind(conv: Node, folded: Collection[NodeKey]) -> Node | None:
    """The batch normalization that is the only reader of a convolution, if there is one."""
    graph, tensor = conv.graph, conv.outputs[0]
    passed: set[str] = set()
    while tensor not in passed:
        passed.add(tensor)
        node = sole_reader(graph, tensor, folded)
        if node is None or node.domain:
            return None
        if is_inference_norm(node, tensor):
            return node
        if node.op_type not in UNCHANGED or any(node.outputs[1:]):
            return None
        tensor = node.outputs[0]
    return None


def _named(node: Node) -> str:
    if node.op_type != "Clip":
        return node.op_type
    low, high = clip_bounds(node)
    if low is None and high is None:
        return "Clip"
    return f"Clip({'' if low is None else f'{low:g}'}..{'' if high is None else f'{high:g}'})"


def _ops(nodes: list[Node]) -> str:
    counts: dict[str, int] = {}
    for node in nodes:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    named = [f"{op} x{count}" if count > 1 else op for op, count in counts.items()]
    return " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
