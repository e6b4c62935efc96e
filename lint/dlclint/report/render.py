"""The formats by name, and writing a report whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TextIO

from dlclint.outcome import Outcome


def render(outcome: Outcome, form: str, stream: TextIO | None) -> str:
    """The report as text. `stream` is where it will be shown, for width and colour; None for a file.

    Raises:
        ValueError: no such format.
    """
    if form == "rich":
        from dlclint.report.rich_text import render_rich

        return render_rich(outcome, stream)
    if form == "concise":
        from dlclint.report.concise import render_concise

        return render_concise(outcome)
    if form == "json":
        from dlclint.report.json_v1 import render_json

        return render_json(outcome)
    if form == "sarif":
        from dlclint.report.sarif import render_sarif

        return render_sarif(outcome)
    raise ValueError(f"no format is called {form}")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it appears whole or not at all.

    A device or pipe, such as /dev/null, is written to: a file in its place would take it from everyone. A
    symbolic link stays, and its target is written.

    Raises:
        OSError: as from the file system; the old file, if any, is untouched.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        return
    path = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
