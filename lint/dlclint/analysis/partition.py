"""Where execution leaves a runtime for the CPU, and what crosses each border.

The runtimes run a network as a chain of subnets, each on one processor; ops that a runtime lacks fall back to
the CPU if fallback is on. The chain that is computed here is the shortest that respects the flow of data: a
node joins the subnet of its inputs if that is on its processor, else the next one that is. As every edge
leads to the same or a later subnet, no subnet waits for a later one (the groups are convex), and as the
number of a subnet is the number of changes on the longest path to it, no grouping has fewer. A runtime that
only uses the node order may cut more often: the number is a lower bound. Nodes that no runtime supports,
including the CPU, count for neither side: before they are fixed there is no DLC to cut.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import onnx

from dlclint.analysis.subnets import Border, Costliest, Partition, Subnet
from dlclint.diagnostic import plain
from dlclint.model.graph import Graph, Node
from dlclint.model.types import TensorType, is_float
from dlclint.target import DlcKind, Runtime
from dlclint_schemas.record import record

_BYTE_SIZED = frozenset({onnx.TensorProto.BOOL, onnx.TensorProto.INT8, onnx.TensorProto.UINT8})


def bytes_of(tensor_type: TensorType | None, kind: DlcKind) -> int | None:
    """Bytes of an activation in a DLC of this kind; None if a dimension is unknown.

    Float tensors take the activation width if quantized, else the float width; wider integers become 32-bit
    ones.
    """
    shape = None if tensor_type is None else tensor_type.static_shape
    if tensor_type is None or shape is None:
        return None
    if is_float(tensor_type.data_type):
        bits = kind.act_bitwidth if kind.quantize else kind.float_bitwidth
    else:
        bits = 8 if tensor_type.data_type in _BYTE_SIZED else 32
    return math.prod(shape) * bits // 8


def _reads(node: Node) -> Iterator[str]:
    """The tensors that a node reads, including those that its bodies read from enclosing graphs."""
    yield from filter(None, node.inputs)
    for body in node.subgraphs:
        for graph in body.with_subgraphs():
            for inner in graph.nodes:
                yield from filter(None, inner.inputs)


@record
class PlacedNode:
    """A node with its label (op type, or the layer of its pattern) and where it runs.

    `off` is true for the CPU, false for the runtime, None for a node that runs nowhere.
    """

    node: Node
    label: str
    off: bool | None


def stages(placed: Sequence[PlacedNode]) -> list[int]:
    """The number of each node's subnet, from 0, in the shortest chain; nodes in the graph's order."""
    reads = [tuple(_reads(placed_node.node)) for placed_node in placed]
    chains = (_stages(placed, reads, first_is_off) for first_is_off in (False, True))
    return min(chains, key=lambda chain: max(chain, default=0))


def _stages(placed: Sequence[PlacedNode], reads: Sequence[tuple[str, ...]], first_is_off: bool) -> list[int]:
    stage_of: dict[str, int] = {}
    stage_numbers: list[int] = []
    for placed_node, names in zip(placed, reads, strict=True):
        stage = max([stage_of.get(name, 0) for name in names], default=0)
        if placed_node.off is not None:
            # Subnets alternate, so the parity of the number determines the processor.
            stage += (stage % 2 == 1) != (placed_node.off != first_is_off)
        stage_numbers.append(stage)
        for output in placed_node.node.outputs:
            stage_of[output] = stage
    used = [stage for stage, node in zip(stage_numbers, placed, strict=True) if node.off is not None]
    lowest = min(used, default=0)
    return [max(0, stage - lowest) for stage in stage_numbers]


def count_cuts(placed: Sequence[PlacedNode]) -> int:
    """How often execution changes processor."""
    return max(stages(placed), default=0)


def partition(
    graph: Graph, placed: Sequence[PlacedNode], kind: DlcKind, runtime: Runtime, unclear: int
) -> Partition:
    """The chain of subnets of a graph's nodes, which are in the graph's order."""
    stage_numbers = stages(placed)
    count = max(stage_numbers, default=-1) + 1
    members: list[list[PlacedNode]] = [[] for _ in range(count)]
    for placed_node, stage in zip(placed, stage_numbers, strict=True):
        members[stage].append(placed_node)
    return Partition(
        runtime,
        tuple(_subnet(group) for group in members),
        tuple(_borders(graph, placed, stage_numbers, kind)),
        _costliest(placed, count - 1),
        unclear,
        sum(node.off is None for node in placed),
    )


def _subnet(group: Sequence[PlacedNode]) -> Subnet:
    first = group[0].node
    ops = Counter(plain(node.label) for node in group)
    name = plain(first.name or f"{first.op_type}#{first.index}")
    return Subnet(
        not any(placed_node.off for placed_node in group), len(group), name, tuple(ops.most_common())
    )


def _borders(
    graph: Graph, placed: Sequence[PlacedNode], stage_numbers: Sequence[int], kind: DlcKind
) -> Iterator[Border]:
    stage_of: dict[str, int] = {}
    last: dict[str, int] = {}
    for placed_node, stage in zip(placed, stage_numbers, strict=True):
        for name in _reads(placed_node.node):
            if name in stage_of:
                last[name] = max(stage, last.get(name, stage))
        stage_of.update((output, stage) for output in placed_node.node.outputs if output)
    crossing = [
        (stage_of[name], end, bytes_of(graph.type_of(name), kind))
        for name, end in last.items()
        if end > stage_of[name]
    ]
    for border in range(max(stage_numbers, default=0)):
        sizes = [size for start, end, size in crossing if start <= border < end]
        known = [size for size in sizes if size is not None]
        yield Border(len(sizes), sum(known), len(sizes) - len(known))


def _costliest(placed: Sequence[PlacedNode], cuts: int) -> Costliest | None:
    best: Costliest | None = None
    for label, count in Counter(node.label for node in placed if node.off).most_common():
        without = [
            replace(placed_node, off=False) if placed_node.label == label else placed_node
            for placed_node in placed
        ]
        saved = cuts - count_cuts(without)
        if saved > (best.borders if best else 0):
            best = Costliest(plain(label), count, saved)
    return best
