"""Contradictory shapes and types of a model, by onnx's strict inference, node by node.

onnx collects all errors of its inference and names nodes by op and name, which need not be unique, so the
collected errors only show whether there are any; the nodes are then inferred one by one. What inference does
not check, but no runtime computes, is in `dlclint.model.operands`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import onnx

from dlclint.contained.guard import Ended
from dlclint.diagnostic import first_few
from dlclint.model.attributes import DOMAINS, input_parameters
from dlclint.model.evaluation.values import Value
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.inference import ask_node, computed_values, shape_contradiction
from dlclint.model.op_facts import VALUE_INPUTS
from dlclint.model.operands import misfit
from dlclint.model.types import Dim, TensorType, tensor_type
from dlclint_schemas.record import record

_UNTOLD = "expected to have type but instead is null"
"""What inference reports for an input whose type it does not have."""
_TAGS = re.compile(r"\[(?:Shape|Type)InferenceError\] *|Inference error\(s\): *|^\(op_type:[^)]*\): *")


@record
class Contradiction:
    """Two statements about a tensor or node that exclude each other."""

    node: Node
    words: str
    """The contradiction, in one line."""
    tensor: str = ""
    """The output whose declaration differs from what follows; "" where the node itself is contradictory."""
    inferred: bool = True
    """Whether the words are those of onnx's inference, or follow from its types."""
    lenient: bool = False
    """Whether ONNX Runtime loads the model anyway: it infers the sizes again and warns."""


def contradictions(model: Model) -> tuple[Contradiction, ...]:
    """Every contradiction of a model, in the order of its nodes.

    Nothing is reported about a node whose operands are unknown, nor about calls and bodies themselves: their
    nodes are checked with their operands.
    """
    told = "" if model.consistent else shape_contradiction(model.proto, model.crashes)
    results: list[Contradiction] = list(_of_stored(model.graph)) if told else []
    for graph in model.graphs():
        if graph.variants:
            continue  # a function that is called in several ways has no single types
        for node in graph.nodes:
            if node.domain in DOMAINS and not node.subgraphs and not model.is_function(node):
                results += list(_of_node(node, told != ""))
    if told and not results and _UNTOLD not in told:
        results += _of_bodies(model, told)
    return tuple(results)


def _of_stored(graph: Graph) -> Iterator[Contradiction]:
    """Stored tensors that are listed as inputs of another type, which ONNX Runtime does not load."""
    for value in graph.proto.input:
        stored, declared = graph.initializers.get(value.name), tensor_type(value.type)
        reader = next(iter(graph.consumers(value.name)), None)
        if stored is None or declared is None or reader is None:
            continue
        kind = TensorType(stored.data_type, stored.shape)
        if declared.data_type != kind.data_type or (declared.shape or kind.shape) != kind.shape:
            words = f"{value.name!r} is declared as an input {declared} and stored as {kind}"
            yield Contradiction(reader, words, inferred=False)


def _of_node(node: Node, again: bool) -> Iterator[Contradiction]:
    tensor_types: dict[str, TensorType] = {}
    values = _news(node)
    if (again or values or not node.graph.model.refined.isdisjoint(node.inputs)) and _is_told(node):
        try:
            tensor_types = ask_node(node, values)
        except Ended:
            return
        except Exception as error:  # inference raises InferenceError, ValidationError and others
            words = _words(error)
            if _UNTOLD not in words and not any(node.mistyped()):  # which ops/attribute-type reports
                yield Contradiction(node, words)
                return
    words = misfit(node) or _bound_twice(node)
    if words:
        yield Contradiction(node, words, inferred=False)
        return
    for name, kind in tensor_types.items():
        yield from _declared_otherwise(node, name, kind)


def _bound_twice(node: Node) -> str:
    """Inputs of different element types that the operator binds to one type parameter, in one line, or "".

    onnx's inference compares them only for operators that have an inference function.
    """
    opset = node.graph.opset(node.domain)
    if len(node.inputs) < 2 or opset is None:
        return ""
    first: dict[str, tuple[TensorType, int]] = {}
    parameters = input_parameters(node.op_type, node.domain, opset)
    for position, name in enumerate(node.inputs):
        kind = node.graph.type_of(name) if name and parameters else None
        if kind is None or not kind.data_type:
            continue
        parameter = parameters[min(position, len(parameters) - 1)]
        known, at = first.setdefault(parameter, (kind, position))
        if parameter and known.data_type != kind.data_type:
            both = f"input {at} is {known.element} and input {position} is {kind.element}"
            return f"{both}, which have to be of one type"
    return ""


def _news(node: Node) -> dict[str, Value]:
    return computed_values(node) if node.op_type in VALUE_INPUTS else {}


def _words(error: Exception | str) -> str:
    return _TAGS.sub("", " ".join(str(error).split())).strip() or type(error).__name__


def _of_bodies(model: Model, told: str) -> Iterator[Contradiction]:
    """The first node with bodies, or that calls a function, whose op onnx's errors (`told`) name."""
    for graph in model.graphs():
        for node in graph.nodes:
            calls = node.subgraphs or model.is_function(node)
            if calls and re.search(rf"\(op_type:{re.escape(node.op_type)}\b", told):
                yield Contradiction(node, _words(told))
                return


def _is_told(node: Node) -> bool:
    """Whether enough is known about a node's inputs for inference to check them."""
    kinds = [node.graph.type_of(name) for name in node.inputs if name]
    return all(kind is None or kind.data_type != onnx.TensorProto.UNDEFINED for kind in kinds)


def _declared_otherwise(node: Node, name: str, follows: TensorType) -> Iterator[Contradiction]:
    declared = node.graph.type_of(name)
    if declared is None:
        return
    known = follows.data_type and declared.data_type
    if known and follows.data_type != declared.data_type:
        yield Contradiction(node, f"declared as {declared}, {follows} follows", name)
    elif declared.shape is not None and follows.shape is not None and not _is_negative(follows.shape):
        pairs = list(zip(declared.shape, follows.shape, strict=False))
        other = any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs)
        if len(declared.shape) != len(follows.shape) or other:
            yield Contradiction(node, f"declared as {declared}, {follows} follows", name, lenient=True)


def _is_negative(shape: tuple[Dim, ...]) -> bool:
    """Whether inference returned a size below 0, as it does for a pooling window beyond its input."""
    return any(isinstance(size, int) and size < 0 for size in shape)


def operand_texts(node: Node) -> str:
    """A node's inputs with their types, such as `'x' float[1,3], 'w' float[5]`."""
    graph: Graph = node.graph
    shown = [f"{name!r} {graph.type_of(name) or 'of unknown type'}" for name in node.inputs if name]
    return first_few(shown, len(shown), 4)
