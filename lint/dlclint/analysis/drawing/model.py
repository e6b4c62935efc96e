"""The parts of a drawing. Nothing here loads onnx, which a report does not need."""

from __future__ import annotations

from dlclint.analysis.subnets import Border
from dlclint_schemas.record import record


@record
class DrawnNode:
    """A node, or an input or output of the model, whose `index` is None.

    `block` is its index in `Drawing.blocks`, `sources` are the indices in `Drawing.nodes` of what it reads.
    `placed` has one letter for each of `Drawing.runtimes`: y (supported), n (not supported, but by the CPU),
    x (no runtime supports it), u (no table decides), - (not converted).
    """

    graph: str
    index: int | None
    name: str
    op: str
    block: int
    sources: tuple[int, ...]
    outputs: tuple[str, ...]
    type: str
    """The type of its first output, such as `float32[1,64,56,56]`; "" where it is unknown."""
    attributes: str
    precision: str
    placed: str


@record
class NetworkBlock:
    """Nodes that belong together: a module of the network, or a section of it."""

    parent: int
    """Its parent's index in `Drawing.blocks`; -1 for the first, which is the whole model."""
    name: str


@record
class DrawnWeight:
    """A weight as the quantizer sees it: its range, and its SQNR in dB on the grids of a width."""

    node: int
    """Index in `Drawing.nodes`."""
    name: str
    low: float
    high: float
    per_tensor: float
    per_channel: float


@record
class DrawnCuts:
    """What crosses each border between subnets, in order; each subnet's first node by name.

    `runtime` names the runtimes to which that applies.
    """

    runtime: str
    borders: tuple[Border, ...]
    firsts: tuple[str, ...]


@record
class Drawing:
    """A model as a page draws it. `bits` is the width to which the weights' SQNR applies."""

    nodes: tuple[DrawnNode, ...]
    blocks: tuple[NetworkBlock, ...]
    runtimes: tuple[str, ...]
    weights: tuple[DrawnWeight, ...]
    bits: int
    cuts: tuple[DrawnCuts, ...]
    left_out: int = 0
    """Nodes that are not drawn because there are too many; then none is."""
