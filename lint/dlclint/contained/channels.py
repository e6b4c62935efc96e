"""Messages between a process and its worker, over pipes."""

from __future__ import annotations

import os
import pickle
import select
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any

SPAWNS = sys.platform == "win32"
"""Whether workers are new processes, whose channels are those of `multiprocessing`."""


class Channel:
    """One end of two pipes; objects are sent through them as pickles."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self.descriptors = (incoming, outgoing)
        self._incoming = os.fdopen(incoming, "rb")
        self._outgoing = os.fdopen(outgoing, "wb")

    def send(self, message: Any) -> None:
        """Send an object.

        Raises:
            OSError: the other end is closed.
        """
        packed = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._outgoing.write(packed)
        self._outgoing.flush()

    def recv(self) -> Any:
        """The next object.

        Raises:
            EOFError: the other end was closed before the object was complete.
        """
        try:
            return pickle.load(self._incoming)
        except pickle.UnpicklingError:
            raise EOFError from None

    def fileno(self) -> int:
        """The descriptor at which messages arrive."""
        return self.descriptors[0]

    def close(self) -> None:
        """Close this end."""
        self._incoming.close()
        with suppress(BrokenPipeError):  # nothing needs what was not sent
            self._outgoing.close()


def channel() -> tuple[Channel, Channel]:
    """Both ends, for two processes of which one is forked from the other."""
    questions, answers = os.pipe(), os.pipe()
    return Channel(answers[0], questions[1]), Channel(questions[0], answers[1])


def ready(channels: Collection[Any], timeout: float | None) -> list[Any]:
    """The channels at which a message or the end has arrived; waits at most `timeout` seconds for one."""
    if SPAWNS:
        # Imported here because it takes longer than a fork does.
        from multiprocessing.connection import wait

        return list(wait(channels, timeout))
    poll = select.poll()
    by_descriptor = {one.fileno(): one for one in channels}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    events = poll.poll(None if timeout is None else timeout * 1000)
    return [by_descriptor[descriptor] for descriptor, _ in events]
