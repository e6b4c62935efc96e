"""A fix as a finding carries it, whatever kind of file it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dlclint.diagnostic import Safety
from dlclint_schemas.record import record


class CannotFix(Exception):
    """A fix cannot be made after all; the argument says why in one sentence."""


@record
class Fix:
    """Edits of a file that belong together: all are made, or none.

    The title says what is done and, where the fix is unsafe, what changes with it. A fix for display
    only has no edits: it tells what a person would have to do.
    """

    title: str
    safety: Safety
    edits: Sequence[Any] | Callable[[], Iterable[Any]] = ()
    """Those of `dlclint.model.edits` or `dlclint.encodings.edits`. A function works them out when they
    are made, which linting alone does not need, and may raise `CannotFix`."""

    def make(self) -> tuple[Any, ...]:
        """The edits.

        Raises:
            CannotFix: the fix cannot be made after all.
        """
        return tuple(self.edits() if callable(self.edits) else self.edits)
