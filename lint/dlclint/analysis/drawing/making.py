"""From a model's view to its drawing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from dlclint.analysis.drawing.blocks import Scope, blocks_of, scope_of
from dlclint.analysis.drawing.model import Drawing, DrawnCuts, DrawnNode, DrawnWeight
from dlclint.analysis.layers import Presence
from dlclint.analysis.subnets import Border
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.noise import channel_sqnr, per_channel_scale, per_tensor_scale
from dlclint.analysis.weights.store import distinct
from dlclint.diagnostic import plain
from dlclint.model.attributes import value_of
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import QDQ, WEIGHTED_OPS
from dlclint.model.types import is_float
from dlclint.target import Runtime

MOST = 20_000
"""Nodes of a model that is drawn: a page with more is too large to open."""
_ATTRIBUTES = 300
"""Characters of a node's attributes that are shown."""
INPUT, OUTPUT = "Input", "Output"

Colors = Mapping[str, tuple[ModelView, Runtime]]
"""The runtimes that a drawing is colored by, by their label."""


def draw(views: Sequence[ModelView], kept: Collection[tuple[str, int | None]] = ()) -> Drawing:
    """The drawing of a model, colored for each target.

    Args:
        views: the model for each target, of which the first provides widths and weights.
        kept: graph path, sanitized, and index of nodes that are drawn even if they are Constants.
    """
    view, model = views[0], views[0].model
    nodes = [
        node
        for graph in model.graphs()
        for node in graph.nodes
        if node.op_type != "Constant" or (plain(graph.path), node.index) in kept
    ]
    if len(nodes) > MOST:
        return Drawing((), (), (), (), 0, (), len(nodes))
    inputs = [name for name in model.graph.inputs if name not in model.graph.initializers]
    outputs = list(dict.fromkeys(model.graph.outputs))
    places = _Places(nodes, inputs)
    sources = [
        *(() for _ in inputs),
        *(tuple(places.sources(node.graph, reads(node))) for node in nodes),
        *(tuple(places.sources(model.graph, (name,))) for name in outputs),
    ]
    inside = len(inputs) + len(nodes)
    # Inputs and outputs are outside all modules.
    own = [
        tuple(index - len(inputs) for index in sources[n] if len(inputs) <= index)
        for n in range(len(inputs), inside)
    ]
    blocks, inner = blocks_of([*map(_scope, nodes)], own)
    home = [*(0 for _ in inputs), *inner, *(0 for _ in outputs)]
    colors = dict(_colors(views))

    def drawn() -> Iterator[DrawnNode]:
        for position, name in enumerate(inputs):
            yield _border(model.graph, INPUT, name, home[position], (), colors)
        for position, node in enumerate(nodes, len(inputs)):
            yield _node(node, home[position], sources[position], colors, view)
        for position, name in enumerate(outputs, inside):
            yield _border(model.graph, OUTPUT, name, home[position], sources[position], colors)

    return Drawing(
        tuple(drawn()),
        tuple(blocks),
        tuple(colors),
        tuple(_weights(view, places)),
        view.target.kind.weights_bitwidth,
        tuple(_cuts(colors)),
    )


def reads(node: Node) -> Iterator[str]:
    """The tensors that a node reads, each once."""
    return iter(dict.fromkeys(filter(None, node.inputs)))


class _Places:
    """The positions of the nodes among all that is drawn, which starts with the inputs of the model."""

    def __init__(self, nodes: Sequence[Node], inputs: Sequence[str]) -> None:
        self._inputs = {name: index for index, name in enumerate(inputs)}
        self._nodes = {node.key: position for position, node in enumerate(nodes, len(inputs))}

    def of(self, node: Node) -> int | None:
        """The position of a node; None where it is not drawn."""
        return self._nodes.get(node.key)

    def sources(self, graph: Graph, names: Iterator[str] | Sequence[str]) -> Iterator[int]:
        """The positions of the nodes that produce tensors, as far as they are drawn."""
        for name in names:
            maker = graph.producer(name)
            position = self._inputs.get(name) if maker is None else self.of(maker)
            if position is not None:
                yield position


def _scope(node: Node) -> Scope:
    metadata = {prop.key: prop.value for prop in node.proto.metadata_props}
    own = tuple(plain(part, 80) for part in scope_of(node.name, node.op_type, metadata))
    # Bodies and functions are blocks that contain their modules.
    return (plain(node.graph.path, 80), *own) if node.graph.path else own


def _colors(views: Sequence[ModelView]) -> Iterator[tuple[str, tuple[ModelView, Runtime]]]:
    for view in views:
        soc = view.target.soc
        chip = f"{soc.name} " if soc is not None and len(views) > 1 else ""
        for runtime in view.target.considered:
            yield f"{chip}{runtime.value}", (view, runtime)


def _border(
    graph: Graph, op: str, name: str, block: int, sources: tuple[int, ...], colors: Colors
) -> DrawnNode:
    kind = graph.type_of(name)
    names = (plain(name),)
    element = "" if kind is None else kind.element
    return DrawnNode(
        "", None, plain(name), op, block, sources, names, _type(graph, name), "", element, "-" * len(colors)
    )


def _node(node: Node, block: int, sources: tuple[int, ...], colors: Colors, view: ModelView) -> DrawnNode:
    return DrawnNode(
        plain(node.graph.path),
        node.index,
        plain(node.name),
        plain(node.op_type if not node.domain else f"{node.domain}.{node.op_type}"),
        block,
        sources,
        tuple(plain(name) for name in node.outputs if name),
        _type(node.graph, node.output(0)),
        plain(", ".join(_attributes(node)), _ATTRIBUTES),
        _precision(node, view),
        "".join(_letter(node, *color) for color in colors.values()),
    )


def _type(graph: Graph, name: str) -> str:
    kind = graph.type_of(name)
    return "" if kind is None else plain(str(kind))


def _attributes(node: Node) -> Iterator[str]:
    """Each attribute that is a number, a text or a list, as `name=value`."""
    for proto in node.proto.attribute:
        if proto.ref_attr_name:
            continue
        value: Any = value_of(proto)
        if isinstance(value, (int, float, str)):
            yield f"{proto.name}={value}"
        elif isinstance(value, list) and all(
            isinstance(element, (int, float, str)) for element in value[:32]
        ):
            more = ",..." if len(value) > 32 else ""
            yield f"{proto.name}=[{','.join(map(str, value[:32]))}{more}]"


def _precision(node: Node, view: ModelView) -> str:
    """The precision of the node's result, and of its weight where that is quantized too."""
    kind = view.target.kind
    tensor_type = node.graph.type_of(node.output(0))
    if node.key in view.folded or node.op_type in QDQ:
        return "folded"
    if tensor_type is None or not is_float(tensor_type.data_type):
        return "" if tensor_type is None else tensor_type.element
    if not kind.stated:
        return tensor_type.element
    if not kind.quantize:
        return f"float{kind.float_bitwidth}"
    entry = view.encodings.get(node.output(0))
    if entry is not None and entry.is_float:
        return f"float{entry.bitwidth}"
    act = kind.act_bitwidth if entry is None else entry.bitwidth
    weight = next((name for name in node.inputs[1:2] if node.graph.constant(name) is not None), "")
    if not weight or node.op_type not in WEIGHTED_OPS:
        return f"a{act}"
    own = view.encodings.get(weight)
    return f"a{act}w{kind.weights_bitwidth if own is None else own.bitwidth}"


def _letter(node: Node, view: ModelView, runtime: Runtime) -> str:
    """One letter of `DrawnNode.placed`."""
    if node.key in view.folded or node.key in view.branches.resolved:
        return "-"
    if view.model.is_function(node):
        return {True: "n", False: "y", None: "x"}[view.is_off(node, runtime)]
    presence = view.verdict(node, runtime).presence
    if presence is not Presence.NO:
        return "y" if presence is Presence.YES else "u"
    return "x" if view.verdict(node, Runtime.CPU).presence is Presence.NO else "n"


def _weights(view: ModelView, places: _Places) -> Iterator[DrawnWeight]:
    bits = view.target.kind.weights_bitwidth
    for weight in distinct(view.as_float.weights.converted()):
        position = places.of(weight.use.node)
        if position is None or not weight.mean_square.any():
            continue
        figures = (
            channel_sqnr(weight, per_tensor_scale(weight, bits)),
            channel_sqnr(weight, per_channel_scale(weight, bits)),
        )
        yield DrawnWeight(position, plain(weight.name), weight.low, weight.high, *figures)


def _cuts(colors: Colors) -> Iterator[DrawnCuts]:
    """Where execution changes processor; runtimes with the same result are combined."""
    runtimes_by_cuts: dict[tuple[tuple[Border, ...], tuple[str, ...]], list[str]] = {}
    for name, (view, runtime) in colors.items():
        if runtime is not Runtime.CPU and (partition := view.partition(runtime)).borders:
            key = (partition.borders, tuple(subnet.first for subnet in partition.subnets))
            runtimes_by_cuts.setdefault(key, []).append(name)
    for (borders, firsts), names in runtimes_by_cuts.items():
        yield DrawnCuts(", ".join(names), borders, firsts)
