"""Ops that compute in float between quantized ones, because their output has no encoding."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dlclint.analysis.matching.terms import sole_reader
from dlclint.analysis.moving import moved_inputs
from dlclint.model.graph import Node
from dlclint.model.op_facts import ABSORBED, WEIGHTED_OPS
from dlclint.model.types import is_float
from dlclint_schemas.outputs import fused_behind
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.folding import NodeKey
    from dlclint.analysis.view import ModelView


@record
class Leak:
    """Adjacent ops in float, in graph order, with the tensors that they exchange with quantized ones."""

    nodes: tuple[Node, ...]
    reads: tuple[str, ...]
    makes: tuple[str, ...]


@record
class BareWeight:
    """An op between quantized tensors that reads a stored parameter in float."""

    node: Node
    name: str


def bare_weights(view: ModelView, encoded: Container[str]) -> list[BareWeight]:
    """The weights, and biases of Gemm, without an encoding whose op reads and produces quantized tensors.

    A bias of a convolution is excluded, which HTP takes in float (measured).
    """
    work = _Search(view, encoded)
    work.follow()
    return [*work.bare()]


def leaks(view: ModelView, encoded: Container[str]) -> list[Leak]:
    """The parts of the main graph that are float between quantized ones.

    `view` is of the float model, `encoded` the tensors with an encoding. Ops that only move data keep their
    input's encoding, and among ops that run as one only the last output needs one.
    """
    work = _Search(view, encoded)
    return [*work.found()]


@dataclass(slots=True)
class _Search:
    view: ModelView
    encoded: Container[str]
    nodes: list[Node] = field(default_factory=list)
    on_grid: set[str] = field(default_factory=set)
    """Activations with an encoding, their own or that of the tensor that they are moved from."""
    inside: set[str] = field(default_factory=set)
    """Tensors within ops that run as one."""
    parent: dict[NodeKey, NodeKey] = field(default_factory=dict)

    def found(self) -> Iterator[Leak]:
        self.follow()
        yield from self.islands()

    def follow(self) -> None:
        """Find what is on a grid, and what runs as one op."""
        graph, folded = self.view.model.graph, self.view.folded
        self.on_grid.update(name for name in graph.inputs if name in self.encoded)
        for node in graph.nodes:
            if node.key in folded or not any(self.is_float(name) for name in node.outputs):
                continue
            self.nodes.append(node)
            self.parent[node.key] = node.key
            moved = moved_inputs(node)
            kept = bool(moved) and all(name in self.on_grid for name in moved)
            self.on_grid.update(name for name in node.outputs if name and (kept or name in self.encoded))
        for node in self.nodes:
            for name in node.outputs:
                reader = sole_reader(node.graph, name)
                if name not in self.on_grid and reader is not None and self.runs_within(node, reader):
                    self.inside.add(name)
                    self.join(node, reader)

    def bare(self) -> Iterator[BareWeight]:
        """Float parameters of ops that read and produce tensors on a grid."""
        last = {self.root(node): node for node in self.nodes}
        for node in self.nodes:
            if node.op_type not in WEIGHTED_OPS or node.domain:
                continue
            stored = [name for name in node.inputs[:2] if name and node.graph.constant(name) is not None]
            if node.op_type == "Gemm" and node.input(2) and node.graph.constant(node.input(2)) is not None:
                stored.append(node.input(2))
            read = [name for name in node.inputs[:2] if name and name not in stored]
            outputs = last[self.root(node)].outputs
            bare = [name for name in stored if name not in self.encoded and self.is_float(name)]
            if bare and read and all(name in self.on_grid for name in (*read, *filter(None, outputs))):
                yield BareWeight(node, bare[0])

    def islands(self) -> Iterator[Leak]:
        in_float = {
            self.root(node) for node in self.nodes if any(self.is_open(name) for name in node.outputs)
        }
        members = [node for node in self.nodes if self.root(node) in in_float]
        for node in members:
            for name in filter(self.is_open, node.outputs):
                for reader in node.graph.consumers(name):
                    if self.parent.get(reader.key) is not None and self.root(reader) in in_float:
                        self.join(node, reader)
        groups: dict[NodeKey, list[Node]] = {}
        for node in members:
            groups.setdefault(self.root(node), []).append(node)
        for group in groups.values():
            keys = {node.key for node in group}
            reads = dict.fromkeys(n for node in group for n in node.inputs if n in self.on_grid)
            makes = dict.fromkeys(
                name
                for node in group
                for name in filter(self.is_open, node.outputs)
                if any(
                    reader.key in self.parent and reader.key not in keys
                    for reader in node.graph.consumers(name)
                )
            )
            if reads and makes:
                yield Leak(tuple(group), tuple(reads), tuple(makes))

    def is_open(self, name: str) -> bool:
        """Whether a tensor is float where it leaves the ops that run as one."""
        return self.is_float(name) and name not in self.on_grid and name not in self.inside

    def is_float(self, name: str) -> bool:
        kind = self.view.model.graph.type_of(name) if name else None
        return kind is not None and is_float(kind.data_type)

    def runs_within(self, node: Node, reader: Node) -> bool:
        """Whether a node and its only reader become one op."""
        if node.domain or reader.domain or reader.key not in self.parent:
            return False
        pattern = self.view.in_pattern.get(node.key)
        if pattern is not None and pattern == self.view.in_pattern.get(reader.key):
            return True
        if node.op_type == "MatMul" and reader.op_type == "Add":  # a fully connected layer's bias
            return any(reader.graph.constant(name) is not None for name in reader.inputs)
        makers = (*WEIGHTED_OPS, *ABSORBED, *fused_behind())
        return node.op_type in makers and reader.op_type in ABSORBED and reader.input(0) in node.outputs

    def root(self, node: Node) -> NodeKey:
        key = node.key
        while self.parent[key] != key:
            self.parent[key] = self.parent[self.parent[key]]
            key = self.parent[key]
        return key

    def join(self, node: Node, other: Node) -> None:
        self.parent[self.root(other)] = self.root(node)
