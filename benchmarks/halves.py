"""The two halves of a held-out set: rules may be changed by the first, and the second is for measuring."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def drawn(name: str, of: int, salt: str) -> int:
    """A number below `of` that a network's name decides, whatever the order and the machine."""
    return int.from_bytes(hashlib.sha256(f"{salt} {name}".encode()).digest()[:8], "big") % of


def half(folder: Path, name: str) -> Path:
    """`folder/first` or `folder/second`, made if missing; every form of a network goes to the same one."""
    path = folder / ("first", "second")[drawn(name, 2, "half")]
    path.mkdir(parents=True, exist_ok=True)
    return path


def left_out(name: str, error: Exception) -> None:
    """Report what an exporter or a library refuses; the next network may work."""
    print(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:150]}", file=sys.stderr)
