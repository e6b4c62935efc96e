"""Edits of a model: what to change, named in terms of the view.

A fix is found on a view of a draft and applied to that draft. Edits name nodes and graphs of the view;
`apply` turns them into changes of the draft's messages, all edits of a fix or none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import onnx

from dlclint.diagnostic import plain
from dlclint.model.graph import Graph, Node
from dlclint.model.graph_text import attribute_text
from dlclint.model.tensors import Array, Produced
from dlclint_schemas.record import record

ClaimedPlace = tuple[Any, ...]
"""What an edit changes. Edits of different fixes conflict if one claim is a prefix of the other."""


def _place(node: Node) -> ClaimedPlace:
    # As in the wire form, so that the claim of a node is a prefix of those of its subgraphs.
    return (*node.graph.wire_path, 7 if node.graph.is_function else 1, node.index)


def _called(node: Node) -> str:
    name = f" {node.name!r}" if node.name else ""
    return f"{node.op_type}{name} (node {node.index})"


@record
class SetDimension:
    """Give a dimension of an input or output of the model a size."""

    value: str
    axis: int
    size: int
    kind = "set-dimension"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield ("value", self.value, self.axis)

    def words(self) -> str:
        return f"set dimension {self.axis} of {self.value!r} to {self.size}"


@record
class ReplaceNodes:
    """Replace nodes of one graph by others; without others, remove them."""

    graph: Graph
    old: tuple[Node, ...]
    new: tuple[onnx.NodeProto, ...]
    kind = "replace-nodes"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield from map(_place, self.old)

    def words(self) -> str:
        gone = ", ".join(map(_called, self.old[:3])) + (", ..." if len(self.old) > 3 else "")
        if not self.new:
            return f"remove {gone}"
        come = ", ".join(node.op_type for node in self.new[:6]) + (", ..." if len(self.new) > 6 else "")
        return f"replace {gone} by {come}"


@record
class InsertBefore:
    """Put nodes before a node, which stays."""

    node: Node
    new: tuple[onnx.NodeProto, ...]
    kind = "insert-before"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*_place(self.node), "before")

    def words(self) -> str:
        return f"put {', '.join(node.op_type for node in self.new)} before {_called(self.node)}"


@record
class SetAttribute:
    """Set an attribute of a node, replacing the one of that name."""

    node: Node
    attribute: onnx.AttributeProto
    kind = "set-attribute"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*_place(self.node), "attribute", self.attribute.name)

    def words(self) -> str:
        shown = attribute_text(self.attribute)
        return f"set {shown} of {_called(self.node)}"


@record
class RemoveAttribute:
    """Remove an attribute from a node."""

    node: Node
    name: str
    kind = "remove-attribute"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*_place(self.node), "attribute", self.name)

    def words(self) -> str:
        return f"remove {self.name} of {_called(self.node)}"


@record
class SetInput:
    """Make a node read another tensor; "" leaves an optional input out."""

    node: Node
    position: int
    name: str
    kind = "set-input"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*_place(self.node), "input", self.position)

    def words(self) -> str:
        return f"let {_called(self.node)} read {self.name!r} as input {self.position}"


@record
class SetOutput:
    """Rename an output of a node; "" leaves it out."""

    node: Node
    position: int
    name: str
    kind = "set-output"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*_place(self.node), "output", self.position)

    def words(self) -> str:
        return f"call output {self.position} of {_called(self.node)} {self.name!r}"


@record
class RenameNode:
    """Give a node another name."""

    node: Node
    name: str
    kind = "rename-node"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*_place(self.node), "name")

    def words(self) -> str:
        return f"call {_called(self.node)} {self.name!r}"


@record
class ReplaceUses:
    """Make everything that reads a tensor of a graph, including in subgraphs, read another one."""

    graph: Graph
    old: str
    new: str
    kind = "replace-uses"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*self.graph.wire_path, "uses", self.old)

    def words(self) -> str:
        return f"read {self.new!r} in place of {self.old!r}"


@record
class PutInitializer:
    """Give an initializer of a graph other values, or add it."""

    graph: Graph
    name: str
    values: Produced | Array
    kind = "put-initializer"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*self.graph.wire_path, "initializer", self.name)

    def words(self) -> str:
        verb = "replace" if self.name in self.graph.initializers else "add"
        shape = "x".join(map(str, self.values.shape)) or "scalar"
        return f"{verb} initializer {self.name!r} ({shape})"


@record
class RemoveInitializer:
    """Remove one of several initializers of a name from a graph: the one at `position`."""

    graph: Graph
    name: str
    position: int
    kind = "remove-initializer"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*self.graph.wire_path, "initializer", self.name, self.position)

    def words(self) -> str:
        return f"remove initializer {self.name!r}"


@record
class RemoveInput:
    """Remove a name from the inputs of a graph."""

    graph: Graph
    name: str
    kind = "remove-input"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*self.graph.wire_path, "input", self.name)

    def words(self) -> str:
        return f"remove {self.name!r} from the inputs"


@record
class RemoveOutput:
    """Remove a name from the outputs of the model."""

    name: str
    kind = "remove-output"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield ("output", self.name)

    def words(self) -> str:
        return f"remove {self.name!r} from the outputs"


@record
class SortNodes:
    """Sort the nodes of a graph topologically, moving none that need not move."""

    graph: Graph
    kind = "sort-nodes"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield (*self.graph.wire_path, "order")

    def words(self) -> str:
        return f"sort the nodes of {self.graph.path or 'the graph'}"


@record
class SetOpset:
    """Import another version of a domain. Nothing else that depends on the old version changes with it."""

    domain: str
    version: int
    kind = "set-opset"

    def claims(self) -> Iterator[ClaimedPlace]:
        yield ()

    def words(self) -> str:
        return f"import {self.domain or 'ai.onnx'} {self.version}"


ModelEdit = (
    SetDimension
    | ReplaceNodes
    | InsertBefore
    | SetAttribute
    | RemoveAttribute
    | SetInput
    | SetOutput
    | RenameNode
    | ReplaceUses
    | PutInitializer
    | RemoveInitializer
    | RemoveInput
    | RemoveOutput
    | SortNodes
    | SetOpset
)


def same(one: ModelEdit, other: ModelEdit) -> bool:
    """Whether two edits do the same, so that two fixes may share them."""
    if isinstance(one, PutInitializer) and isinstance(other, PutInitializer):
        return (one.graph, one.name) == (other.graph, other.name) and one.values is other.values
    return type(one) is type(other) and one == other


def as_json(edit: ModelEdit) -> dict[str, Any]:
    """An edit as plain data: its kind, its description in words, and its fields."""
    shown: dict[str, Any] = {"kind": edit.kind, "text": plain(edit.words(), 400)}
    for field in fields(edit):
        shown[field.name] = _plain(getattr(edit, field.name))
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Node):
        data = {"graph": plain(value.graph.path), "index": value.index}
        return data | {"name": plain(value.name), "op": plain(value.op_type)}
    if isinstance(value, Graph):
        return plain(value.path)
    if isinstance(value, onnx.NodeProto):
        ends = {"inputs": list(map(plain, value.input)), "outputs": list(map(plain, value.output))}
        return {"op": plain(value.op_type), "name": plain(value.name)} | ends
    if isinstance(value, onnx.AttributeProto):
        return plain(attribute_text(value))
    if isinstance(value, tuple):
        return [_plain(element) for element in value]
    return value if isinstance(value, int) else {"shape": list(value.shape)}
