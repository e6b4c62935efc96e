"""What a model states about its tensors that an override format may leave out."""

from __future__ import annotations

from dlclint.analysis.roles import weight_uses
from dlclint.encodings.convert import TensorFacts
from dlclint.model.graph import Model


def placements(model: Model) -> dict[str, TensorFacts]:
    """For every tensor: whether it is a weight or bias, and its channel axis."""
    tensor_facts = {
        name: TensorFacts(False, None, None)
        for graph in model.graphs()
        for name in (*graph.inputs, *graph.initializers, *(o for node in graph.nodes for o in node.outputs))
    }
    for name, use in weight_uses(model):
        if use.axis is None:
            tensor_facts[name] = TensorFacts(True, 0, use.tensor.shape[0] if use.tensor.shape else None)
        else:
            tensor_facts[name] = TensorFacts(True, use.axis % max(1, len(use.tensor.shape)), use.channels)
    return tensor_facts
