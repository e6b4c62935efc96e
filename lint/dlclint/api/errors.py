"""The errors of the Python interface."""

from __future__ import annotations


class CannotLint(ValueError):
    """The request cannot be met: no such file, chip, runtime or rule. The argument says what to do."""
