"""How much memory another process uses, where the system enforces no limit of it."""

from __future__ import annotations

import os
import sys


def resident(pid: int) -> int:
    """Bytes of memory that a process uses; 0 where the system does not report it."""
    try:
        if sys.platform == "linux":
            with open(f"/proc/{pid}/statm", "rb") as stream:  # noqa: PTH123  (called often)
                return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        if sys.platform == "win32":
            return _working_set(pid)
        # Imported here because Linux does not need it.
        import subprocess

        shown = subprocess.run(
            ("ps", "-o", "rss=", "-p", str(pid)), capture_output=True, text=True, check=False
        ).stdout
        return int(shown) * 1024
    except (OSError, ValueError, IndexError):
        return 0


def _working_set(pid: int) -> int:
    # Imported here because only Windows needs them.
    import csv
    import subprocess

    shown = subprocess.run(
        ("tasklist", "/fi", f"PID eq {pid}", "/fo", "csv", "/nh"), capture_output=True, text=True, check=False
    ).stdout
    last = next(csv.reader([shown.strip()]))[-1]
    return int("".join(filter(str.isdigit, last))) * 1024
