"""The search for factors ends when its effort is spent, and its result is still a scaling."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.cle.test_scaling import weight_of

from dlclint.analysis.cle import scaling
from dlclint.analysis.cle.scaling import Effort, equalizing_factors
from dlclint.cli.main import main


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "_AT_FIRST", 3 * scaling._STEP)
    monkeypatch.setattr(scaling, "_FOR_EACH", 0)


@pytest.mark.usefixtures("little")
def test_effort_ends_and_the_factors_are_those_so_far() -> None:
    random = np.random.default_rng(0)
    chain = [weight_of(random.standard_normal((4, 4, 1)) * [[[10.0**i]]]) for i in range(8)]
    frozen = [np.zeros(4, bool)] * 7
    effort = Effort()
    scaled = equalizing_factors(chain, frozen, [False] * 7, effort)
    assert effort.spent and not scaled.converged
    assert scaled.changes
    assert all(np.isfinite(factor).all() and (factor > 0).all() for factor in scaled.factors)
    after = equalizing_factors(chain, frozen, [False] * 7, effort)  # for which nothing is left
    assert not after.changes


def test_effort_grows_with_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "_AT_FIRST", 0)
    effort = Effort()
    assert not effort.take(0)
    effort.grow(scaling._STEP)
    assert effort.take(0)


@pytest.mark.usefixtures("little")
def test_check_says_that_it_was_not_followed(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    nodes, weights = [], []
    for i in range(30):
        nodes.append(onnx.helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"x{i + 1}"], name=f"c{i}"))
        weight = random.standard_normal((4, 4, 1, 1)) * 10.0 ** random.uniform(-2, 2, (4, 1, 1, 1))
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{i}"))
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, 4, 8, 8]) for name in ("x0", "x30")]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=8)
    path = f"{tmp_path}/model.onnx"
    onnx.save(model, path)
    assert main(["check", "--isolated", "--quantize", "--runtime", "htp", path]) in (0, 1)
    assert "in part only" in capsys.readouterr().out
