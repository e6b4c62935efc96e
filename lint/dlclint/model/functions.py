"""Model-local functions: what their calls pass in, and the types inside that follow from it.

A function is one graph to the rules, however often it is called, so that a flaw in it is one finding. Only
the types that all calls agree on are known for its tensors; where they differ, `Graph.variants` has the types
of each call. The cost is that of one inference for each way in which a function is called.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

import onnx

from dlclint.contained.guard import spot
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.native import INFERENCE
from dlclint.model.propagation import stays_small
from dlclint.model.protos import nodes_below, subgraphs
from dlclint.model.tensors import Array
from dlclint.model.types import TensorType, joined, tensor_type
from dlclint_schemas.record import record

_VARIANTS = 8
"""Ways of calling a function that are distinguished; with more, only what all agree on is known."""
_GIVEN = 64
"""Elements up to which a value that a call passes in is read: sizes, axes, scales."""
_EXPANDED = 30_000
"""Nodes up to which onnx's inference, which follows calls within calls, may run on the whole model."""
_PRODUCT = 10_000_000
"""Calls times functions that it may follow: each call makes it walk over all functions (0.6 s)."""
_DEEP = 200
"""Nesting depth of calls that it may follow."""
_EXPANDED_IN_ALL = 200_000
"""Nodes in all inferences of a model's functions."""


@record
class Handed:
    """What a call passes in, by the function's inputs; attributes by name."""

    types: tuple[TensorType | None, ...]
    values: tuple[Array | None, ...]
    attributes: Mapping[str, onnx.AttributeProto]

    @property
    def key(self) -> tuple[object, ...]:
        """The same for calls that pass in the same."""
        values = tuple(None if v is None else (v.dtype.str, v.shape, v.tobytes()) for v in self.values)
        written = tuple((name, a.SerializeToString()) for name, a in sorted(self.attributes.items()))
        return (self.types, values, written)


@record
class _Context:
    """One way in which a function is called. `types` is None where there is only one."""

    attributes: Mapping[str, onnx.AttributeProto]
    types: Mapping[str, TensorType] | None = None


def caller_first(model: Model) -> tuple[Graph, ...]:
    """The functions, each after those that call it; recursive ones are left out."""
    waiting = {
        path: len({call.graph.root.path for call in calls if call.graph.root.is_function})
        for path, calls in model.calls.items()
    }
    callees: dict[str, dict[str, Graph]] = {}
    for function in model.functions:
        for call in model.calls[function.path]:
            if call.graph.root.is_function:
                callees.setdefault(call.graph.root.path, {})[function.path] = function
    ready = [function for function in model.functions if not waiting[function.path]]
    for function in ready:
        for path, callee in callees.get(function.path, {}).items():
            waiting[path] -= 1
            if not waiting[path]:
                ready.append(callee)
    return tuple(ready)


def expands_too_far(proto: onnx.ModelProto) -> bool:
    """Whether following every call would expand to too many nodes, never end, or cost too much."""
    return bool(proto.functions) and not _can_follow(proto, _sizes(proto))


def _can_follow(proto: onnx.ModelProto, sizes: Mapping[_Name, float]) -> bool:
    if _size(proto.graph, sizes) > _EXPANDED:
        return False
    calls = sum(_called(node) in sizes for node in nodes_below(proto.graph))
    return calls * len(proto.functions) <= _PRODUCT


_Name = tuple[str, str, str]


def _called(node: onnx.NodeProto) -> _Name:
    return (node.domain, node.op_type, node.overload)


def _sizes(proto: onnx.ModelProto) -> dict[_Name, float]:
    """Nodes of each function with all its calls inlined; infinity for recursive functions."""
    bodies = {(f.domain, f.name, f.overload): f for f in proto.functions}
    needs = {
        name: [_called(node) for node in nodes_below(body) if _called(node) in bodies]
        for name, body in bodies.items()
    }
    sizes: dict[_Name, float] = {}
    depths: dict[_Name, int] = {}
    for start in bodies:
        stack = [(start, iter(needs[start]))]
        open_ = {start}
        while stack and start not in sizes:
            name, rest = stack[-1]
            need = next((need for need in rest if need not in sizes and need not in open_), None)
            if need is not None:
                open_.add(need)
                stack.append((need, iter(needs[need])))
                continue
            stack.pop()
            # A function that is still open is recursive; one that is too deep would end onnx's recursion and
            # the process.
            depths[name] = 1 + max((depths.get(need, _DEEP) for need in needs[name]), default=0)
            sizes[name] = math.inf if depths[name] > _DEEP else _size(bodies[name], sizes)
            open_.discard(name)
    return sizes


def _size(graph: onnx.GraphProto | onnx.FunctionProto, sizes: Mapping[_Name, float]) -> float:
    return sum(sizes.get(_called(node), 1) for node in nodes_below(graph))


class FunctionTypes:
    """The types in a model's functions, derived from the types at their calls."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._sizes = _sizes(model.proto)
        self.followed = _can_follow(model.proto, self._sizes) and not model.crashes.ended(INFERENCE)
        """Whether onnx's inference followed the calls of the main graph."""
        self._left: float = _EXPANDED_IN_ALL
        self._protos = {(f.domain, f.name, f.overload): f for f in model.proto.functions}
        self._contexts: dict[str, list[_Context]] = {}
        self._inferred: dict[tuple[object, ...], onnx.GraphProto] = {}

    def outputs(self, node: Node) -> dict[str, TensorType]:
        """The types of a call's outputs, derived from its inputs."""
        body = self.model.function_of(node)
        if body is None or node.graph.root.is_function:
            return {}
        types = _types(self._infer(body, self._handed(node, body, _Context({}))))
        ends = zip(node.outputs, body.outputs, strict=False)
        return {name: types[end] for name, end in ends if name and end in types}

    def settle(self) -> Iterator[Graph]:
        """Give each function the types of its calls, callers first, and yield it to be refined."""
        for body in caller_first(self.model):
            calls = self.model.calls[body.path]
            ways: dict[tuple[object, ...], Handed] = {}
            for call in calls:
                for context in self._around(call):
                    handed = self._handed(call, body, context)
                    ways.setdefault(handed.key, handed)
            if not ways:
                continue
            handed_over = list(ways.values())
            if len(handed_over) > _VARIANTS:
                handed_over = [reduce(_agreed, handed_over)]
            self._adopt(body, handed_over)
            body.static_inputs = frozenset(
                name for i, name in enumerate(body.inputs) if all(_is_stored(call, i) for call in calls)
            )
            agreed = reduce(_agreed, handed_over)
            inputs = zip(body.inputs, agreed.values, strict=True)
            body.input_values = {name: value for name, value in inputs if value is not None}
            yield body

    def _around(self, call: Node) -> list[_Context]:
        """The ways in which the function that contains a call is called."""
        root = call.graph.root
        return self._contexts.get(root.path, []) if root.is_function else [_Context({})]

    def _handed(self, call: Node, body: Graph, around: _Context) -> Handed:
        names = [call.input(i) for i in range(len(body.inputs))]
        types = [self._type(call, name, around) for name in names]
        values = [self._value(call, name, value_type) for name, value_type in zip(names, types, strict=True)]
        proto = self._protos[_called(call.proto)]
        attributes = {attribute.name: attribute for attribute in proto.attribute_proto}
        for attribute in call.proto.attribute:
            if not attribute.ref_attr_name:
                attributes[attribute.name] = attribute
            elif attribute.ref_attr_name in around.attributes:
                attributes[attribute.name] = around.attributes[attribute.ref_attr_name]
        return Handed(tuple(types), tuple(values), attributes)

    def _type(self, call: Node, name: str, around: _Context) -> TensorType | None:
        if not name:
            return None
        if around.types is not None and name in around.types:
            return around.types[name]
        return call.graph.type_of(name)

    def _value(self, call: Node, name: str, value_type: TensorType | None) -> Array | None:
        shape = None if value_type is None else value_type.static_shape
        if shape is None or len(shape) > 1 or math.prod(shape) > _GIVEN:
            return None
        return self.model.values.whole(call.graph, name)

    def _adopt(self, body: Graph, ways: Sequence[Handed]) -> None:
        inferred = [self._infer(body, handed) for handed in ways]
        tables = _join(body, inferred)
        several = len(tables) > 1
        body.variants = tuple(tables) if several and any(table != tables[0] for table in tables) else ()
        self._contexts[body.path] = [
            _Context(handed.attributes, table if several else None)
            for handed, table in zip(ways, tables, strict=True)
        ]

    def _infer(self, body: Graph, handed: Handed) -> onnx.GraphProto:
        """A function's body as a separate graph, inferred with what a call passes in."""
        key = (body.path, handed.key)
        if key not in self._inferred:
            self._inferred[key] = self._inferred_anew(body, handed)
        return self._inferred[key]

    def _inferred_anew(self, body: Graph, handed: Handed) -> onnx.GraphProto:
        function = body.proto
        model = onnx.ModelProto(ir_version=self.model.proto.ir_version)
        model.opset_import.extend(function.opset_import or self.model.proto.opset_import)
        graph = model.graph
        for node in function.node:
            graph.node.add().CopyFrom(node)
        _bind(graph.node, handed.attributes)
        graph.value_info.extend(getattr(function, "value_info", ()))
        for name, value_type, value in zip(body.inputs, handed.types, handed.values, strict=True):
            if value is not None:
                graph.initializer.append(onnx.numpy_helper.from_array(value, name))
            elif value_type is not None:
                kind = onnx.helper.make_tensor_type_proto(value_type.data_type, value_type.shape)
                graph.input.add(name=name).type.CopyFrom(kind)
        for name in body.outputs:
            graph.output.add(name=name)
        size = _size(graph, self._sizes)
        # No more functions are reached than are expanded, so they are looked for only where calls are
        # followed.
        if size <= min(_EXPANDED, self._left):
            calls = self._reached(graph)
            self._left -= size if calls else 0
            model.functions.extend(calls)
        try:
            value_type = onnx.GraphProto()
            # A part of a message keeps the whole message in memory, and with it all functions.
            value_type.CopyFrom(
                self.model.crashes.attempt(
                    INFERENCE,
                    onnx.shape_inference.infer_shapes,
                    model,
                    graph=body.path,
                    op=body.path,
                    where=spot(body.path),
                    size=model.ByteSize(),
                    data_prop=stays_small(graph),
                ).graph
            )
            return value_type
        except Exception:  # the checker reports what is wrong; here, less is known
            return graph

    def _reached(self, graph: onnx.GraphProto) -> list[onnx.FunctionProto]:
        """The functions that a graph calls, directly or indirectly."""
        reached: dict[_Name, onnx.FunctionProto] = {}
        pending = [graph]
        while pending:
            for node in nodes_below(pending.pop()):
                name = _called(node)
                if name in self._protos and name not in reached:
                    reached[name] = self._protos[name]
                    pending.append(reached[name])
        return list(reached.values())


def _agreed(one: Handed, other: Handed) -> Handed:
    """What two calls have in common."""
    types = tuple(joined(a, b) for a, b in zip(one.types, other.types, strict=True))
    values = tuple(a if _is_same(a, b) else None for a, b in zip(one.values, other.values, strict=True))
    attributes = {name: a for name, a in one.attributes.items() if other.attributes.get(name) == a}
    return Handed(types, values, attributes)


def _is_same(one: Array | None, other: Array | None) -> bool:
    if one is None or other is None:
        return False
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _is_stored(call: Node, position: int) -> bool:
    name = call.input(position)
    return bool(name) and (call.graph.constant(name) is not None or name in call.graph.root.static_inputs)


def _bind(nodes: Sequence[onnx.NodeProto], attributes: Mapping[str, onnx.AttributeProto]) -> None:
    """Replace references to the function's attributes by the values of a call."""
    for node in nodes:
        for position in reversed(range(len(node.attribute))):
            name, wanted = node.attribute[position].name, node.attribute[position].ref_attr_name
            if wanted in attributes:
                node.attribute[position].CopyFrom(attributes[wanted])
                node.attribute[position].name = name
            elif wanted:
                del node.attribute[position]
        for _, body in subgraphs(node):
            _bind(body.node, attributes)


def _types(graph: onnx.GraphProto) -> dict[str, TensorType]:
    tensor_types = {
        value.name: kind
        for group in (graph.value_info, graph.output, graph.input)
        for value in group
        if (kind := tensor_type(value.type)) is not None
    }
    for tensor in graph.initializer:
        tensor_types[tensor.name] = TensorType(tensor.data_type, tuple(tensor.dims))
    return tensor_types


def _join(graph: Graph, inferred: Sequence[onnx.GraphProto]) -> list[dict[str, TensorType]]:
    """Give a graph and its subgraphs the types that inferred copies agree on; returns each copy's types."""
    tables = [_types(copy) for copy in inferred]
    first, rest = tables[0], tables[1:]
    for name, value_type in first.items():
        both: TensorType | None = value_type
        for table in rest:
            both = joined(both, table.get(name))
        if both is not None:
            graph.learn_type(name, both)
    for node in graph.nodes:
        if node.subgraphs:
            copies = [[body for _, body in subgraphs(copy.node[node.index])] for copy in inferred]
            if all(len(bodies) == len(node.subgraphs) for bodies in copies):
                for number, body in enumerate(node.subgraphs):
                    _join(body, [bodies[number] for bodies in copies])
    return tables
