"""One input: files, and the command that is run next to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SIDECAR = ".case.json"


@dataclass(frozen=True)
class Case:
    """Files by name (written into an empty folder) and the arguments of `dlclint`, run in that folder."""

    files: Mapping[str, bytes]
    arguments: tuple[str, ...]
    origin: str = ""
    """How it came about, for people."""

    def with_file(self, name: str, data: bytes) -> Case:
        """The same command on another content of a file."""
        return Case({**self.files, name: data}, self.arguments, self.origin)

    def without_file(self, name: str) -> Case:
        """The same command without a file."""
        return Case({n: d for n, d in self.files.items() if n != name}, self.arguments, self.origin)


def store(case: Case, folder: Path, name: str, cause: str) -> Path:
    """Write a case as files `NAME.FILE` and `NAME.case.json`, which holds the command and the cause."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {}
    for index, (inner, data) in enumerate(case.files.items()):
        suffix = Path(inner).suffix if Path(inner).suffix.isascii() else ""
        places[inner] = f"{name}.{index}{suffix}"
        (folder / places[inner]).write_bytes(data)
    head = {"cause": cause, "arguments": list(case.arguments), "files": places}
    path = folder / f"{name}{SIDECAR}"
    path.write_text(json.dumps(head, indent=2) + "\n", "utf-8")
    return path


def load(sidecar: Path) -> Case:
    """The case that `store` wrote."""
    head = json.loads(sidecar.read_text("utf-8"))
    files = {inner: (sidecar.parent / path).read_bytes() for inner, path in head["files"].items()}
    return Case(files, tuple(head["arguments"]), sidecar.name)
