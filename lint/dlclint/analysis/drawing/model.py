"""What a drawing consists of. Nothing here loads onnx, which a report does without."""

from __future__ import annotations

from dlclint.analysis.subnets import Border
from dlclint_schemas.record import record


@record
class DrawnNode:
    """A node, or an input or output of the model, whose `index` is None.

    `block` is its place in `Drawing.blocks`, `sources` are the places in `Drawing.nodes` of what it reads.
    `placed` has one letter for each of `Drawing.runtimes`: y (takes it), n (does not, and the CPU does),
    x (no runtime does), u (no table settles it), - (it does not reach conversion).
    """

    graph: str
    index: int | None
    name: str
    op: str
    block: int
    sources: tuple[int, ...]
    outputs: tuple[str, ...]
    type: str
    """Of its first output, such as `float32[1,64,56,56]`; "" where it is unknown."""
    attributes: str
    precision: str
    placed: str


@record
class NetworkBlock:
    """Nodes that belong together: a module of the network, or a stretch of it."""

    parent: int
    """Its place in `Drawing.blocks`; -1 for the first, which is the whole model."""
    name: str


@record
class DrawnWeight:
    """A weight as the quantizer sees it: its range, and its SQNR in dB on the grids of a width."""

    node: int
    """Place in `Drawing.nodes`."""
    name: str
    low: float
    high: float
    per_tensor: float
    per_channel: float


@record
class DrawnCuts:
    """What crosses each border between subnets, in order; each subnet's first node by name.

    `runtime` names the runtimes of which that is true.
    """

    runtime: str
    borders: tuple[Border, ...]
    firsts: tuple[str, ...]


@record
class Drawing:
    """A model as a page draws it. `bits` is the width that the weights' SQNR is of."""

    nodes: tuple[DrawnNode, ...]
    blocks: tuple[NetworkBlock, ...]
    runtimes: tuple[str, ...]
    weights: tuple[DrawnWeight, ...]
    bits: int
    cuts: tuple[DrawnCuts, ...]
    left_out: int = 0
    """Nodes that are not drawn because they are so many; then none is."""
