"""The model as the backend gets it: with unique node names, its weights left in their files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import onnx
from onnx import numpy_helper

from dlclint.analysis.folding import NodeKey
from dlclint.model.external import FLAWS, resolve_location
from dlclint.model.graph import Graph, Model
from dlclint.model.tensors import Tensor, Unavailable
from dlclint_schemas.record import record

_NAME = re.compile(r"dlclint_(\d+)_(\d+)_")
"""Node names of a question: number of the graph, and index in it. ONNX Runtime adds text around them (the
function's name before, `_token_<number>` after).
"""


class CannotAsk(Exception):
    """The backend cannot be asked about the model; the argument states why in one sentence."""


@record
class Question:
    """A serialized model for the backend, and the mapping back to the file's nodes."""

    model: bytes
    folder: Path
    """The folder of the weights that `model` refers to by location."""
    nodes: Mapping[tuple[int, int], NodeKey]
    quantized: frozenset[NodeKey] = frozenset()
    """Nodes that quantization was inserted around, which must run quantized."""

    def node_of(self, name: str) -> NodeKey | None:
        """The node of the file for a name that the backend uses; None for a node that it added."""
        match = _NAME.search(name)
        return None if match is None else self.nodes.get((int(match[1]), int(match[2])))


def with_places(text: str) -> str:
    """A text of the backend in which places in the file replace the question's own node names."""
    return re.sub(rf"'?{_NAME.pattern}\w*'?", lambda match: f"node {match[2]}", text)


def question_of(model: Model, insert: Callable[[Model], frozenset[NodeKey]] | None = None) -> Question:
    """Convert a model to the form that the backend gets.

    Args:
        model: the model as read; it is not changed.
        insert: inserts quantization into the copy, and returns the nodes that it surrounds.

    Raises:
        CannotAsk: the model has no input left, or weights are missing.
    """
    if not model.graph.inputs:
        raise CannotAsk("the model has no input, and the backend takes no graph without one")
    asked = model.copy()
    home = _folder_of_weights(asked)
    nodes: dict[tuple[int, int], NodeKey] = {}
    for number, graph in enumerate(asked.graphs()):
        for node in graph.nodes:
            node.proto.name = f"dlclint_{number}_{node.index}_"
            nodes[number, node.index] = node.key
        if not graph.is_function:
            _store_constants(graph, home)
        for tensor in graph.initializers.values():
            _point_at(tensor, home)
    quantized = insert(asked) if insert is not None else frozenset()
    return Question(asked.proto.SerializeToString(), home, nodes, quantized)


def _folder_of_weights(model: Model) -> Path:
    """The folder of the weights' files: behind a link to the model only if no other file has weights.

    ONNX Runtime follows no link that leads out of the folder.
    """
    tensors = (tensor for graph in model.graphs() for tensor in graph.initializers.values())
    if any(tensor.is_external for tensor in tensors):
        return model.path.parent.resolve()
    return model.path.resolve().parent


def _store_constants(graph: Graph, home: Path) -> None:
    """Turn Constant nodes whose values remain in the file into initializers.

    ONNX Runtime reads initializers from external files, but not attributes. The node keeps its index: it
    becomes an empty Constant that nothing reads.
    """
    for node in graph.nodes:
        if node.op_type != "Constant" or not node.outputs:
            continue
        tensor = graph.constant(node.outputs[0])
        if tensor is None or tensor.payload is None:
            continue
        _point_at(tensor, home)
        stored = graph.proto.initializer.add()
        stored.CopyFrom(tensor.proto)
        stored.name = node.outputs[0]
        del node.proto.attribute[:]
        node.proto.attribute.append(onnx.helper.make_attribute("value_int", 0))
        node.proto.output[0] = f"{node.proto.name}unread"


def _point_at(tensor: Tensor, home: Path) -> None:
    """Make a tensor whose bytes are not in the message refer to their location, or hold its values."""
    if tensor.is_external:
        try:
            resolve_location(tensor.proto, tensor.file.parent)
        except FLAWS as error:
            raise CannotAsk(f"the weights of {tensor.name!r} are missing: {error}") from None
        return
    if tensor.payload is None:
        return
    proto = tensor.proto
    try:
        location = tensor.location()
        if location is None or location[0].resolve().parent != home:
            proto.CopyFrom(numpy_helper.from_array(tensor.array(), tensor.name))
            return
    except Unavailable as error:
        raise CannotAsk(f"the weights of {tensor.name!r} cannot be read: {error}") from None
    path, offset, _ = location
    proto.data_location = onnx.TensorProto.EXTERNAL
    for key, value in _entries(path, offset, tensor.nbytes):
        entry = proto.external_data.add()
        entry.key, entry.value = key, value


def _entries(path: Path, offset: int, size: int) -> Iterator[tuple[str, str]]:
    yield "location", path.resolve().name
    yield "offset", str(offset)
    yield "length", str(size)
