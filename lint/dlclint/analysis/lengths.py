"""Sizes that are not known at conversion time: those that inputs lack, and those that data decide.

A size that an input lacks is given by an option; all that waits for it follows from one cause. A length that
data decide (how many boxes are kept) stays unknown whatever the options say.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dlclint.analysis.folding import NodeKey, is_static
from dlclint.model.graph import Model, Node
from dlclint.model.op_facts import DATA_DECIDED, SHAPE_READERS
from dlclint.model.ordering import topological_order
from dlclint.model.types import is_complete
from dlclint_schemas.record import record


@record
class Lengths:
    """What is unknown of a model's sizes, and why."""

    open_inputs: tuple[str, ...]
    """Inputs of the main graph whose sizes are not all known."""
    waiting: frozenset[NodeKey]
    """Nodes that are known once the open inputs have sizes: Shape, and the arithmetic on it."""
    tensors: frozenset[str]
    """What those nodes make."""
    decided: Mapping[NodeKey, int]
    """Nodes that make a length by their data, and how many nodes work on tensors of such lengths."""

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
        for node in topological_order(inner):
            if node.key in folded:
                continue
            origin = _origin(node, origins)
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


def _origin(node: Node, origins: Mapping[str, NodeKey]) -> NodeKey | None:
    """The node whose data decide a size of what this one works on."""
    if not node.domain and node.op_type in DATA_DECIDED:
        known = all(is_complete(node.graph.type_of(name)) for name in node.outputs if name)
        return None if known else node.key
    return next((origins[name] for name in node.inputs if name in origins), None)


def _follows(node: Node, tensors: set[str], folded: frozenset[NodeKey]) -> bool:
    """Whether a node reads a shape, or works on such numbers and on stored ones alone."""
    if node.domain or node.subgraphs:
        return False
    if node.op_type in SHAPE_READERS:
        return True
    return any(name in tensors for name in node.inputs) and all(
        name in tensors or not name or is_static(node.graph, name, folded) for name in node.inputs
    )
