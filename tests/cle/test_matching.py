"""The pairs of real networks, counted; what the documented chains take and leave; what else commutes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import onnx
import onnx.parser
import pytest

from dlclint.analysis.cle.matching import Matching, PairObstacle, match
from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.target import Target

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SHARED = Path(__file__).parents[3] / "shared" / "samples" / "models"


def matching(path: Path, extended: bool = False) -> Matching:
    view = ModelView(read(path), Target())
    return match(view.model, view.folded, extended)


@pytest.mark.parametrize(
    ("name", "convolutions", "whole", "bare", "outside"),
    [
        # Two pairs in each of 16 bottlenecks; the first convolution meets MaxPool, 4 on skips a Sum.
        ("resnet50", 53, 32, 0, {"Sum": 4, "MaxPool": 1}),
        # Depthwise and grouped convolution in each of 16 units; between units Reshape shuffles channels.
        ("shufflenet", 49, 16, 0, {"Reshape": 16, "MaxPool": 1}),
        ("vgg19", 16, 0, 11, {}),
        ("squeezenet", 26, 0, 0, {"Concat": 16, "Conv x2": 8, "MaxPool": 1, "GlobalAveragePool": 1}),
        ("inception_v1", 57, 0, 19, {"Concat": 18, "MaxPool": 1}),
        # Caffe's Scale layer became Mul and Add after the batch normalization.
        ("inception_v2", 69, 0, 0, {"Mul": 69}),
    ],
)
def test_light_networks(name: str, convolutions: int, whole: int, bare: int, outside: dict[str, int]) -> None:
    matches = matching(LIGHT / f"light_{name}.onnx")
    assert len(matches.convolutions) == convolutions
    assert Counter(pair.is_whole for pair in matches.pairs) == Counter({True: whole, False: bare})
    assert Counter(stop.at for stop in matches.outside()) == outside


@pytest.mark.skipif(not SHARED.is_dir(), reason="no sample models beside this checkout")
@pytest.mark.parametrize(
    ("name", "whole", "bare", "extended"),
    [("ultraface_rfb_320", 27, 8, 35), ("yunet_n_320_320", 0, 23, 40), ("silero_vad_16k_op15", 0, 3, 3)],
)
def test_samples(name: str, whole: int, bare: int, extended: int) -> None:
    matches = matching(SHARED / f"{name}.onnx")
    assert Counter(pair.is_whole for pair in matches.pairs) == Counter({True: whole, False: bare})
    assert len(matching(SHARED / f"{name}.onnx", extended=True).pairs) == extended


def parsed(tmp_path: Path, body: str, initializers: str = "") -> Path:
    text = (
        '<ir_version: 8, opset_import: ["" : 13]> g (float[1,2,4,4] x) => (float[1,2,?,?] y) '
        f"<float[2,2,1,1] w = {{1.0,2.0,3.0,4.0}}{initializers}> {{ {body} }}"
    )
    path = tmp_path / "m.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


PADS = ", int64[8] pads = {0,0,1,1,0,0,1,1}, int64[8] wide = {0,1,0,0,0,1,0,0}, float one = {1.0}"


@pytest.mark.parametrize(
    ("between", "documented", "extended"),
    [
        ("a = Relu(c)", True, True),
        ("a = Identity(c)", True, True),
        ("a = Dropout(c)", True, True),
        ("b = Relu(c) a = Relu(b)", False, True),
        ("a = LeakyRelu(c)", False, True),
        ("a = PRelu(c, one)", False, True),
        ("a = Clip(c, zero)", False, True),
        ("a = Clip(c, one)", False, False),
        ("a = Clip(c, zero, six)", True, True),
        ("a = Clip(c, zero, one)", False, False),
        ("a = MaxPool<kernel_shape = [2, 2]>(c)", False, True),
        ("a = AveragePool<kernel_shape = [2, 2]>(c)", False, True),
        ("a = Pad(c, pads)", False, True),
        ("a = Pad(c, pads, one)", False, False),
        ('a = Pad<mode = "reflect">(c, pads)', False, True),
        ("a = Pad(c, wide)", False, False),
        ("a = Sigmoid(c)", False, False),
        ("a = Softmax(c)", False, False),
        ("a = Add(c, one)", False, False),
        ("a = Transpose<perm = [0, 1, 3, 2]>(c)", False, False),
        ("s = Sigmoid(c) a = Mul(c, s)", False, False),
    ],
)
def test_what_is_between(tmp_path: Path, between: str, documented: bool, extended: bool) -> None:
    bounds = ", float zero = {0.0}, float six = {6.0}"
    path = parsed(tmp_path, f"c = Conv(x, w) {between} y = Conv(a, w)", PADS + bounds)
    assert bool(matching(path).pairs) is documented
    assert bool(matching(path, extended=True).pairs) is extended


def test_every_convolution_is_accounted_for(tmp_path: Path) -> None:
    body = (
        "c = Conv(x, w) a = Relu(c) d = Conv(a, w) s = Sigmoid(d) e = Conv(s, w) f = Conv(x, w) y = Add(e, f)"
    )
    matches = matching(parsed(tmp_path, body))
    outside = {stop.conv.outputs[0]: stop.obstacle for stop in matches.outside()}
    assert [pair.first.outputs[0] for pair in matches.pairs] == ["c"]
    assert outside == {"e": PairObstacle.CHAIN, "f": PairObstacle.CHAIN}
    assert matches.stops[matches.pairs[0].second.key].obstacle is PairObstacle.ACTIVATION


@pytest.mark.parametrize(
    ("ops", "documented", "extended"),
    [("wkw", 2, 2), ("wk", 0, 1), ("kw", 1, 1), ("wkkw", 1, 3), ("kk", 0, 1), ("www", 2, 2)],
)
def test_depthwise_places(tmp_path: Path, ops: str, documented: int, extended: int) -> None:
    names = ["x", *(f"t{index}" for index in range(1, len(ops))), "y"]
    body = " ".join(
        f"{after} = Conv{'<group = 2>' if op == 'k' else ''}({before}, {op})"
        for op, (before, after) in zip(ops, pairwise(names), strict=True)
    )
    path = parsed(tmp_path, body, ", float[2,1,1,1] k = {1.0,2.0}")
    assert len(matching(path).pairs) == documented
    assert len(matching(path, extended=True).pairs) == extended
