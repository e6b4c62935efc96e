"""Scales of normalizations, slopes and second inputs: where they are, and what becomes of them on HTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.model.op_facts import CONVOLUTIONS, Role, positions
from dlclint_schemas.record import record
from dlclint_schemas.side_inputs import UINT16, side_input_forms

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView
    from dlclint.model.graph import Node

SIDE_ROLES = (Role.GAMMA, Role.SLOPE)
"""Roles of parameters that HTP takes in few forms."""


@record
class SideInput:
    """A stored scale or slope, and the op that reads it."""

    node: Node
    name: str
    role: Role

    @property
    def words(self) -> str:
        """Such as `the scale of LayerNormalization`."""
        return f"the {'scale' if self.role is Role.GAMMA else 'slope'} of {self.node.op_type}"


def side_inputs(view: ModelView) -> Iterator[SideInput]:
    """Every stored scale of a normalization and slope of a PRelu that reaches conversion, once each.

    A BatchNormalization behind a convolution is folded into it, and its scale with it.
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
                    yield SideInput(node, name, role)


def takes_wide(op_type: str, hexagon: int | None) -> bool:
    """Whether HTP takes an op's scale or slope at 16 bits as quantizers make it, with any zero point."""
    since = side_input_forms().get((op_type, 16, UINT16), 68)
    return since is not None and since <= (hexagon or 68)


def computed_products(view: ModelView) -> Iterator[Node]:
    """The MatMul and Einsum nodes that multiply two activations."""
    # Imported here because it imports onnx, which rules on an override file alone do without.
    from dlclint.analysis.folding import is_static

    for op in ("MatMul", "Einsum"):
        for node in view.by_op.get(op, ()):
            both = node.inputs[:2]
            if len(both) == 2 and not any(is_static(node.graph, name, view.folded) for name in both):
                yield node
