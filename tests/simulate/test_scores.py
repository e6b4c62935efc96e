"""Where scores are recognized, and where nothing is called so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_networks import YOLO, evaluator_of, saved

from dlclint.simulate.measuring import Scores
from dlclint.simulate.scores import score_tensor

WRITTEN_OUT = """g (float[2,5] x) => (float[2,5] y) <int64[1] axes = {1}, int64[2] shape = {2, 5}> {
  e = Exp(x) s = ReduceSum<keepdims=1>(e, axes) w = Expand(s, shape) y = Div(e, w) }"""


@pytest.mark.parametrize(
    ("body", "shape", "expected"),
    [
        ("g (float[2,5] x) => (float[2,5] y) { y = Softmax(x) }", (2, 5), Scores(1, 0, 5)),
        (WRITTEN_OUT, (2, 5), Scores(1, 0, 5)),
        (WRITTEN_OUT.replace("Div(e, w)", "Div(x, w)"), (2, 5), None),
        (WRITTEN_OUT.replace("ReduceSum<keepdims=1>(e", "ReduceSum<keepdims=1>(x"), (2, 5), None),
        ("g (float[2,5] x) => (float[2,5] y) { y = Div(x, x) }", (2, 5), None),
        (YOLO, (1, 12, 64), Scores(1, 4, 12, True)),
        ("g (float[2,5] x) => (float[2,5] y) { y = Relu(x) }", (2, 5), None),
        ("g (float[2,1] x) => (float[2,1] y) { y = Sigmoid(x) }", (2, 1), None),
    ],
)
def test_scores(tmp_path: Path, body: str, shape: tuple[int, ...], expected: Scores | None) -> None:
    network = evaluator_of(saved(tmp_path, body)).network
    assert score_tensor(network, network.outputs[0], len(shape), shape) == expected


def test_rows_of_a_classifier(tmp_path: Path) -> None:
    weights = {"w": np.ones((4, 6), np.float32)}
    body = "g (float[2,4] x) => (float[2,6] y) { y = MatMul(x, w) }"
    network = evaluator_of(saved(tmp_path, body, weights)).network
    assert score_tensor(network, "y", 2, (2, 6)) == Scores(1, 0, 6)
    assert score_tensor(network, "y", 3, (1, 2, 6)) is None
