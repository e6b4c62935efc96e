"""The subnets that a model falls into on a runtime, as reports show them.

Nothing here loads onnx, which a report does without.
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
    """What lives on from one subnet to a later one: tensors, their bytes, and how many have no size."""

    tensors: int
    bytes: int
    unknown: int


@record
class Costliest:
    """The op type or pattern without which most borders would vanish: its nodes, and how many go."""

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
    """None where one subnet is all, or where no single op makes a difference."""
    unclear: int
    """Nodes that the tables do not settle; they are taken to be on the runtime."""
    nowhere: int
    """Nodes that no runtime takes; they are in no subnet's processor, and cut nothing."""

    @property
    def cuts(self) -> int:
        """How often execution changes processor."""
        return len(self.borders)

    @property
    def bytes(self) -> int:
        """Bytes over all borders, as far as sizes are known."""
        return sum(border.bytes for border in self.borders)
