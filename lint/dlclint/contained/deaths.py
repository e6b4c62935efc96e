"""What ended the workers of one task, and therefore what is left out when it is repeated."""

from __future__ import annotations

from collections import Counter

from dlclint.contained.guard import ANY, NativeStep

_SAME_OP = 3
"""Deaths on nodes of one op after which its other nodes are not tried."""
_SAME_KIND = 8
"""Deaths on nodes after which no node is tried."""
_SLOW = 3
"""Time limits reached on nodes after which no node is tried, so that they do not add up."""
_ALL = 40
"""Deaths after which the task is given up."""


class Died(Exception):
    """A worker died; the argument states how, such as "dies (SIGSEGV)".

    `step` is what it was running, None if nothing was recorded; `status` its exit status, negative for a
    signal; `at_limit` whether it reached a limit of time or memory.
    """

    def __init__(
        self, how: str, step: NativeStep | None = None, status: int = 0, at_limit: bool = False
    ) -> None:
        super().__init__(how)
        self.how = how
        self.step = step
        self.status = status
        self.at_limit = at_limit

    def __reduce__(self) -> tuple[type[Died], tuple[str, NativeStep | None, int, bool]]:
        return Died, (self.how, self.step, self.status, self.at_limit)


class Deaths:
    """The deaths of one task. `ended` is what must not run again, and how it ended."""

    def __init__(self) -> None:
        self.ended: dict[NativeStep, str] = {}
        self._at_limit: set[NativeStep] = set()
        self._number = 0

    def learn(self, died: Died) -> bool:
        """Record a death; False if there is nothing more to leave out."""
        self._number += 1
        step = died.step
        if step is None or step in self.ended or self._number > _ALL:
            return False
        self.ended[step] = died.how
        if died.at_limit:
            self._at_limit.add(step)
        if not step.op:
            return True
        of_kind = [known for known in self.ended if known.kind == step.kind and known.spot not in ("", ANY)]
        if Counter(known.op for known in of_kind)[step.op] >= _SAME_OP:
            self.ended[NativeStep(step.kind, step.op, ANY)] = died.how
        if len(of_kind) >= _SAME_KIND or len(self._at_limit.intersection(of_kind)) >= _SLOW:
            self.ended[NativeStep(step.kind, ANY, ANY)] = "was given up after several deaths on other nodes"
        return True
