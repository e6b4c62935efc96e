"""Workers that keep what they have read between requests, for a long-running process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from dlclint.contained.deaths import Deaths, Died
from dlclint.contained.process import Worker

_SUBJECTS = 64
"""Subjects whose deaths are remembered; with more, all are forgotten, and may end a worker again."""


class Beside:
    """A worker for a process with threads.

    Such a process must not fork, because the child would find locks held by other threads. So it forks once,
    before it starts any thread, and that child, which never reads a file, forks the workers.
    """

    def __init__(self) -> None:
        self._keeper = Worker()
        self._lock = threading.Lock()

    def ask(self, subject: Hashable, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function in the worker; if it dies, a new worker repeats it without what ended it.

        Args:
            subject: what the call is about. What ended a worker on it is not tried again.
            function: found by its name in its module, which may keep data for later calls.
            arguments: the arguments of the call.

        Raises:
            Died: the worker dies whichever step is left out.
            Exception: what the function raises.
        """
        with self._lock:
            self._keeper.ask(_ask, (subject, function, arguments), {})
            return self._keeper.answer().value()


class _Kept:
    """In the child: the worker, and what ended earlier ones."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._deaths: dict[Hashable, Deaths] = {}

    def ask(self, subject: Hashable, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if len(self._deaths) > _SUBJECTS:
            self._deaths.clear()
        deaths = self._deaths.setdefault(subject, Deaths())
        while True:
            worker = self._worker = self._worker or Worker()
            worker.ask(function, arguments, deaths.ended)
            try:
                return worker.wait().value()
            except Died as died:
                self._worker = None
                if not deaths.learn(died):
                    raise


_kept = _Kept()


def _ask(subject: Hashable, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return _kept.ask(subject, function, arguments)
