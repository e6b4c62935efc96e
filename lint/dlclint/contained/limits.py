"""Limits that the system enforces: processor time by a timer, memory by the size of writable memory.

RLIMIT_DATA counts private writable memory (Linux 4.7 and later), and therefore neither the model, which is
mapped read-only, nor address space that an allocator only reserves.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_EVERY = 100
"""The number of calls on single nodes after which the memory in use is measured again."""
_LEAST = 1e-3
"""Seconds that an outer limit has at least; 0 would mean none."""


class Limits:
    """The limits of this process.

    The timer counts processor time, so that a busy machine ends nothing; when it expires, its signal ends the
    process, whatever native code is doing.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        self._before = resource.getrlimit(resource.RLIMIT_DATA)
        self._mapped = 0
        self._calls = 0

    @contextmanager
    def limited(self, seconds: float, memory: int, often: bool = False, clock: float = 0.0) -> Iterator[None]:
        """Apply the limits in the block; beyond its memory, allocations fail.

        `often` is for thousands of calls, before which little was allocated. `clock` is the limit of
        wall-clock time, 0 for none.
        """
        bound = self._bound(memory, often)
        if bound:
            resource.setrlimit(resource.RLIMIT_DATA, (bound, self._before[1]))
        outer = signal.setitimer(signal.ITIMER_PROF, seconds)[0]
        if clock:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, clock)
        try:
            yield
        finally:
            left = signal.setitimer(signal.ITIMER_PROF, 0)[0]
            if outer:
                signal.setitimer(signal.ITIMER_PROF, max(outer - (seconds - left), _LEAST))
            if clock:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if bound:
                resource.setrlimit(resource.RLIMIT_DATA, self._before)

    def _bound(self, memory: int, often: bool) -> int:
        if not memory:
            return 0
        if not often or self._calls % _EVERY == 0:
            self._mapped = _mapped()
        self._calls += 1
        if not self._mapped:
            return 0
        bound = self._mapped + memory
        soft = self._before[0]
        return bound if soft == resource.RLIM_INFINITY else min(bound, soft)


def _mapped() -> int:
    """Bytes of such memory in use; 0 where the system does not report it or enforces no limit (macOS)."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", "rb") as stream:  # noqa: PTH123  (a Path would take twice as long)
        return int(stream.read().split()[5]) * resource.getpagesize()
