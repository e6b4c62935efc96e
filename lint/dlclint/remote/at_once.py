"""Work in separate threads: several tasks at once, and tasks with a time limit."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")
_time = threading.local()
"""`end`: the time after which nothing waits any more for the work of this thread."""


def is_late() -> bool:
    """Whether nothing waits any more for the work of this thread."""
    return bool(time.monotonic() > getattr(_time, "end", math.inf))


def begun(work: Callable[[], Result]) -> Callable[[], Result]:
    """Start work; the returned function waits for its result, and raises what it raises."""
    results = _come([work], 1, None)
    return lambda: next(results)


def within(seconds: float, work: Callable[[], Result]) -> Result:
    """The result of work, if it is done in time; otherwise it continues without anything waiting for it.

    Raises:
        TimeoutError: it is not done in time.
        Exception: what it raises.
    """
    return next(_come([work], 1, seconds))


def all_at_once(work: Sequence[Callable[[], Result]], workers: int) -> list[Result]:
    """The result of each task, with a limit on tasks at once; the first failure leaves the others running.

    Raises:
        Exception: what the first failing task raises.
    """
    return [work[0]()] if len(work) == 1 else list(_come(work, workers, None))


def _come(work: Sequence[Callable[[], Result]], workers: int, seconds: float | None) -> Iterator[Result]:
    """The result of each task, in order; all of them start at once."""
    done: queue.SimpleQueue[tuple[int, Result | None, BaseException | None]] = queue.SimpleQueue()
    left: queue.SimpleQueue[int] = queue.SimpleQueue()
    stopped = threading.Event()
    for number in range(len(work)):
        left.put(number)
    end = math.inf if seconds is None else time.monotonic() + seconds

    def run() -> None:
        _time.end = end
        while not stopped.is_set():
            try:
                number = left.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, work[number](), None))
            except BaseException as error:  # raised where the result is awaited
                done.put((number, None, error))

    def results() -> Iterator[Result]:
        by_number: dict[int, Any] = {}
        try:
            for wanted in range(len(work)):
                while wanted not in by_number:
                    try:
                        number, result, error = done.get(timeout=seconds)
                    except queue.Empty:
                        raise TimeoutError from None
                    if error is not None:
                        raise error
                    by_number[number] = result
                yield by_number.pop(wanted)
        finally:
            stopped.set()

    for _ in range(min(workers, len(work))):
        threading.Thread(target=run, daemon=True).start()
    return results()
