"""Workers that keep what they have read from one question to the next, for a process that stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from dlclint.contained.deaths import Deaths, Died
from dlclint.contained.process import Worker

_SUBJECTS = 64
"""Subjects whose deaths are remembered; beyond, all are forgotten, and cost a worker once more."""


class Beside:
    """A worker for a process with threads.

    Such a process must not fork, as the child would find locked what another thread held. So it does once,
    before it starts any, and that child, which never touches a file, forks those that do.
    """

    def __init__(self) -> None:
        self._keeper = Worker()
        self._lock = threading.Lock()

    def ask(self, subject: Hashable, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns in the worker; again, without what ended it, in a new one if it dies.

        Args:
            subject: what is worked on. What ended a worker at it is not tried again.
            function: found by its name in its module, where it may keep things for later questions.
            arguments: it is called with these.

        Raises:
            Died: it dies whatever is left out.
            Exception: what the function raises.
        """
        with self._lock:
            self._keeper.ask(_ask, (subject, function, arguments), {})
            return self._keeper.answer().value()


class _Kept:
    """In the child: the worker, and what ended those before."""

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
