"""The rules agree with an independent reading of the tables on the networks of the onnx package."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from op_verdicts import COLUMN, disagreements

LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx"))


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: path.stem)
def test_no_disagreement(path: Path) -> None:
    assert [line for runtime in COLUMN for line in disagreements(path, runtime)] == []


def test_a_disagreement_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import op_verdicts

    monkeypatch.setitem(
        op_verdicts.OPS,
        "Relu",
        {
            "opset_versions": [1],
            "constraints": [],
            "unlisted_registry_versions_up_to_21": [{"version": 6, "structure_unchanged": False}],
        },
    )
    network = next(path for path in LIGHT if path.stem == "light_resnet50")
    assert disagreements(network, "htp")
