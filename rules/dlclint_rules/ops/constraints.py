"""Which constraints of the supported-ops table apply to a model's nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.model.graph import Node
from dlclint.rule import ModelContext
from dlclint_schemas.ops import Constraint

if TYPE_CHECKING:
    pass


def constrained(context: ModelContext, *kinds: str) -> Iterator[tuple[Node, Constraint]]:
    """Nodes with the constraints of these kinds that apply to their operator version."""
    rows = context.view.table.rows
    for node in context.view.official_nodes:
        row = rows.get(node.op_type)
        if row is not None:
            version = node.version or max(row.versions)
            for constraint in row.constraints:
                if constraint.kind in kinds and constraint.applies_to(version):
                    yield node, constraint
