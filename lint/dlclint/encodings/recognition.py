"""Distinguishing override files from models, and finding the file that belongs to the other."""

from __future__ import annotations

from pathlib import Path

ENCODINGS_SUFFIXES = (".encodings", ".json", ".jsonc", ".txt")
_MODEL_KEYS = (b'"graph"', b'"irVersion"', b'"opsetImport"')
MODEL_SUFFIXES = (".onnx", ".onnxtxt", ".textproto", ".pbtxt")
_HEAD = 1 << 16


def is_encodings(path: Path) -> bool:
    """Whether a file is an override file: by its suffix, and for .json by its beginning."""
    suffix = path.suffix.lower()
    if suffix != ".json":
        return suffix in ENCODINGS_SUFFIXES
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return False
    return not any(key in head for key in _MODEL_KEYS)


def encodings_beside(model: Path) -> Path | None:
    """The override file with the same stem next to a model."""
    beside = model.with_suffix(".encodings")
    return beside if beside.is_file() else None


def model_beside(encodings: Path) -> Path | None:
    """The model with the same stem next to an override file."""
    for suffix in MODEL_SUFFIXES:
        beside = encodings.with_suffix(suffix)
        if beside.is_file():
            return beside
    return None
