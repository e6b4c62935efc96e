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
    clipped = cuts(ModelView(read(path), Target()).cle.pairs)
    assert (len(clipped.known), clipped.unknown) == (1, 0)
    return clipped.known[0]


@pytest.mark.parametrize(
    ("gamma", "beta"),
    [((4.0, 1.0), (5.0, 0.5)), ((2.0, 1.0), (1.0, 0.5)), ((1.0, 3.0), (-2.0, 8.0)), ((0.5, 2.0), (6.0, 2.0))],
)
def test_numbers_are_those_of_normal_channels(
    gamma: tuple[float, float], beta: tuple[float, float], tmp_path: Path
) -> None:
    loss = cut(saved(tmp_path, gamma, beta))
    values = np.random.default_rng(0).normal(beta, gamma, (400_000, 2))
    clipped, open_above = np.clip(values, 0, 6), np.maximum(values, 0)
    kept = 10 * math.log10((clipped**2).sum() / ((open_above - clipped) ** 2).sum())
    assert loss.share == pytest.approx((values > 6).mean(), abs=2e-3)
    assert loss.kept == pytest.approx(kept, abs=0.2)


def test_nothing_above_the_bound_keeps_everything(tmp_path: Path) -> None:
    loss = cut(saved(tmp_path, (0.0, 0.0), (1.0, 2.0)))
    assert (loss.share, loss.destroys) == (0.0, False)
    assert loss.kept > 100


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
    """Batch normalization predicts few values above 6, so only running both models shows the difference."""
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
        assert next(advice["choice"] for advice in advice if advice["topic"] == "CLE") == choice


def chain(tmp_path: Path, length: int, gamma: float) -> Path:
    """Convolutions with a batch normalization and a ReLU6 behind each but the last."""
    path = tmp_path / f"{length}.onnx"
    one = onnx.numpy_helper.from_array
    nodes, stored, name = [], [one(np.float32(0), "lo"), one(np.float32(6), "hi")], "x"
    vectors = {"gamma": gamma, "beta": 0.0, "mean": 0.0, "variance": 1.0}
    stored += [one(np.full(2, value, np.float32), vector) for vector, value in vectors.items()]
    for index in range(length + 1):
        weight = np.array([[1, 0.5], [0.25, 1]], np.float32).reshape(2, 2, 1, 1)
        stored.append(one(weight, f"w{index}"))
        last = index == length
        ends = (f"c{index}", f"n{index}", f"a{index}")
        nodes.append(onnx.helper.make_node("Conv", [name, f"w{index}"], ["y" if last else ends[0]]))
        if not last:
            nodes.append(onnx.helper.make_node("BatchNormalization", [ends[0], *vectors], [ends[1]]))
            nodes.append(onnx.helper.make_node("Clip", [ends[1], "lo", "hi"], [ends[2]]))
        name = ends[2]
    shape = [1, 2, 4, 4]
    x, y = (onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, shape) for end in "xy")
    graph = onnx.helper.make_graph(nodes, "g", [x], [y], stored)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path
    )
    return path


@pytest.mark.parametrize(("length", "choice"), [(1, "yes"), (9, "no, unless measured")])
def test_small_changes_of_many_clips_add_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], length: int, choice: str
) -> None:
    """Each of them keeps 27 dB."""
    path = chain(tmp_path, length, 2.4)
    known = cuts(ModelView(read(path), Target()).cle.pairs)
    assert known.known[0].kept == pytest.approx(27, abs=1)
    assert known.together == pytest.approx(known.known[0].kept - 10 * math.log10(length), abs=1e-9)
    main(["plan", "--runtime", "dsp", "--format", "json", str(path)])
    advice = json.loads(capsys.readouterr().out)["advice"]
    assert next(advice["choice"] for advice in advice if advice["topic"] == "CLE") == choice
    main(["check", "--isolated", "--runtime", "dsp", "--quantize", "--format", "json", str(path)])
    findings = json.loads(capsys.readouterr().out)["files"][0]["findings"]
    help = next(finding["help"] for finding in findings if finding["rule"] == "cle/pairs")
    assert help.startswith("try" if choice == "yes" else "before")
