"""The parent's side: workers that get tasks, are watched, and are replaced when they die.

On Linux and macOS a worker is forked from this process, which takes a few milliseconds because all it needs
is loaded. On Windows it is a new process (`multiprocessing`'s spawn), which must load everything again.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from dlclint.contained import channels
from dlclint.contained.channels import channel, ready
from dlclint.contained.deaths import Deaths, Died
from dlclint.contained.guard import CLOCK, JOURNAL, NativeStep, Noted, noted, takes_more
from dlclint.contained.watching import resident
from dlclint.contained.worker import Reply, serve_worker

Item = TypeVar("Item")
Result = TypeVar("Result")

WATCHES = sys.platform != "linux"
"""Whether the parent must enforce the limits: macOS enforces none of memory, Windows none at all."""
_TICK = 0.25
"""Seconds between two checks of workers that are watched."""
_GRACE = 1.0
"""Seconds that a worker has to clean up when the run is stopped."""
_ours: set[int] = set()
"""Descriptors of this process for its workers and its parent; a new worker must not inherit them."""


_killed: list[int] = []
"""Processes that were killed and not waited for."""


def _is_reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


class Worker:
    """A process that runs one task after the other until it dies."""

    def __init__(self, load: Callable[[], None] | None = None) -> None:
        self._watched: tuple[int, float, int] = (0, 0.0, 0)
        self._killed = ""
        _killed[:] = [pid for pid in _killed if not _is_reaped(pid)]
        if channels.SPAWNS:
            self._spawn()
        else:
            self._fork(load)

    def _fork(self, load: Callable[[], None] | None) -> None:
        self._journal: Any = mmap.mmap(-1, JOURNAL)
        ours, theirs = channel()
        life, alive = os.pipe()
        self.channel: Any = ours
        with warnings.catch_warnings():
            # numpy's threads have a handler for forks; no other thread holds anything that a worker needs.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            try:
                for descriptor in (*_ours, *ours.descriptors, alive):
                    os.close(descriptor)
                _ours.clear()
                _ours.update((*theirs.descriptors, life))
                serve_worker(theirs, self._journal, life, load)
            finally:
                os._exit(1)
        theirs.close()
        os.close(life)
        self._alive = alive
        self._process: Any = None
        self.pid = pid
        _ours.update((*ours.descriptors, alive))

    def _spawn(self) -> None:
        # Imported here because it takes longer than a fork.
        from multiprocessing import get_context

        context = get_context("spawn")
        shared = context.RawArray("B", JOURNAL)
        self._journal = memoryview(shared).cast("B")
        ours, theirs = context.Pipe()
        self.channel = ours
        self._process = context.Process(target=serve_worker, args=(theirs, shared, None))
        self._process.start()
        theirs.close()
        self.pid = self._process.pid

    def ask(
        self, function: Callable[..., Any], arguments: Sequence[Any], ended: Mapping[NativeStep, str]
    ) -> None:
        """Send a task; `ended` is what must not run."""
        with suppress(BrokenPipeError):  # the reason why the worker ended is read where its answer is
            self.channel.send((function, tuple(arguments), dict(ended)))

    def answer(self) -> Reply:
        """The reply that has arrived.

        Raises:
            Died: the worker did.
        """
        try:
            reply: Reply = self.channel.recv()
            return reply
        except (EOFError, OSError):
            raise self._death() from None

    def wait(self) -> Reply:
        """The reply, once it has arrived.

        Raises:
            Died: the worker did.
        """
        while not ready([self.channel], _TICK if WATCHES else None):
            self.look()
        return self.answer()

    def look(self) -> None:
        """Enforce the limits of the current call, on systems that do not."""
        now = noted(self._journal)
        number, since, held = self._watched
        if not now.seconds or now.number != number:
            self._watched = (now.number, time.monotonic(), resident(self.pid) if now.seconds else 0)
        elif time.monotonic() - since > now.seconds * CLOCK or (
            now.memory and resident(self.pid) - held > now.memory
        ):
            self._killed = takes_more(now.seconds, now.memory)
        if self._killed:
            self._kill(signal.SIGTERM if channels.SPAWNS else signal.SIGKILL)

    def _death(self) -> Died:
        last = noted(self._journal)
        status = self._ended()
        self._release()
        at_limit = bool(self._killed) or _is_at_limit(status)
        return Died(self._killed or _cause(status, last), last.step, status, at_limit)

    def stop(self, grace: float = 0.0) -> None:
        """End the worker, if it still runs; with a grace period it may clean up."""
        if self.pid:
            if grace:
                self._kill(signal.SIGINT)
                ready([self.channel], grace)
            self._kill(signal.SIGTERM if channels.SPAWNS else signal.SIGKILL)
            if self._process is None:
                _killed.append(self.pid)  # releasing its memory takes a while, and nothing needs to wait
            self._release()

    def _kill(self, number: int) -> None:
        with suppress(OSError):
            os.kill(self.pid, number)

    def _ended(self) -> int:
        """Wait for the end: the exit status, negative for a signal."""
        if self._process is not None:
            self._process.join()
            return int(self._process.exitcode or 0)
        try:
            return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:  # other code waits for all children of the process
            return 0

    def _release(self) -> None:
        self.pid = 0
        if self._process is None:
            _ours.difference_update((*self.channel.descriptors, self._alive))
            os.close(self._alive)
        self.channel.close()


def _cause(status: int, last: Noted) -> str:
    if status >= 0:
        return f"ends with status {status}"
    if _is_at_limit(status):
        return takes_more(last.seconds, last.memory)
    if -status == getattr(signal, "SIGKILL", 0):
        return "was killed, as the system does when memory runs out"
    try:
        return f"dies ({signal.Signals(-status).name})"
    except ValueError:
        return f"dies (signal {-status})"


def _is_at_limit(status: int) -> bool:
    """Whether a timer of the worker itself ended it."""
    return status < 0 and -status in (getattr(signal, "SIGPROF", 0), getattr(signal, "SIGALRM", 0))


_early: list[Worker] = []


def start_early(load: Callable[[], None]) -> None:
    """Start the worker of the first task, and let it load what that task needs.

    A worker that is a new process, as on Windows, would take as long to start as this saves.
    """
    if not channels.SPAWNS:
        _early.append(Worker(load))


def in_worker(
    function: Callable[..., Result], *arguments: Any, meanwhile: Callable[[], None] | None = None
) -> Result:
    """The result of a function that runs in a worker; if it dies, the task is repeated without what ended it.

    Args:
        function: found by its name in its module, as are the classes of its arguments and result.
        arguments: the arguments of the call.
        meanwhile: called here while the worker works.

    Raises:
        Died: the worker dies whichever step is left out.
        Exception: what the function raises.
    """
    reply = next(each(function, [arguments], 1, meanwhile))
    if isinstance(reply, Died):
        raise reply
    return reply.value()  # type: ignore[no-any-return]


def each(
    function: Callable[..., Any],
    items: Sequence[Sequence[Any]],
    workers: int,
    meanwhile: Callable[[], None] | None = None,
) -> Iterator[Reply | Died]:
    """Call a function with each of the arguments in workers; yields in order.

    `meanwhile` is called here once all workers work. The reply holds what the function returns or raises. A
    death affects only its own item: that item is repeated without what ended it, and yields `Died` if that
    does not help.
    """
    pool = _Pool(function, items)
    grace = 0.0
    try:
        pool.start(min(workers, len(items)))
        if meanwhile is not None:
            with _undisturbed():
                meanwhile()
        yield from pool.run()
    except BaseException:
        grace = _GRACE
        raise
    finally:
        pool.stop(grace)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Defer signals: the import system swallows what a handler raises in some places."""
    if channels.SPAWNS:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Pool:
    """The workers of one `each`, and their current tasks."""

    def __init__(self, function: Callable[..., Any], items: Sequence[Sequence[Any]]) -> None:
        self._function = function
        self._items = items
        self._next = 0
        self._busy: dict[Worker, int] = {}
        self._deaths: dict[int, Deaths] = {}
        self._done: dict[int, Reply | Died] = {}

    def start(self, workers: int) -> None:
        for _ in range(workers):
            self._give(_early.pop() if _early else Worker())

    def run(self) -> Iterator[Reply | Died]:
        for number in range(len(self._items)):
            while number not in self._done:
                self._wait()
            yield self._done.pop(number)

    def stop(self, grace: float) -> None:
        for worker in self._busy:
            worker.stop(grace)

    def _give(self, worker: Worker) -> None:
        if self._next == len(self._items):
            worker.stop()
            return
        self._ask(worker, self._next)
        self._next += 1

    def _ask(self, worker: Worker, number: int) -> None:
        self._busy[worker] = number
        deaths = self._deaths.get(number)
        worker.ask(self._function, self._items[number], deaths.ended if deaths else {})

    def _wait(self) -> None:
        answered = ready([worker.channel for worker in self._busy], _TICK if WATCHES else None)
        for worker in [worker for worker in self._busy if worker.channel in answered]:
            self._take(worker)
        if WATCHES:
            for worker in self._busy:
                worker.look()

    def _take(self, worker: Worker) -> None:
        number = self._busy.pop(worker)
        try:
            self._done[number] = worker.answer()
        except Died as died:
            if died.status == -signal.SIGINT:
                raise KeyboardInterrupt from None
            if self._deaths.setdefault(number, Deaths()).learn(died):
                self._ask(Worker(), number)
                return
            self._done[number] = died
            worker = Worker() if self._next < len(self._items) else worker
        if worker.pid:
            self._give(worker)
