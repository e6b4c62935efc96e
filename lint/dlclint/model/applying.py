"""Applying fixes to a draft: all edits of a fix or none, followed by cleaning up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from dlclint.model.draft import Draft
from dlclint.model.edits import (
    ClaimedPlace,
    InsertBefore,
    ModelEdit,
    PutInitializer,
    RemoveAttribute,
    RemoveInitializer,
    RemoveInput,
    RemoveOutput,
    RenameNode,
    ReplaceNodes,
    ReplaceUses,
    SetAttribute,
    SetDimension,
    SetInput,
    SetOpset,
    SetOutput,
    same,
)
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import OFFICIAL_DOMAINS
from dlclint.model.protos import graphs_below, nodes_below, subgraphs
from dlclint.model.reading import message_at
from dlclint.model.types import TensorType
from dlclint_schemas.record import record


@record
class AppliedFixes:
    """A new draft, and the numbers of the fixes applied to it.

    The others conflict with an applied one: `met` has the number of the fix that each conflicts with.
    """

    draft: Draft
    applied: tuple[int, ...]
    met: dict[int, int]


def apply_to_draft(draft: Draft, fixes: Sequence[Sequence[ModelEdit]]) -> AppliedFixes:
    """Apply fixes, which come from findings on a view of this draft, to a copy of it.

    A fix is left out if its edits would change something in another way than an earlier fix.
    """
    claims = _Claims()
    applied = [number for number, edits in enumerate(fixes) if claims.take(number, edits)]
    result = draft.copy()
    edits = list(_without_repeats(edit for number in applied for edit in fixes[number]))
    unread = _unread(result.proto.graph)
    _Applier(result).run(edits)
    _drop_dead(result.proto.graph, unread)
    for graph in graphs_below(result.proto.graph):
        _sort(graph)
        _drop_types(graph)
    if any(isinstance(edit, SetDimension) for edit in edits):
        refresh_types(result)
    return AppliedFixes(result, tuple(applied), claims.met)


class _Claims:
    """Which fix changes what."""

    def __init__(self) -> None:
        self.edits: dict[ClaimedPlace, tuple[int, ModelEdit]] = {}
        self.below: dict[ClaimedPlace, int] = {}
        """Every proper prefix of a claim, with the fix that made the claim."""
        self.met: dict[int, int] = {}

    def take(self, number: int, edits: Sequence[ModelEdit]) -> bool:
        claimed = [(claim, edit) for edit in edits for claim in edit.claims()]
        for claim, edit in claimed:
            other = self._other(claim, edit)
            if other is not None:
                self.met[number] = other
                return False
        for claim, edit in claimed:
            self.edits.setdefault(claim, (number, edit))
            for length in range(len(claim)):
                self.below.setdefault(claim[:length], number)
        return True

    def _other(self, claim: ClaimedPlace, edit: ModelEdit) -> int | None:
        taken = self.edits.get(claim)
        if taken is not None:
            return None if same(taken[1], edit) else taken[0]
        if claim in self.below:
            return self.below[claim]
        for length in range(len(claim)):
            taken = self.edits.get(claim[:length])
            if taken is not None:
                return taken[0]
        return None


def _without_repeats(edits: Iterable[ModelEdit]) -> Iterator[ModelEdit]:
    by_claim: dict[ClaimedPlace, ModelEdit] = {}
    for edit in edits:
        first = by_claim.setdefault(next(iter(edit.claims()), ()), edit)
        if first is edit or not same(first, edit):
            yield edit


class _Applier:
    """Changes the messages of a draft. Edits that name a node by its index come before indices shift."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    def graph(self, graph: Graph) -> Any:
        return message_at(self.draft.proto, graph.wire_path)

    def node(self, node: Node) -> onnx.NodeProto:
        return self.graph(node.graph).node[node.index]  # type: ignore[no-any-return]

    def run(self, edits: list[ModelEdit]) -> None:
        removed: dict[tuple[Any, ...], list[int]] = {}
        replaced: dict[tuple[Any, ...], list[_Replacement]] = {}
        for edit in edits:
            if isinstance(edit, ReplaceNodes):
                gone = [node.index for node in edit.old]
                replacement = _Replacement(gone, [_copied(node) for node in edit.new])
                replaced.setdefault(edit.graph.wire_path, []).append(replacement)
            elif isinstance(edit, InsertBefore):
                replacement = _Replacement([], [_copied(node) for node in edit.new], edit.node.index)
                replaced.setdefault(edit.node.graph.wire_path, []).append(replacement)
            elif isinstance(edit, RemoveInitializer):
                removed.setdefault(edit.graph.wire_path, []).append(edit.position)
            elif isinstance(edit, (SetAttribute, RemoveAttribute, SetInput, SetOutput, RenameNode)):
                self._on_node(edit)
            elif isinstance(edit, (SetDimension, RemoveOutput, SetOpset)):
                self._on_model(edit)
            elif isinstance(edit, RemoveInput):
                _remove_named(self.graph(edit.graph).input, edit.name)
        for path, positions in removed.items():
            tensors = message_at(self.draft.proto, path).initializer
            for position in sorted(positions, reverse=True):
                del tensors[position]
        for edit in edits:
            if isinstance(edit, PutInitializer):
                self.draft.put_initializer(edit.name, edit.values, self.graph(edit.graph))
        self._rename_uses(edits, replaced)
        # Inner graphs first: a node that is replaced takes its subgraphs along.
        for path in sorted(replaced, key=len, reverse=True):
            _replace_nodes(message_at(self.draft.proto, path), replaced[path])

    def _on_node(self, edit: SetAttribute | RemoveAttribute | SetInput | SetOutput | RenameNode) -> None:
        node = self.node(edit.node)
        if isinstance(edit, SetAttribute):
            _remove_named(node.attribute, edit.attribute.name)
            node.attribute.append(edit.attribute)
        elif isinstance(edit, RemoveAttribute):
            _remove_named(node.attribute, edit.name)
        elif isinstance(edit, RenameNode):
            node.name = edit.name
        else:
            ends = node.input if isinstance(edit, SetInput) else node.output
            while len(ends) <= edit.position:
                ends.append("")
            ends[edit.position] = edit.name
            while len(ends) > 1 and not ends[-1]:
                ends.pop()

    def _on_model(self, edit: SetDimension | RemoveOutput | SetOpset) -> None:
        graph = self.draft.proto.graph
        if isinstance(edit, SetOpset):
            imports = self.draft.proto.opset_import
            matches = [
                opset
                for opset in imports
                if ("" if opset.domain in OFFICIAL_DOMAINS else opset.domain) == edit.domain
            ]
            for opset in matches or [imports.add(domain=edit.domain)]:
                opset.version = edit.version
            return
        if isinstance(edit, RemoveOutput):
            _remove_named(graph.output, edit.name)
            return
        for value in (*graph.input, *graph.output):
            # An input that is also an output is declared twice, and one of the two may lack a shape.
            dims = value.type.tensor_type.shape.dim
            if value.name == edit.value and edit.axis < len(dims):
                dims[edit.axis].dim_value = edit.size

    def _rename_uses(
        self, edits: list[ModelEdit], replaced: dict[tuple[Any, ...], list[_Replacement]]
    ) -> None:
        """Rename also in nodes that other fixes add, and through several renamings in a row."""
        by_graph: dict[tuple[Any, ...], dict[str, str]] = {}
        for edit in edits:
            if isinstance(edit, ReplaceUses):
                by_graph.setdefault(edit.graph.wire_path, {})[edit.old] = edit.new
        for path, names in by_graph.items():
            final = {old: _last(names, old) for old in names}
            for node in nodes_below(message_at(self.draft.proto, path)):
                _rename_inputs(node, final)
            for graph_path, replacements in replaced.items():
                if graph_path[: len(path)] == path:
                    for new in (node for replacement in replacements for node in replacement.new):
                        _rename_inputs(new, final)


def _last(names: dict[str, str], name: str) -> str:
    seen = {name}
    while names.get(name, name) not in seen:
        name = names[name]
        seen.add(name)
    return name


def _rename_inputs(node: onnx.NodeProto, names: dict[str, str]) -> None:
    for position, name in enumerate(node.input):
        if name in names:
            node.input[position] = names[name]


def _remove_named(items: Any, name: str) -> None:
    for position in reversed(range(len(items))):
        if items[position].name == name:
            del items[position]


@record
class _Replacement:
    gone: list[int]
    new: list[onnx.NodeProto]
    before: int = 0
    """Where the new nodes are inserted if no node is removed."""


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _replace_nodes(graph: Any, replacements: list[_Replacement]) -> None:
    gone = {index for replacement in replacements for index in replacement.gone}
    after: dict[int, list[onnx.NodeProto]] = {}
    for replacement in replacements:
        position = max(replacement.gone, default=replacement.before - 1)
        after.setdefault(position, []).extend(replacement.new)
    nodes: list[onnx.NodeProto] = list(after.get(-1, ()))
    for index, node in enumerate(graph.node):
        if index not in gone:
            nodes.append(_copied(node))
        nodes.extend(after.get(index, ()))
    del graph.node[:]
    graph.node.extend(nodes)


def _read_names(graph: onnx.GraphProto) -> set[str]:
    names = {name for node in nodes_below(graph) for name in node.input}
    for inner in graphs_below(graph):
        names.update(value.name for value in inner.output)
    return names


def _unread(graph: onnx.GraphProto) -> set[str]:
    """Tensors that nothing reads: such parts of the source stay unless a fix is about them."""
    read = _read_names(graph)
    outputs = {name for node in nodes_below(graph) for name in node.output}
    for inner in graphs_below(graph):
        outputs.update(tensor.name for tensor in inner.initializer)
    return outputs - read


def _drop_dead(graph: onnx.GraphProto, unread_before: set[str]) -> None:
    """Remove what lost its last reader, and then what only that read; nothing in a model without outputs."""
    if not graph.output:
        return
    dead = _Dead(graph, unread_before)
    for inner, gone in dead.find():
        _keep(inner.node, [position not in gone for position in range(len(inner.node))])
    for inner in graphs_below(graph):
        stays = [t.name in unread_before or dead.reads[t.name] > 0 for t in inner.initializer]
        names = {t.name for t, kept in zip(inner.initializer, stays, strict=True) if not kept}
        _keep(inner.initializer, stays)
        _keep(inner.input, [value.name not in names for value in inner.input])


def _keep(items: Any, stays: list[bool]) -> None:
    """Keep some of the messages of a repeated field."""
    if all(stays):
        return
    kept = []
    for message, stay in zip(items, stays, strict=True):
        if stay:
            kept.append(type(message)())
            kept[-1].CopyFrom(message)
    del items[:]
    items.extend(kept)


@dataclass(slots=True)
class _Piece:
    """A node, its graph and index, and the nodes in its subgraphs."""

    graph: int
    position: int
    node: onnx.NodeProto
    inner: list[int] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    """Outputs of its subgraphs."""


class _Dead:
    """Finds nodes that nothing reads; each is checked once for each reader that it loses."""

    def __init__(self, graph: onnx.GraphProto, spared: set[str]) -> None:
        self.spared = spared
        self.graphs: list[onnx.GraphProto] = []
        self.pieces: list[_Piece] = []
        self.reads: Counter[str] = Counter(value.name for value in graph.output)
        self.makers: dict[str, list[int]] = {}
        self.gone: set[int] = set()
        self._open(graph)

    def _open(self, graph: onnx.GraphProto) -> list[int]:
        number = len(self.graphs)
        self.graphs.append(graph)
        opened = []
        for position, node in enumerate(graph.node):
            piece = _Piece(number, position, node)
            opened.append(len(self.pieces))
            self.pieces.append(piece)
            self.reads.update(node.input)
            for name in node.output:
                self.makers.setdefault(name, []).append(opened[-1])
            for _, body in subgraphs(node):
                piece.inner += self._open(body)
                piece.results += [value.name for value in body.output]
            self.reads.update(piece.results)
        return opened

    def find(self) -> Iterator[tuple[onnx.GraphProto, set[int]]]:
        """The indices of the nodes to remove, by graph, inner graphs first."""
        pending = [number for number in range(len(self.pieces)) if self._is_dead(number)]
        while pending:
            number = pending.pop()
            if number not in self.gone and self._is_dead(number):
                pending += self._remove(number)
        places: dict[int, set[int]] = {}
        for number in self.gone:
            places.setdefault(self.pieces[number].graph, set()).add(self.pieces[number].position)
        for number in sorted(places, reverse=True):
            yield self.graphs[number], places[number]

    def _is_dead(self, number: int) -> bool:
        outputs = [name for name in self.pieces[number].node.output if name]
        unread = bool(outputs) and not any(self.reads[name] > 0 for name in outputs)
        return unread and not self.spared.issuperset(outputs)

    def _remove(self, number: int) -> Iterator[int]:
        """Remove a node with all its subgraphs; yields the nodes that may have lost their last reader."""
        below = [number]
        while below:
            piece = self.pieces[below[-1]]
            self.gone.add(below.pop())
            below += [inner for inner in piece.inner if inner not in self.gone]
            for name in (*piece.node.input, *piece.results):
                self.reads[name] -= 1
                if self.reads[name] <= 0:
                    yield from self.makers.get(name, ())


def _sort(graph: onnx.GraphProto) -> None:
    """Sort nodes topologically, moving none that need not move; a cycle stays as it is."""
    maker = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    needs = []
    for index, node in enumerate(graph.node):
        names = {*node.input}
        for _, body in subgraphs(node):
            names |= _read_names(body)
        needs.append(sorted({maker[name] for name in names if name in maker} - {index}))
    if all(not need or need[-1] < index for index, need in enumerate(needs)):
        return
    order: list[int] = []
    seen: set[int] = set()
    for start in range(len(needs)):
        stack = [(start, iter(needs[start]))] if start not in seen else []
        seen.add(start)
        while stack:
            index, rest = stack[-1]
            # A node that was seen is placed already, or is part of a cycle.
            need = next((need for need in rest if need not in seen), None)
            if need is None:
                stack.pop()
                order.append(index)
            else:
                seen.add(need)
                stack.append((need, iter(needs[need])))
    nodes = [_copied(graph.node[index]) for index in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _drop_types(graph: onnx.GraphProto) -> None:
    """Remove the declared types of tensors that no longer exist."""
    if not graph.value_info:
        return
    outputs = {name for node in graph.node for name in node.output}
    outputs.update(tensor.name for tensor in graph.initializer)
    kept = [value for value in graph.value_info if value.name in outputs]
    if len(kept) < len(graph.value_info):
        copies = []
        for value in kept:
            copies.append(onnx.ValueInfoProto())
            copies[-1].CopyFrom(value)
        del graph.value_info[:]
        graph.value_info.extend(copies)


def refresh_types(draft: Draft) -> None:
    """Declare again what was declared, by inference from the current inputs."""
    graph = draft.proto.graph
    declared = sorted({value.name for value in graph.value_info}, key=_order(graph))
    for inner in graphs_below(graph):
        del inner.value_info[:]
    for value in graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.ClearField("value")
    known = draft.model(check=False).graph
    for name in declared:
        tensor_type = known.type_of(name)
        if tensor_type is not None:
            _declare(graph.value_info.add(name=name), tensor_type)
    for value in graph.output:
        tensor_type = known.type_of(value.name)
        if tensor_type is not None:
            _declare(value, tensor_type)


def _declare(value: onnx.ValueInfoProto, tensor_type: TensorType) -> None:
    tensor = value.type.tensor_type
    tensor.elem_type = tensor_type.data_type
    if tensor_type.shape is None:
        return
    tensor.shape.Clear()
    tensor.shape.SetInParent()
    for size in tensor_type.shape:
        dim = tensor.shape.dim.add()
        if isinstance(size, int):
            dim.dim_value = size
        elif size is not None:
            dim.dim_param = size


def _order(graph: onnx.GraphProto) -> Any:
    places = {name: i for i, node in enumerate(graph.node) for name in node.output}
    return lambda name: (places.get(name, -1), name)
