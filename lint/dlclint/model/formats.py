"""The endings by which a model's file format is told, apart from the reader, which imports onnx."""

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
"""Ending of a text form to onnx's name of it."""
MODEL_SUFFIXES = (".onnx", *TEXT_FORMATS)
LFS_POINTER = b"version https://git-lfs"
"""How a file begins that stands for one which Git LFS has not fetched."""


def is_lfs_pointer(path: Path | None) -> bool:
    """Whether a file here is a Git LFS pointer; one that cannot be read is none."""
    try:
        if path is None or not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False
