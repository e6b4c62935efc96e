"""The badly scaled networks at a small size: equalizing keeps what they compute and saves their weights."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from dlclint.engine.equalize import Options, write_equalized

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import scaled

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(
    ("model", "pairs"),
    [
        (scaled.resnet50(width=8, depths=(3, 4, 6, 3), size=32), 32),
        (scaled.mobilenet_v2(width=0.25, size=32), 36),
    ],
    ids=["resnet50", "mobilenet_v2"],
)
def test_equalized(tmp_path: Path, model: onnx.ModelProto, pairs: int) -> None:
    source, once, twice = (tmp_path / f"{name}.onnx" for name in ("source", "once", "twice"))
    onnx.save(model, source)
    onnx.checker.check_model(source, full_check=True)
    outcome = write_equalized(source, once, Options(runs=20))
    assert (outcome.pairs, outcome.left_alone, outcome.unconverged) == (pairs, (), 0)
    assert outcome.checked is not None
    assert outcome.checked.largest_relative < 1e-4
    worst = sorted(outcome.layers, key=lambda row: row.chain_sqnr_before)[:5]
    assert all(row.chain_sqnr_after > row.chain_sqnr_before + 20 for row in worst)
    assert all(row.sqnr_after > row.sqnr_before for row in worst)
    assert not write_equalized(once, twice, Options()).changed
    assert once.read_bytes() == twice.read_bytes()
