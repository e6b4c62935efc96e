"""Branches that are never taken: an If whose condition follows from the model reduces to its live branch."""

from __future__ import annotations

from dlclint.analysis.folding import NodeKey
from dlclint.model.bodies import taken_branch
from dlclint.model.graph import Model
from dlclint_schemas.record import record


@record
class Branches:
    """The Ifs of a model whose condition is known, and the graphs that are removed with them."""

    resolved: frozenset[NodeKey]
    """Ifs that the live branch replaces."""
    dead: frozenset[str]
    """Paths of the graphs in branches that are never taken."""


NONE = Branches(frozenset(), frozenset())


def branches(model: Model) -> Branches:
    """Which branch of each If is taken, where its condition is stored or follows from shapes."""
    resolved: set[NodeKey] = set()
    dead: set[str] = set()
    for graph in model.graphs():
        for node in graph.nodes:
            if node.op_type == "If" and not node.domain:
                taken = taken_branch(node)
                if taken is not None:
                    resolved.add(node.key)
                    for body in node.subgraphs:
                        if body is not taken:
                            dead.update(inner.path for inner in body.with_subgraphs())
    return Branches(frozenset(resolved), frozenset(dead)) if resolved else NONE
