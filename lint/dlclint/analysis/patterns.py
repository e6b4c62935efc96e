"""Subgraphs that the converter recognizes as one layer: GELU, HardSwish, layer normalization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.folding import NodeKey
    from dlclint.model.graph import Graph, Model, Node


@record
class Pattern:
    """A match: the layer it becomes, and the keys of the nodes that go into it."""

    layer: str
    nodes: frozenset[NodeKey]


def find_patterns(model: Model) -> tuple[Pattern, ...]:
    """Every match in every graph, in graph order."""
    found: list[Pattern] = []
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
                found.append(match)
    return tuple(found)


def _scalar(graph: Graph, tensor: str) -> float | None:
    value = graph.small_value(tensor, limit=1)
    if value is None or value.size != 1 or value.dtype.kind not in "fiu":
        return None
    return float(value.reshape(-1)[0])


def _near(value: float | None, wanted: float) -> bool:
    # Exporters round sqrt(2) and 1/6 to float32 or float16.
    return value is not None and abs(value - wanted) <= 2e-3 * abs(wanted)


def _with_scalar(graph: Graph, node: Node | None, op: str, wanted: float) -> str:
    """The other operand of a commutative node whose one operand is the scalar, else ""."""
    if node is None or node.op_type != op or len(node.inputs) != 2:
        return ""
    left, right = node.inputs
    if _near(_scalar(graph, right), wanted):
        return left
    return right if _near(_scalar(graph, left), wanted) else ""


def _scaled(graph: Graph, node: Node | None, factor: float) -> str:
    """x where node is x*factor or x/(1/factor), else ""."""
    found = _with_scalar(graph, node, "Mul", factor)
    if found or node is None or node.op_type != "Div" or len(node.inputs) != 2:
        return found
    return node.inputs[0] if _near(_scalar(graph, node.inputs[1]), 1 / factor) else ""


def _only_consumer(graph: Graph, node: Node) -> Node | None:
    readers = graph.consumers(node.output(0))
    return readers[0] if len(readers) == 1 and node.output(0) not in graph.outputs else None


def _other_operand(node: Node, tensor: str) -> str:
    if len(node.inputs) != 2 or tensor not in node.inputs:
        return ""
    return node.inputs[1] if node.inputs[0] == tensor else node.inputs[0]


def _gelu(graph: Graph, erf: Node) -> Pattern | None:
    """x/sqrt(2) -> Erf -> +1 -> *x -> *0.5, with the half before, between or after."""
    scale = graph.producer(erf.input(0))
    x = _scaled(graph, scale, 0.7071067811865476)
    plus = _only_consumer(graph, erf)
    if not x or scale is None or plus is None or not _with_scalar(graph, plus, "Add", 1.0):
        return None
    nodes = {scale.key, erf.key, plus.key}
    half = False
    reached = False
    last = plus
    while not (half and reached):
        following = _only_consumer(graph, last) if last is not None else None
        if following is None or following.op_type not in ("Mul", "Div"):
            return None
        if not half and _scaled(graph, following, 0.5):
            half = True
        elif not reached and following.op_type == "Mul":
            other = _other_operand(following, last.output(0))
            maker = graph.producer(other)
            if other == x:
                reached = True
            elif not half and maker is not None and _scaled(graph, maker, 0.5) == x:
                half = reached = True
                nodes.add(maker.key)
            else:
                return None
        else:
            return None
        nodes.add(following.key)
        last = following
    return Pattern("Gelu", frozenset(nodes))


def _hard_swish_of_sigmoid(graph: Graph, sigmoid: Node) -> Pattern | None:
    """x * HardSigmoid(x) with alpha 1/6 and beta 0.5."""
    alpha, beta = sigmoid.attribute("alpha"), sigmoid.attribute("beta")
    if not (_near(alpha, 1 / 6) and _near(beta, 0.5)):
        return None
    times = _only_consumer(graph, sigmoid)
    if times is None or times.op_type != "Mul":
        return None
    if _other_operand(times, sigmoid.output(0)) != sigmoid.input(0):
        return None
    return Pattern("HardSwish", frozenset({sigmoid.key, times.key}))


def clip_bounds(graph: Graph, clip: Node) -> tuple[float | None, float | None]:
    """Lower and upper bound of a Clip, from attributes (to version 6) or constant inputs."""
    bounds: list[float | None] = []
    for position, name in ((1, "min"), (2, "max")):
        written = clip.attribute(name) if clip.has(name) else None
        # From version 11 on an attribute of that name means nothing, and may be of any type.
        if isinstance(written, (int, float)):
            bounds.append(float(written))
        else:
            bounds.append(_scalar(graph, clip.input(position)))
    return bounds[0], bounds[1]


def _hard_swish_of_clip(graph: Graph, clip: Node) -> Pattern | None:
    """x * Clip(x + 3, 0, 6) / 6, the division before or after the product."""
    if clip_bounds(graph, clip) != (0.0, 6.0):
        return None
    plus = graph.producer(clip.input(0))
    x = _with_scalar(graph, plus, "Add", 3.0)
    following = _only_consumer(graph, clip)
    if not x or plus is None or following is None:
        return None
    nodes = {plus.key, clip.key, following.key}
    after = _only_consumer(graph, following)
    if _scaled(graph, following, 1 / 6):
        done = (
            after is not None and after.op_type == "Mul" and _other_operand(after, following.output(0)) == x
        )
    else:
        done = (
            following.op_type == "Mul"
            and _other_operand(following, clip.output(0)) == x
            and bool(_scaled(graph, after, 1 / 6))
        )
    if not done or after is None:
        return None
    return Pattern("HardSwish", frozenset({*nodes, after.key}))


def _layer_norm(graph: Graph, root: Node) -> Pattern | None:
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon), found from its square root."""
    if root.op_type == "Pow" and not _near(_scalar(graph, root.input(1)), 0.5):
        return None
    plus = graph.producer(root.input(0))
    if plus is None or plus.op_type != "Add":
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
    power = square.op_type == "Pow" and _near(_scalar(graph, square.input(1)), 2.0)
    product = square.op_type == "Mul" and square.input(0) == square.input(1)
    center = graph.producer(square.input(0))
    if not (power or product) or center is None or center.op_type != "Sub":
        return None
    average = graph.producer(center.input(1))
    if average is None or average.op_type != "ReduceMean" or average.input(0) != center.input(0):
        return None
    quotient = _only_consumer(graph, root)
    if quotient is None or quotient.op_type != "Div":
        return None
    numerator = graph.producer(quotient.input(0))
    # Old exporters write the difference twice.
    if numerator is None or numerator.op_type != "Sub" or numerator.inputs != center.inputs:
        return None
    members = (root, plus, mean, square, center, average, quotient, numerator)
    return Pattern("LayerNorm", frozenset(node.key for node in members))
