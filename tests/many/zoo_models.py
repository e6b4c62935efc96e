"""Small models of several kinds, some of which do not convert."""

from __future__ import annotations

from pathlib import Path

from onnx import parser

BODIES = (
    'g (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }',
    'g (float[1,3,3] x) => (float[1] y) { y = Det(x) }',
    'g (float[N,3,8,8] x) => (float[N,3,8,8] y) { a = Sigmoid(x) y = Mul(a, x) }',
    'g (float[1,8] x) => (float[1,8] y) { a = Erf(x) y = Add(a, x) }',
)  # fmt: skip


def zoo(folder: Path, count: int) -> Path:
    """So many models in a folder; the kinds take turns."""
    folder.mkdir(parents=True)
    models = [
        parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{body}').SerializeToString()
        for body in BODIES
    ]
    for number in range(count):
        (folder / f"{number:04}.onnx").write_bytes(models[number % len(models)])
    return folder
