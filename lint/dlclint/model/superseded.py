"""Data files that nothing refers to any more after a model is replaced by its next version.

A data file never takes the name of an existing file, so each time that an output is written again its data
get a new name. The file of the previous version is removed if only that version can refer to it.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dlclint.model import external
from dlclint.model.draft import tensors
from dlclint.model.formats import MODEL_SUFFIXES
from dlclint.model.reading import Unreadable, parse


def superseded(path: Path, new: Path, source: Path) -> list[Path]:
    """The data files to remove when `new` replaces `path`.

    Only files that dlclint wrote for `path` count, by their names, and of these none that `new`, the `source`
    of the work, or any other model in the folder or above it may refer to. If that is uncertain, the file
    stays.
    """
    try:
        pattern = re.compile(rf"{re.escape(path.name)}(\.\d+)?\.data")
        folder = path.parent.resolve()
        old = [file for file in _named(path) if file.parent == folder and pattern.fullmatch(file.name)]
        if not old:
            return []
        kept = {*_named(new), *(() if source.samefile(path) else _named(source))}
        others = [file for file in _models(folder) if file.name not in (path.name, new.name)]
        return [file for file in old if file not in kept and _is_alone(file, others)]
    except (OSError, Unreadable, *external.FLAWS):
        return []


def _named(path: Path) -> set[Path]:
    """The files of external data of a model, links resolved; none where there is no model.

    Raises:
        OSError, Unreadable, and those of `external.FLAWS`: they cannot be determined.
    """
    if not path.exists():
        return set()
    proto, _, _ = parse(path)
    return {
        external.resolve_location(tensor, path.parent).file
        for _, tensor in tensors(proto)
        if tensor.data_location == tensor.EXTERNAL
    }


def _models(folder: Path) -> Iterator[Path]:
    """The models that may refer to a file in a folder: those in the folder, and above it."""
    for path in (folder, *folder.parents):
        with os.scandir(path) as entries:
            yield from (path / entry.name for entry in entries if Path(entry.name).suffix in MODEL_SUFFIXES)


def _is_alone(file: Path, others: list[Path]) -> bool:
    status = file.lstat()
    if file.is_symlink() or status.st_nlink != 1:
        return False
    return not any(_mentions(other, file.name) for other in others)


def _mentions(model: Path, name: str) -> bool:
    if not model.is_file() or not model.stat().st_size:
        return False
    with model.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(os.fsencode(name)) >= 0
