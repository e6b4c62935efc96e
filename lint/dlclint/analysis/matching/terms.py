"""What matchers need of single nodes and tensors: scalars, bounds, squares, and a tensor's only reader."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from dlclint.model.evaluation.bounds import real_numbers, whole_numbers

if TYPE_CHECKING:
    from dlclint.analysis.folding import NodeKey
    from dlclint.model.graph import Graph, Node


LONGEST = 64
"""The longest chain of nodes that change nothing to be followed, so that the cost of all chains is linear."""


def scalar(graph: Graph, tensor: str) -> float | None:
    """The only number of a tensor, where it is stored or follows from the model."""
    value = graph.small_value(tensor, limit=1)
    numbers = None if value is None or value.dtype.kind == "b" else real_numbers(value)
    return None if numbers is None or numbers.size != 1 else float(numbers.reshape(-1)[0])


def stored_integers(graph: Graph, name: str) -> list[int] | None:
    """The elements of a small stored tensor of integers; None for anything else."""
    return whole_numbers(graph.small_value(name)) if name else None


def equation_of(node: Node) -> str:
    """The equation of an Einsum without spaces, "" for anything else."""
    written = node.attribute("equation") if node.op_type == "Einsum" else None
    return "".join(written.split()) if isinstance(written, str) else ""


def is_near(value: float | None, wanted: float) -> bool:
    """Whether a number equals the wanted one: exporters round sqrt(2) and 1/6 to float32 or float16."""
    return value is not None and abs(value - wanted) <= 2e-3 * abs(wanted)


def with_scalar(graph: Graph, node: Node | None, op: str, wanted: float) -> str:
    """The other operand of a commutative node with the scalar as one operand, else ""."""
    if node is None or node.op_type != op or len(node.inputs) != 2:
        return ""
    left, right = node.inputs
    if is_near(scalar(graph, right), wanted):
        return left
    return right if is_near(scalar(graph, left), wanted) else ""


def scaled_operand(graph: Graph, node: Node | None, factor: float) -> str:
    """x where node is x*factor or x/(1/factor), else ""."""
    product = with_scalar(graph, node, "Mul", factor)
    if product or node is None or node.op_type != "Div" or len(node.inputs) != 2:
        return product
    return node.inputs[0] if is_near(scalar(graph, node.inputs[1]), 1 / factor) else ""


def squared(node: Node) -> str:
    """x where a node is x*x or Pow(x, 2), else ""."""
    if node.domain:
        return ""
    if node.op_type == "Mul" and len(node.inputs) == 2 and node.inputs[0] == node.inputs[1]:
        return node.inputs[0]
    return node.input(0) if node.op_type == "Pow" and scalar(node.graph, node.input(1)) == 2.0 else ""


def other_operand(node: Node, tensor: str) -> str:
    """The other operand of a node of two inputs, one of which is the tensor, else ""."""
    if len(node.inputs) != 2 or tensor not in node.inputs:
        return ""
    return node.inputs[1] if node.inputs[0] == tensor else node.inputs[0]


def sole_reader(graph: Graph, tensor: str, folded: Container[NodeKey] = ()) -> Node | None:
    """The only node of the graph that reads a tensor; None where anything else does.

    Anything else is a second node, one in a subgraph, or an output of the graph. Nodes in `folded` are not
    converted and do not count.
    """
    if not tensor or tensor in graph.outputs:
        return None
    readers = (node for node in graph.consumers(tensor) if node.key not in folded)
    first, second = next(readers, None), next(readers, None)
    return first if first is not None and second is None and first.graph is graph else None


def maker_behind(graph: Graph, tensor: str, ops: Container[str]) -> Node | None:
    """The node that makes a tensor, behind nodes of the given ops of ONNX's domain, along first inputs.

    None where nothing makes it, and behind more than `LONGEST` such nodes: they may form a cycle.
    """
    maker = graph.producer(tensor)
    for _ in range(LONGEST):
        if maker is None or maker.domain or maker.op_type not in ops:
            return maker
        maker = graph.producer(maker.input(0))
    return None


def copied_from(graph: Graph, name: str) -> tuple[Graph, str]:
    """The tensor that another one is a copy of, through Identity: exporters share equal parameters so.

    The chain is followed to a stored tensor, or for at most `LONGEST` nodes.
    """
    for _ in range(LONGEST):
        maker = graph.producer(name) if name and graph.constant(name) is None else None
        if maker is None or maker.op_type != "Identity" or maker.domain:
            break
        graph, name = maker.graph, maker.input(0)
    return graph, name


def clip_bounds(node: Node) -> tuple[float | None, float | None]:
    """Lower and upper bound of a Relu or Clip, from attributes (up to version 6) or inputs.

    A Clip whose lower bound exceeds the upper one gives the upper one everywhere (ONNX, Clip): both are it.
    """
    if node.op_type == "Relu":
        return 0.0, None
    bounds: list[float | None] = []
    for position, name in ((1, "min"), (2, "max")):
        written = node.attribute(name) if node.has(name) else None
        # From version 11 on an attribute of that name has no meaning, and may be of any type.
        if isinstance(written, (int, float)):
            bounds.append(float(written))
        else:
            bounds.append(scalar(node.graph, node.input(position)))
    low, high = bounds
    return (high, high) if low is not None and high is not None and low > high else (low, high)


def is_relu6(node: Node) -> bool:
    """Whether a node is ReLU6, a Clip from 0 to 6."""
    return node.op_type == "Clip" and clip_bounds(node) == (0.0, 6.0)
