"""The models and override files that paths name; folders are searched, except for excluded paths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.encodings.recognition import ENCODINGS_SUFFIXES
from dlclint.engine.config import Config
from dlclint.model.formats import MODEL_SUFFIXES
from dlclint.remote import is_address

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

EXCLUDED = (".git/", ".venv/", "node_modules/")
"""Folders that no search enters."""


def files(
    paths: Sequence[str], config: Config | None = None, problems: list[str] | None = None
) -> Iterator[Path]:
    """The models and override files that paths name, including those in folders.

    An invalid path is added to `problems`, and the search goes on with the others.

    Raises:
        UsageError: a path is invalid and `problems` is None.
    """
    for text in paths:
        try:
            yield from _of(text, config or Config())
        except UsageError as problem:
            if problems is None:
                raise
            problems.append(str(problem))


def _of(text: str, config: Config) -> Iterator[Path]:
    path = Path(text)
    if is_address(text):
        raise UsageError(f"{plain(text)}: only `dlclint check` reads addresses; download the file")
    if path.is_dir():
        paths = sorted(_searched(path, config))
        if not paths:
            raise UsageError(f"no .onnx file in folder {plain(text)}; give a model or another folder")
        yield from paths
    elif not path.exists():
        raise UsageError(f"{plain(text)} does not exist; check the path")
    elif not path.is_file():
        raise UsageError(f"{plain(text)} is not a regular file; give a model file")
    elif path.suffix.lower() not in (*MODEL_SUFFIXES, *ENCODINGS_SUFFIXES):
        known = ", ".join(dict.fromkeys((*MODEL_SUFFIXES, *ENCODINGS_SUFFIXES)))
        raise UsageError(f"{plain(text)}: no model format has this ending; known are {known}")
    else:
        yield path


class _Left:
    """What a search leaves out: lists of patterns, each for a folder and below; the last match wins."""

    def __init__(self, specs: Sequence[tuple[Path, GitIgnoreSpec]]) -> None:
        self._specs = tuple(specs)

    def with_file(self, folder: Path) -> _Left:
        """A copy with the .gitignore of a folder added."""
        spec = _gitignore(folder)
        return self if spec is None else _Left((*self._specs, (folder, spec)))

    def leaves(self, path: Path, is_dir: bool) -> bool:
        """Whether a path is left out."""
        for folder, spec in reversed(self._specs):
            try:
                name = path.relative_to(folder).as_posix()
            except ValueError:
                continue
            included = spec.check_file(f"{name}/" if is_dir else name).include
            if included is not None:
                return included
        return False


def _searched(folder: Path, config: Config) -> Iterator[Path]:
    # Imported here because only a search of folders needs it.
    from pathspec import GitIgnoreSpec

    top = folder.absolute()
    specs = [(top, GitIgnoreSpec.from_lines(EXCLUDED))]
    if config.gitignore:
        specs += [(parent, spec) for parent in _above(top) if (spec := _gitignore(parent)) is not None]
    specs += [
        (exclude.folder.absolute(), GitIgnoreSpec.from_lines([exclude.pattern])) for exclude in config.exclude
    ]
    known = {top: _Left(specs)}
    for parent, folders, names in os.walk(top):
        here = Path(parent)
        left = known.pop(here)
        if config.gitignore:
            left = left.with_file(here)
        folders[:] = sorted(name for name in folders if not left.leaves(here / name, True))
        known.update({here / name: left for name in folders})
        for name in names:
            path = here / name
            if path.suffix in (".onnx", ".encodings") and path.is_file() and not left.leaves(path, False):
                yield folder / path.relative_to(top)


def _above(folder: Path) -> list[Path]:
    """The folders above this one, from the top of the repository down; none outside a repository."""
    if (folder / ".git").exists():
        return []
    places: list[Path] = []
    for path in folder.parents:
        places.insert(0, path)
        if (path / ".git").exists():
            return places
    return []


def _gitignore(folder: Path) -> GitIgnoreSpec | None:
    # Imported here for the same reason.
    from pathspec import GitIgnoreSpec

    try:
        text = (folder / ".gitignore").read_text("utf-8", "replace")
        return GitIgnoreSpec.from_lines(text.splitlines())
    except (OSError, ValueError):  # no such file, or an invalid pattern
        return None
