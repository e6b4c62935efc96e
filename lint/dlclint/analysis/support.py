"""Which runtimes take the whole model, and which ops stand in the way on the others."""

from __future__ import annotations

from dataclasses import dataclass

from dlclint.target import Runtime


@dataclass(frozen=True, slots=True)
class Blocker:
    """An op that a runtime lacks: op type, how many nodes, and what the tables say."""

    op: str
    nodes: int
    reason: str
    certain: bool
    """False where the tables do not settle it and the verdict is inferred."""


@dataclass(frozen=True, slots=True)
class RuntimeSupport:
    """One row of the matrix. `taken` of `total` nodes have an implementation."""

    runtime: Runtime
    taken: int
    total: int
    blockers: tuple[Blocker, ...]

    @property
    def whole(self) -> bool:
        """Whether the runtime takes every node."""
        return self.taken == self.total


@dataclass(frozen=True, slots=True)
class SupportMatrix:
    """One row per runtime."""

    rows: tuple[RuntimeSupport, ...]
