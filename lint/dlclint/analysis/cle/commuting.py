"""Ops through which a positive factor per channel passes unchanged.

Op(k x) = k Op(x) for every positive k that is constant within a channel (axis 1), channels staying separate
and in order. Cross-layer equalization may go through such ops; the SDK's goes only through Relu.
"""

from __future__ import annotations

from dlclint.analysis.matching.terms import clip_bounds
from dlclint.model.evaluation.bounds import real_numbers, whole_numbers
from dlclint.model.graph import Node
from dlclint.model.op_facts import HOMOGENEOUS, RESIZERS

_INTERPOLATIONS = ("nearest", "linear", "cubic")


def commutes(node: Node, tensor: str) -> bool:
    """Whether a factor on `tensor`, an input of the node, is unchanged in its first output."""
    if (
        node.domain
        or node.input(0) != tensor
        or list(node.inputs).count(tensor) != 1
        or any(node.outputs[1:])
    ):
        return False
    if node.op_type in HOMOGENEOUS:
        return True
    if node.op_type == "Clip":
        low, high = clip_bounds(node)
        return low == 0.0 and high is None and not node.input(2)
    if node.op_type == "Pad":
        return _pads_zeros(node)
    if node.op_type in RESIZERS:
        return (
            node.attribute("mode", "nearest") in _INTERPOLATIONS
            and node.attribute("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
            and _keeps_channels(node)
        )
    return False


def _pads_zeros(pad: Node) -> bool:
    """Whether a Pad does not change axis 1 and adds zeros, or values of the tensor itself."""
    graph = pad.graph
    if pad.has("pads"):
        pads, axes = pad.attribute("pads"), None
    else:
        pads = whole_numbers(graph.model.values.whole(graph, pad.input(1)))
        axes = whole_numbers(graph.model.values.whole(graph, pad.input(3))) if pad.input(3) else None
        if pads is None or (pad.input(3) and axes is None):
            return False
    count = len(pads) // 2
    named = axes if axes is not None else list(range(count))
    rank = graph.rank(pad.input(0)) or (count if axes is None else 0)
    if any(axis < 0 for axis in named) and not rank:
        return False
    for position, axis in enumerate(named):
        if (axis % rank if axis < 0 else axis) == 1 and (pads[position] or pads[position + count]):
            return False
    if pad.attribute("mode", "constant") != "constant":
        return True
    if pad.has("value"):
        return float(pad.attribute("value")) == 0.0
    if not pad.input(2):
        return True
    value = real_numbers(graph.model.values.whole(graph, pad.input(2)))
    return value is not None and value.size == 1 and not value.any()


def _keeps_channels(resize: Node) -> bool:
    """Whether batch and channels are unchanged."""
    before, after = (resize.graph.type_of(name) for name in (resize.input(0), resize.outputs[0]))
    if before is None or after is None or before.shape is None or after.shape is None:
        return False
    return len(before.shape) > 1 and before.shape[1] == after.shape[1] is not None
