"""The support matrix calls no runtime whole that the converter refuses a node for."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.target import Runtime, Target

FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.mark.parametrize(
    ("fixture", "reason"),
    [
        ("ops/pattern-only/bad_erf", "only taken inside GELU"),
        ("ops/pattern-only/bad_gemm_two_activations", "no fully connected layer"),
        ("ops/not-foldable/bad_decided_by_data", "not known at conversion time"),
        ("ops/unsupported/bad_det", "not in the supported-ops table"),
        ("model/custom-op/bad_acme", "custom op"),
    ],
)
def test_refused_everywhere(fixture: str, reason: str) -> None:
    rows = ModelView(read(FIXTURES / f"{fixture}.onnxtxt"), Target()).support_matrix().rows
    assert [row.runtime for row in rows] == list(Runtime)
    for row in rows:
        assert not row.whole
        assert reason in {blocker.reason for blocker in row.blockers if blocker.certain}


def whole_on(fixture: str) -> set[Runtime]:
    rows = ModelView(read(FIXTURES / f"{fixture}.onnxtxt"), Target()).support_matrix().rows
    return {row.runtime for row in rows if row.whole}


def test_a_row_says_what_its_column_says() -> None:
    assert whole_on("ops/no-runtime/good_softplus_cpu") == {Runtime.CPU}


def test_a_pattern_counts_with_its_layer() -> None:
    """80-63442-2 Rev BL, Supported Network Layers, row Gelu: CPU and HTP only."""
    assert whole_on("ops/pattern-only/good_gelu_half_last") == {Runtime.CPU, Runtime.HTP}
