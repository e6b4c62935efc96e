"""Edits that give a node another constant, whatever stores it and whatever else reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx

from dlclint.model.edits import ModelEdit, PutInitializer, ReplaceNodes, SetInput
from dlclint.model.graph import Graph, Node
from dlclint.model.tensors import Array, Produced


def fresh_name(graph: Graph, wanted: str) -> str:
    """A tensor name, similar to the wanted one, that the model does not have.

    Derive it from the name of an output that the same fix produces or changes: two fixes of one round then
    never choose the same name.
    """
    taken = graph.model.tensor_names
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def add_constant(graph: Graph, name: str, values: Array | Produced) -> ModelEdit:
    """Add a constant: an initializer, or a Constant node in a function, which has no initializers."""
    if not graph.is_function:
        return PutInitializer(graph, name, values)
    return ReplaceNodes(graph, (), (_constant_node(name, "", values),))


def replace_constant(reads: Sequence[tuple[Node, int]], values: Array | Produced) -> Iterator[ModelEdit]:
    """Give other values to a constant, for those that read it here: nodes of one graph, and which input.

    The tensor keeps its name if nothing else reads it; otherwise these nodes read a new one.
    """
    first, place = reads[0]
    graph, name = first.graph, first.input(place)
    number = sum(node.inputs.count(name) for node in graph.consumers(name))
    alone = number == len(reads) and name not in graph.outputs
    maker = graph.producer(name)
    if alone and name in graph.initializers:
        yield PutInitializer(graph, name, values)
    elif alone and maker is not None and maker.graph is graph and maker.op_type == "Constant":
        yield ReplaceNodes(graph, (maker,), (_constant_node(name, maker.name, values),))
    else:
        new = fresh_name(graph, f"{name}_for_{next(filter(None, first.outputs), first.op_type)}")
        yield add_constant(graph, new, values)
        for node, position in reads:
            yield SetInput(node, position, new)


def _constant_node(output: str, name: str, values: Array | Produced) -> onnx.NodeProto:
    array = values.array() if isinstance(values, Produced) else values
    tensor = onnx.numpy_helper.from_array(array)
    return onnx.helper.make_node("Constant", [], [output], name=name, value=tensor)
