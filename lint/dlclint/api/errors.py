"""What functions of the Python interface raise."""

from __future__ import annotations


class CannotLint(ValueError):
    """What was asked cannot be done: no such file, chip, runtime or rule. The argument says what to do."""
