"""Entries whose numbers are extreme together, for tensors in each role: a rule answers, it never fails."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tests.fuzz.entries import LAYOUTS, ROLES, beside_a_model

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.target import DlcKind, Runtime, Target

TARGETS = (
    Target(runtimes=(Runtime.HTP,), kind=DlcKind(quantize=True, stated=True)),
    Target(kind=DlcKind(quantize=True, act_bitwidth=16, stated=True)),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("role", ROLES)
def test_no_extreme_ends_a_rule(tmp_path: Path, role: str, layout: str) -> None:
    model, file = tmp_path / "m.onnx", tmp_path / "m.encodings"
    seen: set[str] = set()
    for seed in range(10):
        overrides, network = beside_a_model(Random(f"{role} {layout} {seed}"), role, layout)
        model.write_bytes(network)
        file.write_bytes(overrides)
        outcome = lint_file(Job(file, TARGETS[seed % 2], kind="encodings", model=model))
        seen |= {finding.rule for finding in outcome.diagnostics}
    assert "engine/crashed-rule" not in seen
    assert len(seen) > 3
