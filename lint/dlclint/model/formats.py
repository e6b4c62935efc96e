"""The suffixes that identify a model's file format, separate from the reader, which imports onnx."""

from __future__ import annotations

from pathlib import Path

TEXT_FORMATS = {
    ".textproto": "textproto",
    ".prototxt": "textproto",
    ".pbtxt": "textproto",
    ".json": "json",
    ".onnxjson": "json",
    ".onnxtxt": "onnxtxt",
    ".onnxtext": "onnxtxt",
}
"""Suffix of a text format to onnx's name for it."""
MODEL_SUFFIXES = (".onnx", *TEXT_FORMATS)
LFS_POINTER = b"version https://git-lfs"
"""The start of a file that represents one that Git LFS has not fetched."""


def is_lfs_pointer(path: Path | None) -> bool:
    """Whether a local file is a Git LFS pointer; an unreadable file is not."""
    try:
        if path is None or not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False
