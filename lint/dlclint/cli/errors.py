"""What a command raises when it cannot do what was asked."""

from __future__ import annotations


class UsageError(Exception):
    """What was asked cannot be done; the argument is one sentence for the user. Exit status 2."""
