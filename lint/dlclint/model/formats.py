"""The endings by which a model's file format is told, apart from the reader, which imports onnx."""

from __future__ import annotations

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
