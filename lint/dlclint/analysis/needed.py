"""The range that a tensor's grid needs on HTP because of the ops that make and read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlclint_schemas.grid_limits import grid_limits

if TYPE_CHECKING:
    from dlclint.model.graph import Node


def needed_range(maker: Node, name: str, low: float, high: float, bitwidth: int) -> tuple[float, float]:
    """A range of a tensor, widened where HTP computes its maker or a reader wrongly with it.

    Only ops that read the tensor itself are considered, not those behind a Reshape.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    for node in (maker, *maker.graph.consumers(name)):
        limit = None if node.domain else grid_limits().get(node.op_type)
        if limit is not None and limit.is_output == (node is maker):
            low, high = limit.widened(low, high, bitwidth)
    return low, high
