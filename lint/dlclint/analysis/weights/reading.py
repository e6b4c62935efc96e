"""Reading many tensors, in threads where that pays."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from dlclint.analysis.weights.statistics import is_floating
from dlclint.model.tensors import ChunkReader, Tensor, Unavailable

Key = TypeVar("Key")
Result = TypeVar("Result")

WORTH_THREADS = 1 << 28
"""Bytes from which threads are used; below, starting them takes as long as they save."""
MOST_THREADS = 4
"""More threads than these wait for memory, not for a core."""


def read_all(
    tensors: Mapping[Key, Tensor], function: Callable[[ChunkReader, Key, Tensor], Result]
) -> dict[Key, Result | None]:
    """What a function finds of each floating-point tensor; None where the values cannot be read.

    The function may run in several threads at once, on a reader of its own in each. The order is that
    of `tensors`, and the result does not depend on the number of threads.
    """
    floating = [(key, tensor) for key, tensor in tensors.items() if is_floating(tensor)]
    found: dict[Key, Result | None] = dict.fromkeys(key for key, _ in floating)

    def read(lot: list[tuple[Key, Tensor]]) -> None:
        with ChunkReader() as reader:
            for key, tensor in lot:
                try:
                    found[key] = function(reader, key, tensor)
                except Unavailable:
                    continue

    size = sum(max(0, tensor.nbytes) for _, tensor in floating)
    threads = min(_cores(), MOST_THREADS) if size >= WORTH_THREADS else 1
    if threads == 1:
        read(floating)
        return found
    # Imported here because small models, which are read at once, need no threads.
    from concurrent.futures import ThreadPoolExecutor

    # The largest first, each to the lot that has the least.
    lots: list[list[tuple[Key, Tensor]]] = [[] for _ in range(threads)]
    filled = [0] * threads
    for key, tensor in sorted(floating, key=lambda item: -item[1].nbytes):
        least = filled.index(min(filled))
        lots[least].append((key, tensor))
        filled[least] += tensor.nbytes
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(read, lots):
            pass
    return found


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
