"""How a run ends that neither succeeds nor reports findings."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from dlclint.diagnostic import plain

INTERNAL = 70
"""Exit status of an internal error: EX_SOFTWARE of BSD's sysexits.h. Findings have 1."""
INTERRUPTED = 130
"""The exit status that shells report for SIGINT (128 + 2)."""
TERMINATED = 143
"""The exit status that shells report for SIGTERM (128 + 15)."""
DEBUG = "DLCLINT_DEBUG"


class Terminated(KeyboardInterrupt):
    """SIGTERM; whatever cleans up after Ctrl-C cleans up after this too."""


def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    """The handler of SIGTERM."""
    raise Terminated


def handle_signals() -> None:
    """Let SIGTERM end the run as cleanly as Ctrl-C does."""
    signal.signal(signal.SIGTERM, terminate)


def internal_error(error: Exception) -> int:
    """Print in one line what failed and what to do; returns the exit status."""
    # Imported here because internal errors are rare.
    import traceback

    if os.environ.get(DEBUG):
        traceback.print_exception(error)
        print(getattr(error, "trace", ""), file=sys.stderr)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    location = f" at {os.path.basename(last[0].filename)}:{last[0].lineno}" if last else ""  # noqa: PTH119
    said = plain(f"{type(error).__name__}: {error}{location}", 300)
    print(
        f"dlclint: internal error: {said}; report it, with the file if you may ({DEBUG}=1 shows a traceback)",
        file=sys.stderr,
    )
    return INTERNAL
