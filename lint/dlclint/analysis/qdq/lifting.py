"""Splitting a QDQ model into the float model that is quantized in it, and its encodings by tensor.

Qualcomm's converters do the same: they strip quantizing nodes and keep their numbers as encodings (80-63442-2
Rev BL, Tools, --keep_quant_nodes).

An activation that is quantized and dequantized again keeps its earlier name; where the dequantized tensor is
an output of the model, it gets that name, which is part of the interface. A weight that is stored as integers
gets the name under which ops read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from dlclint.analysis.qdq.grids import (
    QUANTIZED_TYPES,
    Quantization,
    dequantized,
    gives_scales,
    is_dequantize,
    is_quantize,
    quantization,
    spread,
    stored,
)
from dlclint.analysis.qdq.rewriting import Changes, TensorKey, place, rewrite
from dlclint.model.draft import Draft
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import KEEPS_GRID, is_qdq
from dlclint.model.tensors import Array, Produced, Tensor, Unavailable
from dlclint.model.types import is_float
from dlclint_schemas.record import record

_ELSEWHERE = "its scale or zero point is not stored in the model, or is not a finite number"


@record
class LiftedEncoding:
    """The encoding of one tensor of the float model, and the node of the QDQ model that defines it."""

    name: str
    grid: Quantization
    node: Node


@record
class KeptQuantizer:
    """A quantizing node that is kept, and why."""

    node: Node
    reason: str


@record
class SplitTensor:
    """A tensor with an encoding that is an Identity of another, which is read as float or on another grid."""

    name: str
    source: str


@record
class Lifted:
    """The result of splitting a QDQ model.

    `draft` holds the float model.
    """

    draft: Draft
    encoded: tuple[LiftedEncoding, ...]
    kept: tuple[KeptQuantizer, ...]
    apart: tuple[SplitTensor, ...]


def holds_quantization(model: Model) -> bool:
    """Whether a model has a quantizing or dequantizing node."""
    return any(is_qdq(node.op_type, node.domain) for graph in model.graphs() for node in graph.nodes)


def lift(draft: Draft, model: Model, aligned: bool = False) -> Lifted:
    """Split a model.

    Args:
        draft: the model's structure; it is not changed.
        model: a view of it.
        aligned: keep every node's index. Constants replace removed nodes, so that a node of the float model
            has the index of the same node in the QDQ model. Functions are split too, although override files
            cannot name their tensors.
    """
    work = _Lifting(model, aligned)
    work.run()
    rewritten = draft.copy()
    rewrite(rewritten, model, work.changes, aligned)
    encoded = tuple(
        LiftedEncoding(work.changes.resolved(tensor)[1], grid, node)
        for tensor, (grid, node) in work.encoded.items()
    )
    return Lifted(rewritten, encoded, tuple(work.kept.values()), tuple(work.apart))


@dataclass(slots=True)
class _Group:
    """A quantized tensor with everything after it, up to float tensors."""

    grid: Quantization
    dequantizers: list[Node] = field(default_factory=list)
    movers: list[Node] = field(default_factory=list)
    integers: list[TensorKey] = field(default_factory=list)
    """Its integer tensors, the first one first."""


@dataclass(slots=True)
class _Lifting:
    model: Model
    in_functions: bool
    changes: Changes = field(default_factory=Changes)
    encoded: dict[TensorKey, tuple[Quantization, Node]] = field(default_factory=dict)
    kept: dict[tuple[str, int], KeptQuantizer] = field(default_factory=dict)
    apart: list[SplitTensor] = field(default_factory=list)
    copies: dict[TensorKey, list[TensorKey]] = field(default_factory=dict)
    outputs: frozenset[TensorKey] = frozenset()
    handed_on: frozenset[TensorKey] = frozenset()
    """Outputs of functions, on which the types of their calls depend."""
    shared: dict[tuple[str, ...], tuple[TensorKey, Quantization]] = field(default_factory=dict)
    """What integers were dequantized to first, by their place and the graph that does it."""

    def run(self) -> None:
        graphs = [*self.model.graph.with_subgraphs()]
        inside = [graph for function in self.model.functions for graph in function.with_subgraphs()]
        if self.in_functions:
            graphs += inside
            self.handed_on = frozenset(place(f, name) for f in self.model.functions for name in f.outputs)
        self.outputs = frozenset(place(graph, name) for graph in graphs for name in graph.outputs)
        for name in self.model.graph.inputs:
            self.input(self.model.graph, name)
        for graph in graphs:
            for node in graph.nodes:
                if is_quantize(node):
                    self.quantized(node)
        weights = [node for graph in graphs for node in graph.nodes if is_dequantize(node)]
        for scales in (False, True):  # scales are removed where all that they serve is removed
            for node in weights:
                if node.key not in self.changes.gone and gives_scales(node) is scales:
                    (self.scales if scales else self.dequantized)(node)
        for graph in () if self.in_functions else inside:
            for node in filter(lambda node: is_qdq(node.op_type, node.domain), graph.nodes):
                self.stays(node, "it is in a model-local function")

    def stays(self, node: Node, reason: str) -> None:
        self.kept.setdefault(node.key, KeptQuantizer(node, reason))

    def input(self, graph: Graph, name: str) -> None:
        """Make an input of integers a float one, if everything that reads it dequantizes it."""
        kind = graph.type_of(name)
        readers = graph.consumers(name)
        if kind is None or is_float(kind.data_type):
            return
        grids = (quantization(node) for node in readers if is_dequantize(node) and node.input(0) == name)
        grid = next(filter(None, grids), None)
        group = None if grid is None else self.group(graph, name, grid)
        if group is not None:
            self.take(group, group.dequantizers[0], (graph.path, name))

    def quantized(self, node: Node) -> None:
        grid = quantization(node)
        if grid is None:
            self.stays(node, _ELSEWHERE)
            return
        group = self.group(node.graph, node.output(0), grid)
        if group is None:
            self.stays(node, "what it quantizes is read as integers, or dequantized with other numbers")
            return
        self.changes.gone[node.key] = []
        self.take(group, node, self.target(group, node))

    def target(self, group: _Group, node: Node) -> TensorKey:
        """The tensor of the float model that gets a group's encoding.

        It is the node's input, unless that is also read as float or has another grid: then it is a copy of
        the input, so that the function is unchanged.
        """
        own = place(node.graph, node.input(0))
        read = self.changes.resolved(own)
        known = self.encoded.get(read)
        bare = own == read and (
            own in self.outputs
            or any(not is_quantize(other) for other in node.graph.consumers(node.input(0)))
        )
        if not bare and (known is None or known[0].same_grid(group.grid)):
            return read
        for copy in self.copies.get(read, ()):
            if self.encoded[copy][0].same_grid(group.grid):
                return copy
        ends = [end.output(0) for end in group.dequantizers] or [node.output(0)]
        output = (node.graph.path, ends[0])
        self.changes.gone[node.key].append((read, output))
        self.copies.setdefault(read, []).append(output)
        self.apart.append(SplitTensor(output[1], read[1]))
        return output

    def group(self, graph: Graph, name: str, grid: Quantization) -> _Group | None:
        """What comes after an integer tensor; None if any of it must stay integer."""
        collected = _Group(grid)
        pending = [(graph, name)]
        while pending:
            home, tensor = pending.pop()
            collected.integers.append((home.path, tensor))
            for reader in home.consumers(tensor):
                if is_dequantize(reader) and reader.input(0) == tensor:
                    other = quantization(reader)
                    if other is None or not grid.same_grid(other):
                        return None
                    collected.dequantizers.append(reader)
                elif _moves(reader, tensor) and grid.axis is None:
                    collected.movers.append(reader)
                    pending.append((reader.graph, reader.output(0)))
                else:
                    return None
        if not self.handed_on.isdisjoint(collected.integers):
            return None
        ends = bool(collected.dequantizers) or any(key in self.outputs for key in collected.integers)
        return collected if ends else None

    def take(self, group: _Group, node: Node, first: TensorKey) -> None:
        """Make the tensors of a group float; `first`: what the first one is in the float model."""
        changes = self.changes
        changes.kinds.update(dict.fromkeys(group.integers, group.grid.result))
        self.encoded.setdefault(first, (group.grid, node))
        integer = group.integers[0]
        if integer in self.outputs and integer != first:
            self.lead_out(integer, first, node)
        else:
            changes.call(integer, first)
        for mover in group.movers:
            behind = (end for end in group.dequantizers if end.input(0) == mover.output(0))
            self.encoded.setdefault(place(mover.graph, mover.output(0)), (group.grid, next(behind, node)))
        for end in group.dequantizers:
            changes.gone.setdefault(end.key, [])
            holds = changes.resolved(place(end.graph, end.input(0)))
            output = (end.graph.path, end.output(0))
            if output in self.outputs and output != holds:
                self.lead_out(output, holds, end)
            else:
                changes.call(output, holds)

    def lead_out(self, output: TensorKey, holds: TensorKey, node: Node) -> None:
        """Make the tensor `holds` a graph's output, by its name where that is free, else by Identity."""
        home = next(graph for graph in self.model.graphs() if graph.path == output[0])
        if holds[0] == output[0] and home.makes(holds[1]) and holds not in self.outputs:
            self.changes.call(holds, output)
            known = self.encoded.pop(holds, None)
            if known is not None:
                self.encoded.setdefault(output, known)
        else:
            self.changes.gone[node.key].append((holds, output))

    def scales(self, node: Node) -> None:
        """Remove a node that dequantizes the scales of blocks, which the blocks' own nodes include."""
        if all(reader.key in self.changes.gone for reader in node.graph.consumers(node.output(0))):
            self.changes.gone[node.key] = []
        else:
            self.stays(node, "it makes the scales of a node that stays")

    def dequantized(self, node: Node) -> None:
        """Convert a stored weight; the ends of groups were processed with their beginnings."""
        grid = quantization(node)
        if grid is None:
            self.stays(node, _ELSEWHERE)
            return
        tensor = stored(node.graph, node.input(0))
        if tensor is None:
            self.stays(node, "nothing quantizes its input, or with other numbers than it dequantizes with")
            return
        values = _produced(tensor, grid)
        if not isinstance(values, Produced):
            self.stays(node, values)
            return
        output = (node.graph.path, node.output(0))
        source = (*place(node.graph, node.input(0)), *output[:1])
        first = self.shared.get(source)
        self.changes.gone[node.key] = []
        if first is not None and output not in self.outputs and first[1].same_grid(grid):
            # Some exporters write one dequantizing node for each reader.
            self.changes.call(output, first[0])
            return
        self.shared[source] = (output, grid)
        self.encoded[output] = (grid, node)
        self.changes.weights[node.key] = values


def _moves(node: Node, tensor: str) -> bool:
    """Whether a node moves elements of a tensor, which exporters keep integer, into its only output."""
    outputs = [name for name in node.outputs if name]
    return (
        node.op_type in KEEPS_GRID
        and not node.domain
        and node.input(0) == tensor
        and tensor not in node.inputs[1:]
        and len(outputs) == 1
    )


def _produced(tensor: Tensor, grid: Quantization) -> Produced | str:
    """A stored weight's float values, computed when they are read; else why there are none."""
    try:
        if min(tensor.shape, default=1) < 0:
            raise Unavailable("its shape is negative")
        if tensor.data_type not in QUANTIZED_TYPES:
            raise Unavailable("its element type is not that of a quantized tensor")
        if tensor.location() is None:
            tensor.array()  # tensors in the structure may not fill their shape
        spread(grid.scale, grid, tensor.shape)
    except Unavailable as problem:
        return str(problem)
    return Produced(grid.result, tensor.shape, partial(_pieces, tensor, grid))


def _pieces(tensor: Tensor, grid: Quantization) -> Iterator[Array]:
    yield dequantized(tensor, grid)
