"""The subnets of a model on a runtime, as reports show them.

Nothing here loads onnx, which a report does not need.
"""

from __future__ import annotations

from dlclint.target import Runtime
from dlclint_schemas.record import record


@record
class Subnet:
    """A run of nodes on one processor; `ops` counts op types and patterns, the most frequent first."""

    on_runtime: bool
    nodes: int
    first: str
    """Name of its first node, or its op and index where it has none."""
    ops: tuple[tuple[str, int], ...]


@record
class Border:
    """What is passed from one subnet to a later one: tensors, their bytes, and how many have no size."""

    tensors: int
    bytes: int
    unknown: int


@record
class Costliest:
    """The op type or pattern without which most borders would disappear: its nodes, and how many borders."""

    op: str
    nodes: int
    borders: int


@record
class Partition:
    """The subnets of a model on a runtime, in order, and the borders between neighbors."""

    runtime: Runtime
    subnets: tuple[Subnet, ...]
    borders: tuple[Border, ...]
    costliest: Costliest | None
    """None where there is only one subnet, or where no single op makes a difference."""
    unclear: int
    """Nodes for which the tables do not decide; they are assumed to be on the runtime."""
    nowhere: int
    """Nodes that no runtime supports; they are in no subnet, and cut nothing."""

    @property
    def cuts(self) -> int:
        """How often execution changes processor."""
        return len(self.borders)

    @property
    def bytes(self) -> int:
        """Bytes over all borders, as far as sizes are known."""
        return sum(border.bytes for border in self.borders)
