"""Which 4-D tensors are images, so that their second axis is channels.

ONNX does not state it. The inputs and outputs of a layout-sensitive op are NCHW, and so are 4-D inputs of the
model, which the converter assumes to be NCHW (80-63442-2 Rev BL, Tools, --input_layout). From there the
layout spreads, in both directions, through ops that keep the order of the axes; it ends at Reshape,
Transpose, MatMul and the like.
"""

from __future__ import annotations

from collections import defaultdict

from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import KEEPS_AXES, LAYOUT_SENSITIVE


def image_tensors(graph: Graph, *, assumed: bool = True) -> frozenset[str]:
    """Names of the 4-D tensors of a graph that are NCHW.

    Without `assumed`, only those at an op that requires it.
    """
    beside: dict[str, list[str]] = defaultdict(list)
    seeds = [name for name in graph.inputs if assumed and graph.rank(name) == 4]
    for node in graph.nodes:
        names = _images_of(node)
        if node.op_type in LAYOUT_SENSITIVE:
            seeds.extend(names)
        elif node.op_type in KEEPS_AXES and names:
            # All through the first: each with each would be quadratic in a Concat of thousands.
            beside[names[0]].extend(names)
            for name in names:
                beside[name].append(names[0])
    images: set[str] = set()
    while seeds:
        name = seeds.pop()
        if name not in images:
            images.add(name)
            seeds.extend(beside[name])
    return frozenset(images)


def _images_of(node: Node) -> list[str]:
    """The 4-D tensors of a node that share its layout: no weights, and nothing stored."""
    inputs = node.inputs[:1] if node.op_type in LAYOUT_SENSITIVE else node.inputs
    return [
        name
        for name in (*inputs, *node.outputs)
        if name and node.graph.rank(name) == 4 and node.graph.constant(name) is None
    ]
