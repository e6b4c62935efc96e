"""The benchmark's models are valid and run, at a small scale of the same code."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "benchmarks"))
import models


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("kind", ["transformer", "resnet", "trained resnet", "vgg", "chain"])
def test_small_model_runs(tmp_path: Path, kind: str, external: bool) -> None:
    model = {
        "transformer": lambda: models.transformer(64, 2, 8, 50),
        "resnet": lambda: models.resnet((4, 8), (1, 2)),
        "trained resnet": lambda: models.resnet((4, 8), (1, 2), trained=True),
        "vgg": lambda: models.vgg(2),
        "chain": lambda: models.chain(50),
    }[kind]()
    path = tmp_path / "m.onnx"
    models.write(model, path, external)
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path)
    (model_input,) = session.get_inputs()
    dtype = np.int64 if "int64" in model_input.type else np.float32
    (result,) = session.run(None, {model_input.name: np.ones(model_input.shape, dtype)})
    assert np.isfinite(result).all()
