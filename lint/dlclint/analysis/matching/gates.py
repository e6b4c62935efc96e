"""Activations that are written as a tensor times a function of it: x * f(x)."""

from __future__ import annotations

from collections.abc import Sequence

from dlclint.analysis.matching.terms import other_operand
from dlclint.model.graph import Graph, Node

_NAMES = {
    "Sigmoid": "Swish",
    "HardSigmoid": "HardSwish",
    "Softplus": "Mish",
    "Add": "HardSwish",
    "Div": "GELU",
    "Tanh": "x * Tanh(x)",
}
"""By the first op of the gate: the name of x times the gate."""
_LONGEST = 5
"""Nodes from x to the product: the longest, GELU by Erf, is Div, Erf, Add and a product."""


def gated_activation(graph: Graph, tensor: str, readers: Sequence[Node]) -> str:
    """The function x * f(x) that the two readers of a tensor compute together, or ""."""
    if len(readers) != 2 or readers[0] is readers[1]:
        return ""
    product = next((node for node in readers if node.op_type == "Mul"), None)
    if product is None:
        return ""
    gate = next(node for node in readers if node is not product)
    factor = next((name for name in product.inputs if name != tensor), "")
    first = gate.op_type
    for _ in range(_LONGEST):
        if gate.outputs[0] == factor:
            return _NAMES.get(first, "")
        following = graph.consumers(gate.outputs[0])
        if len(following) != 1:
            return ""
        gate = following[0]
    return ""


def gate_of(product: Node) -> tuple[str, Node] | None:
    """x and the node that computes f(x), where a Mul is x * f(x) with a single op; None where it is not."""
    if product.op_type != "Mul":
        return None
    for name in product.inputs:
        gate = product.graph.producer(name)
        if gate is not None and gate.input(0) == other_operand(product, name) != "":
            return gate.input(0), gate
    return None
