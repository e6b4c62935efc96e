"""Scales of normalizations, slopes and second inputs: where they are, and what becomes of them on HTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.model.op_facts import CONTRACTIONS, CONVOLUTIONS, Role, positions
from dlclint_schemas.record import record
from dlclint_schemas.side_inputs import UINT16, side_input_forms

if TYPE_CHECKING:
    from dlclint.analysis.matching.patterns import Pattern
    from dlclint.analysis.view import ModelView
    from dlclint.model.graph import Node

SIDE_ROLES = (Role.GAMMA, Role.SLOPE)
"""Roles of parameters that HTP takes in few forms."""


@record
class SideInput:
    """A stored scale or slope, the node that reads it, and the op that this is or becomes part of."""

    node: Node
    name: str
    role: Role
    op: str

    @property
    def words(self) -> str:
        """Such as `the scale of LayerNormalization`."""
        spelled_out = "" if self.op == self.node.op_type else " (spelled out)"
        return f"the {'scale' if self.role is Role.GAMMA else 'slope'} of {self.op}{spelled_out}"


def side_inputs(view: ModelView) -> Iterator[SideInput]:
    """Every stored scale of a normalization and slope of a PRelu that reaches conversion, once each.

    A BatchNormalization behind a convolution is folded into it, and its scale with it. A layer normalization
    that is spelled out becomes one, with the factor behind it as scale.
    """
    seen: set[str] = set()
    for node in view.official_nodes:
        maker = node.graph.producer(node.input(0))
        if node.op_type == "BatchNormalization" and maker is not None and maker.op_type in CONVOLUTIONS:
            continue
        for role in SIDE_ROLES:
            for place in positions(node.op_type, role):
                name = node.input(place)
                if name and name not in seen and node.graph.constant(name) is not None:
                    seen.add(name)
                    yield SideInput(node, name, role, node.op_type)
    for pattern in view.patterns:
        if pattern.layer == "LayerNorm":
            found = _scale_behind(view, pattern)
            if found is not None and found.name not in seen:
                seen.add(found.name)
                yield found


def _scale_behind(view: ModelView, pattern: Pattern) -> SideInput | None:
    """The factor behind a layer normalization over the last axis that is spelled out."""
    # Imported here because it imports onnx, which rules on an override file alone do without.
    from dlclint.analysis.matching.terms import other_operand, sole_reader
    from dlclint.analysis.norms import summed_axes

    graph = next(graph for graph in view.as_float.model.graphs() if graph.path == pattern.path)
    members = pattern.members(graph)
    rank = graph.rank(pattern.source)
    means = [node for node in members if node.op_type == "ReduceMean"]
    if rank is None or any(summed_axes(node) != [rank - 1] for node in means):
        return None
    scaled = sole_reader(graph, members[-1].output(0))
    if scaled is None or scaled.op_type != "Mul" or scaled.domain:
        return None
    name = other_operand(scaled, members[-1].output(0))
    if not name or graph.constant(name) is None:
        return None
    return SideInput(scaled, name, Role.GAMMA, "LayerNormalization")


def takes_wide(op_type: str, hexagon: int | None) -> bool:
    """Whether HTP takes an op's scale or slope at 16 bits as quantizers make it, with any zero point."""
    since = side_input_forms().get((op_type, 16, UINT16), 68)
    return since is not None and since <= (hexagon or 68)


def computed_products(view: ModelView) -> Iterator[Node]:
    """The MatMul and Einsum nodes that multiply two activations."""
    # Imported here because it imports onnx, which rules on an override file alone do without.
    from dlclint.analysis.folding import is_static

    for op in CONTRACTIONS:
        for node in view.by_op.get(op, ()):
            both = node.inputs[:2]
            if len(both) == 2 and not any(is_static(node.graph, name, view.folded) for name in both):
                yield node
