"""The worker: it runs tasks until its parent ends."""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, TextIO, TypeVar

from dlclint.contained.guard import Guard, put_guard

Failure = TypeVar("Failure", bound=BaseException)

DEBUG = "DLCLINT_DEBUG"
"""The environment variable that shows what native code prints (and tracebacks of internal errors)."""


_errors = 2
"""The descriptor of standard error before native code was cut off from it."""


def terminal() -> TextIO:
    """The original standard error, for dlclint's own messages."""
    return os.fdopen(os.dup(_errors), "w", buffering=1, encoding="utf-8", errors="backslashreplace")


class Reply(NamedTuple):
    """What a function returned, or what it raised, with the traceback as text."""

    result: Any = None
    error: BaseException | None = None
    trace: str = ""

    def value(self) -> Any:
        """The returned value; a raised exception is raised again."""
        if self.error is not None:
            self.error.__dict__["trace"] = self.trace
            raise self.error
        return self.result


def serve_worker(
    channel: Any, journal: Any, life: int | None, load: Callable[[], None] | None = None
) -> None:
    """Run tasks until the channel ends, then end the process.

    Args:
        channel: receives tasks: a function, its arguments, and what must not run.
        journal: memory shared with the parent.
        life: a pipe that the parent holds open; when it closes, the parent is dead, and this process ends.
        load: loads what the tasks need, while the parent still sends the first.
    """
    _prepare(life)
    if load is not None:
        with suppress(Exception):  # what cannot be loaded fails again, and is reported, where it is needed
            load()
    memory = journal if life is not None else memoryview(journal).cast("B")
    status = 0
    try:
        while True:
            function, arguments, ended = channel.recv()
            put_guard(Guard(memory, ended))
            _send(channel, _reply(function, arguments))
    except (EOFError, OSError):
        pass
    except KeyboardInterrupt:
        status = 130
    os._exit(status)


def alone(error: Failure) -> Failure:
    """An error without its causes, which some libraries pickle too, however deeply they are nested."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def _reply(function: Any, arguments: tuple[Any, ...]) -> Reply:
    try:
        return Reply(function(*arguments))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        trace = _trace()
        return Reply(None, alone(error), trace)


def _trace() -> str:
    # Imported here because errors are rare.
    import traceback

    return traceback.format_exc()


def _send(channel: Any, reply: Reply) -> None:
    try:
        channel.send(reply)
    except (pickle.PicklingError, TypeError, AttributeError, ValueError, RecursionError) as error:
        # An object that cannot be sent is described in words. Which error pickle raises depends on the object
        # and on the version of Python: a local function is an AttributeError up to 3.13.
        told = RuntimeError(f"{type(reply.error or error).__name__}: {reply.error or error}")
        channel.send(Reply(None, told, reply.trace or _trace()))


def _prepare(life: int | None) -> None:
    """Discard what native code prints, and die with the parent."""
    global _errors
    _errors = os.dup(2)
    null = os.open(os.devnull, os.O_RDWR)
    silent = not os.environ.get(DEBUG)
    for descriptor in (0, 1, 2) if silent else (0, 1):
        os.dup2(null, descriptor)
    handler = sys.modules.get("faulthandler")
    if handler is not None and silent:
        handler.disable()  # dlclint reports a death itself
    os.close(null)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if life is None or sys.platform == "win32":
        return
    # Imported here because Windows does not have it.
    import fcntl

    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    if select.select([life], (), (), 0)[0]:
        os._exit(1)  # the parent died before the signal was requested, which then never comes
