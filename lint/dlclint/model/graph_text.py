"""A model as lines of text, one per node, for comparison by `difflib`."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from dlclint.diagnostic import plain
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.tensors import Tensor, Unavailable

_VALUES = 8
"""Values shown of a tensor; for larger ones type and shape are enough."""


def graph_text(model: Model) -> str:
    """Opsets, inputs, initializers, nodes and outputs of every graph; never a node's index.

    Names are unchanged, except for what could control a terminal.
    """
    lines = [f"opset {domain or 'ai.onnx'} {version}" for domain, version in model.opsets.items()]
    for graph in model.graphs():
        if graph.path:
            lines += ["", f"graph {plain(graph.path)}"]
        lines += [f"input {_typed(graph, name)}" for name in graph.inputs]
        lines += [_initializer(tensor) for tensor in graph.initializers.values()]
        lines += [_node(node) for node in graph.nodes]
        lines += [f"output {_typed(graph, name)}" for name in graph.outputs]
    return "\n".join(lines) + "\n"


def _typed(graph: Graph, name: str) -> str:
    return f"{plain(name)}: {plain(str(graph.type_of(name) or '?'))}"


def _initializer(tensor: Tensor) -> str:
    shape = ",".join(map(str, tensor.shape))
    text = f"initializer {plain(tensor.name)}: {_type_name(tensor.data_type)}[{shape}]"
    return f"{text}{_values(tensor)}"


def _type_name(kind: int) -> str:
    known = kind in onnx.TensorProto.DataType.values()
    return onnx.TensorProto.DataType.Name(kind).lower() if known else f"type {kind}"


def _values(tensor: Tensor) -> str:
    if not 0 < tensor.count <= _VALUES:
        return ""
    try:
        values = tensor.array().reshape(-1)
    except Unavailable:
        return ""
    return " = " + plain(", ".join(str(value) for value in values.tolist()))


def _node(node: Node) -> str:
    outputs = ", ".join(plain(name) or "-" for name in node.outputs)
    inputs = ", ".join(plain(name) or "-" for name in node.inputs)
    attributes = ", ".join(_attributes(node))
    attributes = f" <{attributes}>" if attributes else ""
    domain = f"{plain(node.domain)}." if node.domain else ""
    called = f"  # {plain(node.name)}" if node.name else ""
    return f"{outputs} = {domain}{plain(node.op_type)}{attributes}({inputs}){called}"


def _attributes(node: Node) -> Iterator[str]:
    for attribute in node.proto.attribute:
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            yield f"{plain(attribute.name)} = graph"
        elif attribute.type == onnx.AttributeProto.TENSOR:
            shape = ",".join(map(str, attribute.t.dims))
            kind = _type_name(attribute.t.data_type)
            tensor = node.graph.constant(node.outputs[0]) if node.op_type == "Constant" else None
            yield f"{plain(attribute.name)} = {kind}[{shape}]{'' if tensor is None else _values(tensor)}"
        else:
            yield plain(attribute_text(attribute))


def attribute_text(attribute: onnx.AttributeProto) -> str:
    """An attribute as onnx prints it; its name and type where onnx cannot print it."""
    try:
        return str(onnx.helper.printable_attribute(attribute))
    except (KeyError, ValueError, TypeError, AttributeError):  # for example a scalar of an undefined type
        return f"{attribute.name} = {onnx.AttributeProto.AttributeType.Name(attribute.type).lower()}"
