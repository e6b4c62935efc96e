"""Scales of normalizations, slopes, bounds and second inputs: where they are, and how HTP takes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.model.op_facts import CONTRACTIONS, CONVOLUTIONS, Role, positions
from dlclint_schemas.record import record
from dlclint_schemas.side_inputs import UINT16, side_input_forms

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView
    from dlclint.model.graph import Node

SIDE_ROLES = (Role.GAMMA, Role.SLOPE, Role.BOUND)
"""Roles of parameters that HTP supports in few forms."""


_WORDS = {Role.GAMMA: "scale", Role.SLOPE: "slope", Role.BOUND: "bound"}


@record
class SideInput:
    """A stored scale, slope or bound, the node that reads it, and the op that the node is or becomes part of.

    `data` is the activation that the op reads.
    """

    node: Node
    name: str
    role: Role
    op: str
    data: str

    @property
    def words(self) -> str:
        """A text such as `the scale of LayerNormalization`."""
        spelled_out = "" if self.op == self.node.op_type else " (spelled out)"
        return f"the {_WORDS[self.role]} of {self.op}{spelled_out}"


def side_inputs(view: ModelView) -> Iterator[SideInput]:
    """Every stored scale of a normalization, slope of a PRelu and bound of a Clip that is converted.

    Each is yielded once. A BatchNormalization after a convolution is folded into it, and its scale with it. A
    normalization of layers or by root mean square that is written with basic ops becomes one op, with the
    factor after it as scale (AIMET 2.42, graph passes LayerNormalization and RMSNormalization).
    """
    seen: set[str] = set()
    for node in view.official_nodes:
        maker = node.graph.producer(node.input(0))
        if node.op_type == "BatchNormalization" and maker is not None and maker.op_type in CONVOLUTIONS:
            continue
        for role in SIDE_ROLES:
            for position in positions(node.op_type, role):
                name = node.input(position)
                if name and name not in seen and node.graph.constant(name) is not None:
                    seen.add(name)
                    yield SideInput(node, name, role, node.op_type, node.input(0))
    for side in _spelled_out(view):
        if side.name not in seen:
            seen.add(side.name)
            yield side


def _spelled_out(view: ModelView) -> Iterator[SideInput]:
    """The factors after normalizations over the last axis that are written with basic ops."""
    # Imported here because it imports onnx, which rules on an override file alone do not need.
    from dlclint.analysis.matching.norm_axes import spelled_norms
    from dlclint.analysis.matching.terms import other_operand, sole_reader

    for graph in view.as_float.model.graphs():
        for norm in spelled_norms(graph):
            output = norm.last.output(0)
            scaled = sole_reader(graph, output)
            if scaled is not None and scaled.op_type == "Cast":
                output = scaled.output(0)
                scaled = sole_reader(graph, output)
            if norm.axes != (norm.rank - 1,) or scaled is None or scaled.op_type != "Mul" or scaled.domain:
                continue
            name = other_operand(scaled, output)
            if name and graph.constant(name) is not None:
                op = "LayerNormalization" if norm.centered else "RMSNormalization"
                yield SideInput(scaled, name, Role.GAMMA, op, norm.tensor)


def takes_wide(op_type: str, hexagon: int | None) -> bool:
    """Whether HTP takes an op's scale or slope at 16 bits as quantizers write it, with any zero point."""
    since = side_input_forms().get((op_type, 16, UINT16), 68)
    return since is not None and since <= (hexagon or 68)


def computed_products(view: ModelView) -> Iterator[Node]:
    """The MatMul and Einsum nodes that multiply two activations."""
    # Imported here because it imports onnx, which rules on an override file alone do not need.
    from dlclint.analysis.folding import is_static

    for op in CONTRACTIONS:
        for node in view.by_op.get(op, ()):
            both = node.inputs[:2]
            if len(both) == 2 and not any(is_static(node.graph, name, view.folded) for name in both):
                yield node
