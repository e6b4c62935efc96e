"""The benchmark of AIMET's exports, as far as it goes without AIMET."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from benchmarks.aimet_exports import DEFENDED, NETWORKS, TARGETS, WIDTHS, main, network


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_sound(name: str) -> None:
    model = network(NETWORKS[name])
    onnx.checker.check_model(model, full_check=True)
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


def test_a_defence_names_what_there_is() -> None:
    for each in DEFENDED:
        assert {*each.configs} <= TARGETS.keys()
        assert {*each.widths} <= {*WIDTHS}
        assert {*each.networks} <= NETWORKS.keys()


def test_without_aimet_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--aimet", str(tmp_path / "none")]) == 0
    assert "not run: no aimet-onnx" in capsys.readouterr().out
