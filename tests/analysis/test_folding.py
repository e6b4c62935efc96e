"""What folds before conversion, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import parser

from dlclint.analysis.folding import folded_nodes
from dlclint.model.reading import read

TEXT = """<ir_version: 8, opset_import: ["" : 20]>
g (float[2] x) => (float[2] y) <float[2] half = {{0.5, 0.5}}> {{ c = {op}(half) y = Add(x, c) }}"""
ATTRIBUTES = {"RandomNormal": "<shape = [2]>", "RandomUniform": "<shape = [2]>"}


def folds(op: str, folder: Path) -> bool:
    text = TEXT.format(op=f"{op} {ATTRIBUTES.get(op, '')}")
    if op in ATTRIBUTES:
        text = text.replace("(half)", "()")
    path = folder / "m.onnx"
    path.write_bytes(parser.parse_model(text).SerializeToString())
    return ("", 0) in folded_nodes(read(path))


@pytest.mark.parametrize(
    "op",
    [
        *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        *("RandomUniformLike", "Dropout", "DynamicQuantizeLinear"),
    ],
)
def test_what_draws_numbers_or_quantizes_stays(op: str, tmp_path: Path) -> None:
    assert not folds(op, tmp_path)


@pytest.mark.parametrize("op", ["QuantizeLinear(half, half)", "DequantizeLinear(whole, half)"])
def test_what_represents_an_encoding_stays(op: str, tmp_path: Path) -> None:
    text = TEXT.replace("{op}(half)", op.replace("half", "one")).replace(
        "{{0.5, 0.5}}>", "{{0.5, 0.5}}, float one = {{1.0}}, uint8[2] whole = {{1, 2}}>"
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(text.replace("{{", "{").replace("}}", "}")).SerializeToString())
    assert ("", 0) not in folded_nodes(read(path))


@pytest.mark.parametrize("op", ["Neg", "Softplus", "Identity"])
def test_what_follows_from_constants_folds(op: str, tmp_path: Path) -> None:
    assert folds(op, tmp_path)
