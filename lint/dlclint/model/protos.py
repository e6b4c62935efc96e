"""The protobuf form of an ONNX model: its field numbers by name, and one walk over subgraphs.

Source of the numbers: onnx.proto (onnx/onnx, IR version 14).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

WirePath = tuple[int, ...]
"""Pairs of field number and occurrence from one message down to another."""


class Names(tuple[str, ...]):
    """Names in order, with a fast membership test."""

    @cached_property
    def _each(self) -> frozenset[str]:
        return frozenset(self)

    def __contains__(self, name: object) -> bool:
        return name in self._each


class ModelField:
    """Numbers of ModelProto's fields."""

    GRAPH = 7
    FUNCTIONS = 25


class GraphField:
    """Numbers of GraphProto's fields."""

    NODE = 1
    INITIALIZER = 5
    SPARSE_INITIALIZER = 15


class FunctionField:
    """Numbers of FunctionProto's fields."""

    NODE = 7


class NodeField:
    """Numbers of NodeProto's fields."""

    ATTRIBUTE = 5


class AttributeField:
    """Numbers of AttributeProto's fields."""

    T = 5
    G = 6
    TENSORS = 10
    GRAPHS = 11
    SPARSE_TENSOR = 22
    SPARSE_TENSORS = 23


class SparseField:
    """Numbers of SparseTensorProto's fields."""

    VALUES = 1
    INDICES = 2


class TensorField:
    """Numbers of TensorProto's fields."""

    FLOAT_DATA = 4
    INT32_DATA = 5
    INT64_DATA = 7
    RAW_DATA = 9
    DOUBLE_DATA = 10
    UINT64_DATA = 11
    EXTERNAL_DATA = 13
    DATA_LOCATION = 14


def subgraphs(node: onnx.NodeProto) -> Iterator[tuple[WirePath, onnx.GraphProto]]:
    """The graphs that a node's attributes hold, each with its path from the node."""
    for position, attribute in enumerate(node.attribute):
        if attribute.HasField("g"):
            yield (NodeField.ATTRIBUTE, position, AttributeField.G, 0), attribute.g
        graphs = attribute.graphs
        for occurrence, graph in enumerate(graphs) if graphs else ():
            yield (NodeField.ATTRIBUTE, position, AttributeField.GRAPHS, occurrence), graph


def graphs_below(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.GraphProto]:
    """A graph, or a function's body, and all subgraphs below it, outer ones first."""
    yield graph
    for node in graph.node:
        for _, inner in subgraphs(node):
            yield from graphs_below(inner)


def nodes_below(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph or function and of all subgraphs, each before the nodes that it contains."""
    for node in graph.node:
        yield node
        for _, inner in subgraphs(node):
            yield from nodes_below(inner)


def function_path(function: onnx.FunctionProto) -> str:
    """The name of a function in the paths of graphs."""
    overload = f":{function.overload}" if function.overload else ""
    return f"function {function.domain}:{function.name}{overload}"
