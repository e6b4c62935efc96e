"""Applying to a draft what lifting decided: nodes removed, tensors renamed, weights dequantized."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx

from dlclint.model.draft import Draft
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import MICROSOFT
from dlclint.model.protos import graphs_below
from dlclint.model.reading import message_at
from dlclint.model.tensors import Produced

TensorKey = tuple[str, str]
"""The path of a tensor's graph, and its name: branches of an If may share names."""
NodeKey = tuple[str, int]


@dataclass(slots=True)
class Changes:
    """The planned changes of a QDQ model."""

    called: dict[TensorKey, TensorKey] = field(default_factory=dict)
    """The name of a tensor in the float model, where that is another name."""
    gone: dict[NodeKey, list[tuple[TensorKey, TensorKey]]] = field(default_factory=dict)
    """Nodes that are removed; instead, Identity makes the second tensor of each pair from the first."""
    weights: dict[NodeKey, Produced] = field(default_factory=dict)
    """The stored values that replace the output of a removed node."""
    kinds: dict[TensorKey, int] = field(default_factory=dict)
    """Element types of tensors that held integers."""

    def call(self, tensor: TensorKey, name: TensorKey) -> None:
        """Rename a tensor, unless the new name belongs to another: models may produce names twice."""
        current = name
        while current != tensor and current in self.called:
            current = self.called[current]
        if current != tensor:
            self.called[tensor] = name

    def resolved(self, tensor: TensorKey) -> TensorKey:
        """The tensor of the float model that holds the values of a tensor of the QDQ model."""
        while tensor in self.called:
            tensor = self.called[tensor]
        return tensor


def rewrite(draft: Draft, model: Model, changes: Changes, aligned: bool) -> None:
    """Make the changes in a draft of a model; see `dlclint.analysis.qdq.lifting.lift`."""
    free = _Names(set(model.tensor_names))
    functions = model.functions if aligned else ()
    # Innermost first: rewriting a graph copies its nodes with the graphs inside them.
    for graph in reversed([g for whole in (model.graph, *functions) for g in whole.with_subgraphs()]):
        proto = message_at(draft.proto, graph.wire_path)
        rewritten = _nodes(draft, graph, proto, changes, free if aligned else None)
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in rewritten]
        del proto.node[:]
        proto.node.extend(nodes)
        _values(graph, proto, changes)
    if not aligned:
        _tidy(draft.proto, model, changes)


def place(graph: Graph, name: str) -> TensorKey:
    """The graph, this or an enclosing one, that has a tensor, and the tensor's name."""
    around: Graph | None = graph
    while around is not None:
        if name in around.inputs or name in around.initializers or around.makes(name):
            return (around.path, name)
        around = around.parent
    return (graph.path, name)


class _Names:
    """Names that no tensor has."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken

    def new(self, name: str) -> str:
        while name in self._taken:
            name += "/stripped"
        self._taken.add(name)
        return name


def _nodes(
    draft: Draft,
    graph: Graph,
    proto: onnx.GraphProto | onnx.FunctionProto,
    changes: Changes,
    free: _Names | None,
) -> Iterator[onnx.NodeProto]:
    for node, message in zip(graph.nodes, proto.node, strict=True):
        if node.key not in changes.gone:
            for names in (message.input, message.output):
                for position, name in enumerate(names):
                    if name:
                        names[position] = changes.resolved(place(graph, name))[1]
            yield message
            continue
        values = changes.weights.get(node.key)
        stand_ins = [
            (changes.resolved(read)[1], changes.resolved(output)[1])
            for read, output in changes.gone[node.key]
        ]
        nodes = [onnx.helper.make_node("Identity", [a], [b], node.name) for a, b in stand_ins]
        if values is not None and free is not None:
            nodes.append(_constant(draft, node, node.output(0), values))
        elif values is not None:
            draft.put_initializer(node.output(0), values, proto)
        elif not nodes and free is not None:
            nodes.append(
                _constant(draft, node, free.new(node.output(0)), Produced.of(np.zeros(1, np.float32)))
            )
        yield from nodes


def _constant(draft: Draft, node: Node, name: str, values: Produced) -> onnx.NodeProto:
    proto = onnx.helper.make_node("Constant", [], [name], node.name)
    value = proto.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    draft.put(value.t, values)
    return proto


def _values(graph: Graph, proto: onnx.GraphProto | onnx.FunctionProto, changes: Changes) -> None:
    """Update declared types; those of tensors inside the graph are computed again."""
    kept = [
        value
        for value in proto.value_info
        if (graph.path, value.name) not in changes.called and (graph.path, value.name) not in changes.kinds
    ]
    if len(kept) < len(proto.value_info):
        kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
        del proto.value_info[:]
        proto.value_info.extend(kept)
    for value in () if isinstance(proto, onnx.FunctionProto) else (*proto.input, *proto.output):
        kind = changes.kinds.get((graph.path, value.name))
        if kind is not None:
            value.type.tensor_type.elem_type = kind


def _tidy(proto: onnx.ModelProto, model: Model, changes: Changes) -> None:
    """Drop integers, scales and zero points that nothing reads any more, and an unused domain."""
    loose = {
        name
        for graph in model.graph.with_subgraphs()
        for node in graph.nodes
        if node.key in changes.gone
        for name in node.inputs
    }
    reads = Counter(_read(proto.graph))
    graphs = [*graphs_below(proto.graph)][::-1]
    while sum(_drop_nodes(graph, loose, reads) for graph in graphs):
        pass  # sorted nodes go in the first round
    for graph in graphs:
        _drop_stored(graph, {name for name in loose if not reads[name]})
    domains = {node.domain for graph in graphs_below(proto.graph) for node in graph.node}
    domains |= {node.domain for function in proto.functions for node in function.node}
    kept = [opset for opset in proto.opset_import if opset.domain != MICROSOFT or opset.domain in domains]
    kept = [onnx.OperatorSetIdProto.FromString(opset.SerializeToString()) for opset in kept]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def _drop_nodes(graph: onnx.GraphProto, loose: set[str], reads: Counter[str]) -> bool:
    """Drop constants and copies that are loose and not read, the last first: what they read follows."""
    before = len(graph.node)
    for index in reversed(range(before)):
        node = graph.node[index]
        if node.op_type in ("Constant", "Identity") and node.output:
            name = node.output[0]
            if name in loose and not reads[name]:
                loose.update(node.input)
                reads.subtract(node.input)
                del graph.node[index]
    return len(graph.node) < before


def _drop_stored(graph: onnx.GraphProto, names: set[str]) -> None:
    """Drop what is stored under these names, and the inputs that declare it."""
    stored = {tensor.name for tensor in graph.initializer} & names
    for protos in (graph.initializer, graph.input):
        for index in reversed(range(len(protos))):
            if protos[index].name in stored:
                del protos[index]


def _read(graph: onnx.GraphProto) -> Iterator[str]:
    for inner in graphs_below(graph):
        yield from (value.name for value in inner.output)
        for node in inner.node:
            yield from node.input
