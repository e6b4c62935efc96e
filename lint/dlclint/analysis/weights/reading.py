"""Reading many tensors, in threads where that is faster; results never depend on the number of threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from dlclint.analysis.weights.statistics import is_floating
from dlclint.model.tensors import ChunkReader, Tensor, Unavailable

Key = TypeVar("Key")
Result = TypeVar("Result")
Item = TypeVar("Item")
Lot = TypeVar("Lot")

WORTH_THREADS = 1 << 26
"""Bytes from which threads are used; below, starting them takes as long as they save."""
MOST_THREADS = 4
"""Two threads read ten gigabytes per second together; a few more reach the memory bandwidth."""


def read_all(
    tensors: Mapping[Key, Tensor], function: Callable[[ChunkReader, Key, Tensor], Result]
) -> dict[Key, Result | None]:
    """A function's result for each floating-point tensor; None where the values cannot be read.

    The function may run in several threads at once, with a separate reader in each. The order is that of
    `tensors`.
    """
    floating = [(key, tensor) for key, tensor in tensors.items() if is_floating(tensor)]
    results: dict[Key, Result | None] = dict.fromkeys(key for key, _ in floating)

    def read(lot: list[tuple[Key, Tensor]]) -> None:
        with ChunkReader() as reader:
            for key, tensor in lot:
                try:
                    results[key] = function(reader, key, tensor)
                except Unavailable:
                    continue

    _at_once(read, _lots(floating, [max(0, tensor.nbytes) for _, tensor in floating]))
    return results


def for_each(items: Sequence[Item], sizes: Sequence[int], function: Callable[[Item], Result]) -> list[Result]:
    """A function's result for each item, in order; `sizes` are the bytes that it reads for each.

    The function may run in several threads at once.
    """
    results: dict[int, Result] = {}

    def work(lot: list[int]) -> None:
        for position in lot:
            results[position] = function(items[position])

    _at_once(work, _lots(range(len(items)), sizes))
    return [results[position] for position in range(len(items))]


def _lots(items: Sequence[Item], sizes: Sequence[int]) -> list[list[Item]]:
    """The items in one batch for each useful thread: the largest first, each to the smallest batch."""
    threads = min(_cores(), MOST_THREADS) if sum(sizes) >= WORTH_THREADS else 1
    if threads == 1:
        return [list(items)]
    lots: list[list[Item]] = [[] for _ in range(threads)]
    filled = [0] * threads
    for item, size in sorted(zip(items, sizes, strict=True), key=lambda both: -both[1]):
        least = filled.index(min(filled))
        lots[least].append(item)
        filled[least] += size
    return lots


def _at_once(function: Callable[[Lot], None], lots: Sequence[Lot]) -> None:
    """Call a function on each batch, all at once; raise what any call raises when all have ended."""
    # An executor would do, but its package imports logging, which takes longer than threads save for most
    # models.
    raised: list[BaseException] = []

    def call(lot: Lot) -> None:
        try:
            function(lot)
        except BaseException as error:
            raised.append(error)

    others = [threading.Thread(target=call, args=(lot,)) for lot in lots[1:]]
    for thread in others:
        thread.start()
    call(lots[0])
    for thread in others:
        thread.join()
    if raised:
        raise raised[0]


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
