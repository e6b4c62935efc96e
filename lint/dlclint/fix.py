"""A fix as a finding carries it, for every kind of file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dlclint.diagnostic import Safety
from dlclint_schemas.record import record


class CannotFix(Exception):
    """A fix cannot be applied after all; the argument states why in one sentence."""


@record
class Fix:
    """Edits of a file that belong together: all are applied, or none.

    The title states what the fix does and, if it is unsafe, what changes with it. A fix for display only has
    no edits: it states what a person would have to do.
    """

    title: str
    safety: Safety
    edits: Sequence[Any] | Callable[[], Iterable[Any]] = ()
    """Edits of `dlclint.model.edits` or `dlclint.encodings.edits`. A function computes them when they are
    applied, which linting alone does not need, and may raise `CannotFix`.
    """

    def make(self) -> tuple[Any, ...]:
        """The edits.

        Raises:
            CannotFix: the fix cannot be applied after all.
        """
        return tuple(self.edits() if callable(self.edits) else self.edits)
