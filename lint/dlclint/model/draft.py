"""A model to be edited and written again: its structure, and where its large values come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from dlclint.model import dimensions as overrides
from dlclint.model import wire
from dlclint.model.checking import complaints
from dlclint.model.dimensions import Dimensions
from dlclint.model.evaluation.values import Values
from dlclint.model.graph import Model
from dlclint.model.inference import infer, refine
from dlclint.model.native import Crashes
from dlclint.model.protos import (
    AttributeField,
    FunctionField,
    GraphField,
    ModelField,
    NodeField,
    SparseField,
    WirePath,
    subgraphs,
)
from dlclint.model.reading import message_at, parse
from dlclint.model.tensors import Array, Produced
from dlclint.model.types import bits_per_element
from dlclint.model.weaving import REFERENCE, refer, referred

_FREE_INITIALIZERS = 4
"""IR version from which initializers need not be inputs as well (onnx.proto, IR_VERSION_2019_1_22)."""


@dataclass(slots=True)
class Draft:
    """An editable structure.

    In `proto`, a tensor whose values are not in the structure carries a reference (see
    `dlclint.model.weaving`) to one of `contents`: bytes of the source file, or values that are computed when
    written. Messages may be moved, copied and removed freely.
    """

    proto: onnx.ModelProto
    path: Path
    """The source."""
    stamp: tuple[int, int]
    """Size and time of change (ns) of the source when it was read."""
    contents: list[wire.Payload | Produced] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    outside: set[int] = field(default_factory=set)
    """Numbers of contents that replace external data, and so remain external."""

    def copy(self) -> Draft:
        """An independent draft; no values are copied."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        return Draft(proto, self.path, self.stamp, list(self.contents), self.notes, set(self.outside))

    def put(self, tensor: onnx.TensorProto, values: Produced | Array) -> None:
        """Give a tensor other values; its name stays, its type and shape become those of the values.

        Small values are put into the structure, where shape inference and the checker see them.
        """
        produced = values if isinstance(values, Produced) else Produced.of(values)
        number = referred(tensor)
        if tensor.data_location == tensor.EXTERNAL or number in self.outside:
            self.outside.add(len(self.contents))
        tensor.data_type = produced.data_type
        del tensor.dims[:]
        tensor.dims.extend(produced.shape)
        self.contents.append(produced)
        refer(tensor, len(self.contents) - 1)
        if produced.nbytes <= wire.KEEP or bits_per_element(produced.data_type) < 8:
            del tensor.external_data[:]
            tensor.CopyFrom(onnx.numpy_helper.from_array(produced.array(), tensor.name))

    def put_initializer(
        self, name: str, values: Produced | Array, graph: onnx.GraphProto | None = None
    ) -> None:
        """Replace an initializer's values, or add it; in the main graph unless another is given."""
        target = self.proto.graph if graph is None else graph
        tensor = next((tensor for tensor in target.initializer if tensor.name == name), None)
        added = tensor is None
        if tensor is None:
            tensor = target.initializer.add(name=name)
        self.put(tensor, values)
        kind = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        for value in (*getattr(target, "input", ()), *getattr(target, "value_info", ())):
            if value.name == name:
                value.type.CopyFrom(kind)
        if added and self.proto.ir_version < _FREE_INITIALIZERS:
            target.input.add(name=name).type.CopyFrom(kind)

    def payloads(self) -> dict[WirePath, wire.Payload | Produced]:
        """What the tensors refer to, by their location in the structure."""
        by_path = {}
        for path, tensor in tensors(self.proto):
            number = referred(tensor)
            if number is not None:
                by_path[path] = self.contents[number]
        return by_path

    def complaints(self, crashes: Crashes | None = None) -> tuple[str, ...]:
        """onnx.checker's complaints about the structure, one line each."""
        absent = [
            t for _, t in tensors(self.proto) if t.data_location == t.EXTERNAL or referred(t) is not None
        ]
        return complaints(self.proto, absent, crashes or Crashes())

    def model(self, check: bool = True, dimensions: Dimensions | None = None) -> Model:
        """A view of the current draft; later edits do not show in it.

        `check` runs onnx.checker for complaints, which is not needed between edits. Overrides of dimensions
        show only in the view.
        """
        payloads = self.payloads()
        crashes = Crashes()
        messages = self.complaints(crashes) if check else ()
        source = self.copy().proto if dimensions else self.proto
        applied = overrides.write_dimensions(dimensions or Dimensions(), source.graph)
        inferred = infer(source, crashes)
        if inferred is self.proto:
            inferred = self.copy().proto
        model = Model(inferred, self.path, payloads, self.notes, Values())
        model.complaints = messages
        model.crashes = crashes
        model.overridden = applied
        refine(model)
        if crashes:
            # Imported here because few models crash anything.
            from dlclint.model.blame import blame

            blame(model)
        return model


def open_draft(path: Path) -> Draft:
    """Read a model for editing.

    Raises:
        Unreadable: as `dlclint.model.reading.read`.
    """
    proto, payloads, notes = parse(path)
    status = path.stat()
    return _referring(Draft(proto, path, (status.st_size, status.st_mtime_ns), notes=notes), payloads)


def draft_of(model: Model) -> Draft:
    """A draft of a model as it was read: with dimension overrides and inferred types.

    For inspecting what edits do to the model; `open_draft` returns what is to be written.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    return _referring(Draft(proto, model.path, (0, 0), notes=model.notes), model.payloads)


def _referring(draft: Draft, payloads: Mapping[WirePath, wire.Payload | Produced]) -> Draft:
    """The draft with a reference in every tensor whose values are elsewhere."""
    if any(entry.key == REFERENCE for _, tensor in tensors(draft.proto) for entry in tensor.external_data):
        _forget_forged(draft.proto)
    for positions, payload in payloads.items():
        draft.contents.append(payload)
        # Only appended, so that a writer can restore the tensor as it was.
        message_at(draft.proto, positions).external_data.add(
            key=REFERENCE, value=str(len(draft.contents) - 1)
        )
    return draft


def _forget_forged(proto: onnx.ModelProto) -> None:
    """Remove references that the file itself contains, so that they refer to nothing."""
    for _, tensor in tensors(proto):
        kept = [entry for entry in tensor.external_data if entry.key != REFERENCE]
        del tensor.external_data[:]
        tensor.external_data.extend(kept)


def tensors(proto: onnx.ModelProto) -> Iterator[tuple[WirePath, onnx.TensorProto]]:
    """Every tensor of a model with its path in the wire form, subgraphs and functions included."""
    yield from _of_graph(proto.graph, (ModelField.GRAPH, 0))
    for index, function in enumerate(proto.functions):
        yield from _of_nodes(function.node, (ModelField.FUNCTIONS, index, FunctionField.NODE))


def _of_graph(graph: onnx.GraphProto, path: WirePath) -> Iterator[tuple[WirePath, onnx.TensorProto]]:
    for index, tensor in enumerate(graph.initializer):
        yield (*path, GraphField.INITIALIZER, index), tensor
    for index, sparse in enumerate(graph.sparse_initializer):
        yield from _of_sparse(sparse, (*path, GraphField.SPARSE_INITIALIZER, index))
    yield from _of_nodes(graph.node, (*path, GraphField.NODE))


def _of_sparse(sparse: onnx.SparseTensorProto, path: WirePath) -> Iterator[tuple[WirePath, onnx.TensorProto]]:
    yield (*path, SparseField.VALUES, 0), sparse.values
    yield (*path, SparseField.INDICES, 0), sparse.indices


def _of_nodes(nodes: Iterable[onnx.NodeProto], path: WirePath) -> Iterator[tuple[WirePath, onnx.TensorProto]]:
    for index, node in enumerate(nodes):
        for position, attribute in enumerate(node.attribute):
            positions = (*path, index, NodeField.ATTRIBUTE, position)
            if attribute.HasField("t"):
                yield (*positions, AttributeField.T, 0), attribute.t
            if attribute.HasField("sparse_tensor"):
                yield from _of_sparse(attribute.sparse_tensor, (*positions, AttributeField.SPARSE_TENSOR, 0))
            for occurrence, tensor in enumerate(attribute.tensors):
                yield (*positions, AttributeField.TENSORS, occurrence), tensor
            for occurrence, sparse in enumerate(attribute.sparse_tensors):
                yield from _of_sparse(sparse, (*positions, AttributeField.SPARSE_TENSORS, occurrence))
        for steps, graph in subgraphs(node):
            yield from _of_graph(graph, (*path, index, *steps))
