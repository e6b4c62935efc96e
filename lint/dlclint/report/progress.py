"""A progress bar on stderr, where it is a terminal and there is something to wait for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def with_progress(items: Iterable[Item], total: int) -> Iterator[Item]:
    """The items, counted on a bar that disappears; no bar for a single item or without a terminal."""
    if total < 2 or not sys.stderr.isatty():
        yield from items
        return
    # Imported here because Rich takes long to import, and a single file has no progress to show.
    from rich.console import Console
    from rich.progress import track

    yield from track(items, "linting", total, transient=True, console=Console(stderr=True))


@contextmanager
def counting(label: str, total: int) -> Iterator[Callable[[], None]]:
    """A function that advances a bar, which disappears at the end; without a terminal it does nothing."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda: None
        return
    # Imported here because Rich takes long to import, and without a terminal there is no bar.
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda: progress.advance(task)
