"""Computing now what the converter would compute during conversion."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dlclint.diagnostic import Safety
from dlclint.fix import CannotFix, Fix
from dlclint.model.constants import add_constant
from dlclint.model.edits import ModelEdit, ReplaceNodes
from dlclint.model.evaluation.values import Values
from dlclint.model.graph import Graph, Node

LIMIT = 1 << 24
"""Elements up to which a tensor is computed and stored."""


def stored_results(graph: Graph, nodes: list[Node]) -> Fix | None:
    """Store the results that something else reads; all other nodes of the expressions are removed.

    Args:
        nodes: nodes of the graph whose results follow from the model alone.
    """
    if graph.is_function:
        return None

    def edits() -> Iterator[ModelEdit]:
        values = Values(LIMIT)
        inside = {node.index for node in nodes}
        unknown = {node.index for node in nodes if not _is_known(values, graph, node)}
        # What an unknown node reads must be kept, or be stored.
        wanted = [
            node
            for node in nodes
            if node.index not in unknown
            and any(
                name in graph.outputs
                or any(
                    r.graph is not graph or r.index not in inside or r.index in unknown
                    for r in graph.consumers(name)
                )
                for name in node.outputs
                if name
            )
        ]
        if not wanted:
            raise CannotFix("their values cannot be computed here; the converter's simplifier may do more")
        for node in wanted:
            if any(name in graph.outputs for name in node.outputs):
                continue  # an output of the graph is the output of a node
            yield ReplaceNodes(graph, (node,), ())
            for name in filter(None, node.outputs):
                value = values.whole(graph, name)
                assert value is not None
                yield add_constant(graph, name, np.array(value))

    return Fix("store what they compute, under the names of their results", Safety.SAFE, edits)


def _is_known(values: Values, graph: Graph, node: Node) -> bool:
    return all(values.whole(graph, name) is not None for name in node.outputs if name)
