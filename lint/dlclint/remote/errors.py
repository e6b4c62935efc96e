"""Errors of remote files, with messages that contain no credentials."""

from __future__ import annotations


class RemoteError(OSError):
    """A remote file that cannot be read: why, and what to do."""

    def __init__(self, message: str, help: str = "check the address, and try again later") -> None:
        super().__init__(message)
        self.message = message
        self.help = help

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[RemoteError], tuple[str, str]]:
        return type(self), (self.message, self.help)


class NotThere(RemoteError):
    """There is no such file."""


class Changed(RemoteError):
    """The file has changed since a part of it was read."""
