"""Sizes that are not known at conversion time: those that inputs lack, and those that depend on data.

An option gives a size that an input lacks; everything that depends on it has one cause. A length that depends
on data (how many boxes are kept, a k that is an input) stays unknown whatever the options are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dlclint.analysis.folding import NodeKey, is_static
from dlclint.model.graph import Model, Node
from dlclint.model.op_facts import DATA_DECIDED, SHAPE_READERS, VALUE_INPUTS
from dlclint.model.types import is_complete
from dlclint_schemas.record import record


@record
class Lengths:
    """Which of a model's sizes are unknown, and why."""

    open_inputs: tuple[str, ...]
    """Inputs of the main graph whose sizes are not all known."""
    waiting: frozenset[NodeKey]
    """Nodes that are known once the open inputs have sizes: Shape, and the arithmetic on it."""
    tensors: frozenset[str]
    """The tensors that those nodes produce."""
    decided: Mapping[NodeKey, int]
    """Nodes whose length is known only at run time, and how many nodes use tensors of such lengths.

    Their data determine it, or an input that is not constant and does not depend on an open input."""

    def waits(self, tensor: str) -> bool:
        """Whether a tensor's value is known once the open inputs have sizes."""
        return tensor in self.tensors


def lengths(model: Model, folded: frozenset[NodeKey]) -> Lengths:
    """Follow both kinds through the graphs, in the order of the nodes."""
    graph = model.graph
    inputs = tuple(
        name
        for name in graph.inputs
        if not is_complete(graph.type_of(name)) and graph.element_of(name) is None
    )
    waiting: set[NodeKey] = set()
    tensors: set[str] = set()
    origins: dict[str, NodeKey] = {}
    behind: dict[NodeKey, set[NodeKey]] = {}
    for inner in model.graphs():
        for node in inner.in_order:
            if node.key in folded:
                continue
            origin = _origin(node, origins, tensors, folded)
            if origin is not None:
                behind.setdefault(origin, set())
                if node.key != origin:
                    behind[origin].add(node.key)
                origins.update((name, origin) for name in node.outputs if name and _is_open(node, name))
            elif inputs and _follows(node, tensors, folded):
                waiting.add(node.key)
                tensors.update(filter(None, node.outputs))
    counts = {key: len(nodes) for key, nodes in behind.items()}
    return Lengths(inputs, frozenset(waiting), frozenset(tensors), MappingProxyType(counts))


def _is_open(node: Node, name: str) -> bool:
    return not is_complete(node.graph.type_of(name)) or node.op_type in SHAPE_READERS


def _origin(
    node: Node, origins: Mapping[str, NodeKey], waiting: set[str], folded: frozenset[NodeKey]
) -> NodeKey | None:
    """The node that determines the length, known only at run time, of this node's input."""
    known = all(is_complete(node.graph.type_of(name)) for name in node.outputs if name)
    if not node.domain and node.op_type in DATA_DECIDED:
        return None if known else node.key
    inherited = next((origins[name] for name in node.inputs if name in origins), None)
    if inherited is not None or known:
        return inherited
    return node.key if any(name not in waiting for name in sizing_inputs(node, folded)) else None


def sizing_inputs(node: Node, folded: frozenset[NodeKey]) -> tuple[str, ...]:
    """The inputs of a node that determine the length of its output and are not constant."""
    if node.domain:
        return ()
    names = (node.input(position) for position in VALUE_INPUTS.get(node.op_type, ()))
    return tuple(name for name in names if name and not is_static(node.graph, name, folded))


def _follows(node: Node, tensors: set[str], folded: frozenset[NodeKey]) -> bool:
    """Whether a node reads a shape, or computes only with such numbers and stored ones."""
    if node.domain or node.subgraphs:
        return False
    if node.op_type in SHAPE_READERS:
        return True
    return any(name in tensors for name in node.inputs) and all(
        name in tensors or not name or is_static(node.graph, name, folded) for name in node.inputs
    )
