"""The error that a command raises when it cannot do what the user requested."""

from __future__ import annotations


class UsageError(Exception):
    """The request cannot be carried out; the argument is one sentence for the user. Exit status 2."""
