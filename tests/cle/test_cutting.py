"""What ReLU6 cuts off, by batch normalization, and what becomes of pairs across it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from dlclint.analysis.cle.cutting import ClipLoss, cuts
from dlclint.analysis.view import ModelView
from dlclint.cli.main import main
from dlclint.model.reading import read
from dlclint.target import Target

NETWORK = """<ir_version: 8, opset_import: ["": 13]>
g (float[1,2,4,4] x) => (float[1,2,4,4] y)
<float[2,2,1,1] w1 = {{1.0,0.5,0.25,1.0}}, float[2,2,1,1] w2 = {{1.0,0.75,0.5,1.0}}, float lo = {{0.0}},
 float hi = {{6.0}}, float[2] gamma = {{{gamma}}}, float[2] beta = {{{beta}}}, float[2] mean = {{0.0, 0.0}},
 float[2] variance = {{1.0, 1.0}}> {{
  c = Conv(x, w1)
  n = BatchNormalization<epsilon = 1e-12>(c, gamma, beta, mean, variance)
  a = Clip(n, lo, hi)
  y = Conv(a, w2)
}}"""


def saved(tmp_path: Path, gamma: tuple[float, float], beta: tuple[float, float]) -> Path:
    text = NETWORK.format(gamma=", ".join(map(repr, gamma)), beta=", ".join(map(repr, beta)))
    path = tmp_path / "m.onnx"
    onnx.save(parser.parse_model(text), path)
    return path


def cut(path: Path) -> ClipLoss:
    found = cuts(ModelView(read(path), Target()).cle.pairs)
    assert (len(found.known), found.unknown) == (1, 0)
    return found.known[0]


@pytest.mark.parametrize(
    ("gamma", "beta"),
    [((4.0, 1.0), (5.0, 0.5)), ((2.0, 1.0), (1.0, 0.5)), ((1.0, 3.0), (-2.0, 8.0)), ((0.5, 2.0), (6.0, 2.0))],
)
def test_numbers_are_those_of_normal_channels(
    gamma: tuple[float, float], beta: tuple[float, float], tmp_path: Path
) -> None:
    found = cut(saved(tmp_path, gamma, beta))
    values = np.random.default_rng(0).normal(beta, gamma, (400_000, 2))
    clipped, open_above = np.clip(values, 0, 6), np.maximum(values, 0)
    kept = 10 * math.log10((clipped**2).sum() / ((open_above - clipped) ** 2).sum())
    assert found.share == pytest.approx((values > 6).mean(), abs=2e-3)
    assert found.kept == pytest.approx(kept, abs=0.2)


def test_nothing_above_the_bound_keeps_everything(tmp_path: Path) -> None:
    found = cut(saved(tmp_path, (0.0, 0.0), (1.0, 2.0)))
    assert (found.share, found.destroys) == (0.0, False)
    assert found.kept > 100


def test_replacing_is_refused_where_it_destroys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = saved(tmp_path, (4.0, 1.0), (5.0, 0.5)), tmp_path / "o.onnx"
    arguments = ["equalize", str(path), "-o", str(out), "--relu6"]
    assert main([*arguments, "replace"]) == 1
    assert "destroys the network" in capsys.readouterr().err
    assert not out.exists()
    assert main([*arguments, "replace-anyway"]) == 0
    assert "verdict: " in capsys.readouterr().out
    assert [node.op_type for node in onnx.load(out).graph.node][2] == "Relu"


def test_replacing_is_refused_where_outputs_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Little lies above 6 by batch normalization, so that only running both models tells."""
    path, out = saved(tmp_path, (3.0, 3.0), (1.0, 1.0)), tmp_path / "o.onnx"
    assert not cut(path).destroys
    assert main(["equalize", str(path), "-o", str(out), "--relu6", "replace"]) == 1
    assert "pass --relu6 replace-anyway" in capsys.readouterr().err
    assert not out.exists()


def test_replacing_is_done_where_nothing_is_cut_off(tmp_path: Path) -> None:
    path, out = saved(tmp_path, (0.01, 0.01), (1.0, 1.0)), tmp_path / "o.onnx"
    assert main(["equalize", str(path), "-o", str(out), "--relu6", "replace"]) == 0
    assert [node.op_type for node in onnx.load(out).graph.node][2] == "Relu"


def test_plan_asks_for_no_equalization_that_destroys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for gamma, beta, choice in (((4.0, 1.0), (5.0, 0.5), "no"), ((2.0, 1.0), (1.0, 0.5), "yes")):
        main(["plan", "--runtime", "dsp", "--format", "json", str(saved(tmp_path, gamma, beta))])
        advice = json.loads(capsys.readouterr().out)["advice"]
        assert next(item["choice"] for item in advice if item["topic"] == "CLE") == choice
