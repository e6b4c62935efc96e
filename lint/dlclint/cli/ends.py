"""How a run ends that neither succeeds nor finds anything."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from dlclint.diagnostic import plain

INTERNAL = 70
"""Exit status of an error of ours: EX_SOFTWARE of BSD's sysexits.h. Findings have 1."""
INTERRUPTED = 130
"""As shells say of SIGINT (128 + 2)."""
TERMINATED = 143
"""As shells say of SIGTERM (128 + 15)."""
DEBUG = "DLCLINT_DEBUG"


class Terminated(KeyboardInterrupt):
    """SIGTERM; what cleans up after Ctrl-C cleans up after this too."""


def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    """The handler of SIGTERM."""
    raise Terminated


def handle_signals() -> None:
    """Let SIGTERM end the run as orderly as Ctrl-C does."""
    signal.signal(signal.SIGTERM, terminate)


def internal_error(error: Exception) -> int:
    """Say what failed and what to do, in one line; the exit status."""
    # Imported here because errors of ours are rare.
    import traceback

    if os.environ.get(DEBUG):
        traceback.print_exception(error)
        print(getattr(error, "trace", ""), file=sys.stderr)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" at {os.path.basename(last[0].filename)}:{last[0].lineno}" if last else ""  # noqa: PTH119
    said = plain(f"{type(error).__name__}: {error}{place}", 300)
    print(
        f"dlclint: internal error: {said}; report it, with the file if you may ({DEBUG}=1 shows a traceback)",
        file=sys.stderr,
    )
    return INTERNAL
