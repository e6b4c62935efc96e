"""The layer at which both engines part: found by switching over, with a backend that is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_networks import YOLO, evaluator_of, inputs, saved, small_conv

from dlclint.simulate.assigning import Settings, assign, leaders
from dlclint.simulate.evaluating import Evaluator, TensorValues
from dlclint.simulate.inputs.samples import Samples
from dlclint.simulate.parting import BothEngines, Figure, Parting, find_parting
from dlclint.simulate.parts import output_pieces
from dlclint.simulate.reference import observe
from dlclint.simulate.scheme import Scheme


def prepared(path: Path) -> tuple[Evaluator, Scheme, dict[str, np.ndarray]]:
    evaluator, feed = evaluator_of(path), inputs(path)
    observed = observe(evaluator, Samples("", (lambda: feed,)), False)
    return evaluator, assign(evaluator.network, observed, Settings(), leaders(evaluator.network)), feed


def on_backend(
    evaluator: Evaluator, scheme: Scheme, feed: dict[str, np.ndarray], off: dict[str, float]
) -> tuple[TensorValues, TensorValues]:
    """The values of a backend that computes layers wrong by so many steps, and the documents' on these."""
    seen: TensorValues = {name: evaluator.on_grid(name, values, scheme) for name, values in feed.items()}
    own: TensorValues = dict(seen)
    for step in evaluator.network.steps:
        for name, values in zip(step.outputs, evaluator.quantized_step(step, seen, scheme), strict=True):
            own[name] = seen[name] = values
            if name in off:
                grid = scheme.activations[name]
                seen[name] = grid.rounded(values + np.float32(off[name] * grid.scale))
    return seen, own


@pytest.mark.parametrize(("layer", "steps"), [("d", 10.0), ("g", 60.0)])
def test_the_layer_that_changes_the_output_is_found(tmp_path: Path, layer: str, steps: float) -> None:
    evaluator, scheme, feed = prepared(small_conv(tmp_path))
    exact = evaluator.run(feed, None)
    # The first convolution differs in every value by a step, which matters less.
    seen, own = on_backend(evaluator, scheme, feed, {"m": 1.0, layer: steps})
    parting = find_parting(evaluator, scheme, Figure("y", "y"), exact, seen, own, set(seen), seen)
    assert parting is not None
    assert parting.tensor == layer
    assert (parting.steps, parting.off) == (pytest.approx(steps, abs=0.1), pytest.approx(1.0, abs=0.2))
    assert parting.before > parting.after
    assert parting.reference == pytest.approx(Figure("y", "y").sqnr(exact, evaluator.run(feed, scheme)))
    assert parting.htp == pytest.approx(Figure("y", "y").sqnr(exact, seen))
    assert "the figure depends on 10 values" in parting.words()


def test_a_layer_that_is_not_read_from_the_backend_counts_with_the_next(tmp_path: Path) -> None:
    evaluator, scheme, feed = prepared(small_conv(tmp_path))
    seen, own = on_backend(evaluator, scheme, feed, {"g": 10.0})
    known = set(seen) - {"g", "f"}
    parting = find_parting(
        evaluator, scheme, Figure("y", "y"), evaluator.run(feed, None), seen, own, known, seen
    )
    assert parting is not None
    assert parting.tensor == "y"


def test_engines_that_agree_do_not_part(tmp_path: Path) -> None:
    evaluator, scheme, feed = prepared(small_conv(tmp_path))
    exact = evaluator.run(feed, None)
    seen, own = on_backend(evaluator, scheme, feed, {})
    assert find_parting(evaluator, scheme, Figure("y", "y"), exact, seen, own, set(seen), seen) is None
    both = BothEngines({})
    both.add(exact, seen, seen)
    assert both.widest() is None


def test_the_sample_and_the_part_that_differ_most(tmp_path: Path) -> None:
    """Scores next to boxes of a hundred times their size: the complete output hides that they are lost."""
    evaluator, scheme, _ = prepared(saved(tmp_path, YOLO))
    rows = [inputs(tmp_path / "m.onnx", seed) for seed in range(3)]
    both = BothEngines(output_pieces(evaluator, rows[0]))
    for sample, feed in enumerate(rows):
        exact, rounded = evaluator.run(feed, None), evaluator.run(feed, scheme)
        backend = {name: values.copy() for name, values in rounded.items()}
        backend["out"][:, :4] = exact["out"][:, :4] + (rounded["out"] - exact["out"])[:, 3::-1]
        if sample == 1:
            backend["out"][:, 4:] = 0.5 - backend["out"][:, 4:]
        both.add(exact, rounded, backend)
    assert both.sample == 1
    figure = both.widest()
    assert figure is not None
    assert figure.text == "s in out"


def test_the_words_say_how_much_one_layer_explains() -> None:
    one = Parting("y", "Mul", "m", 41.0, 21.0, 40.0, 22.0, 4000.0, 0.004, 100_000, 18.0)
    assert one.words() == (
        "both engines part at Mul m: y has 41.0 dB by the documents and 21.0 on HTP; HTP's values before this"
        " layer leave 40.0 (the documents compute the rest), and HTP's values of this layer 22.0; given the"
        " same inputs, under 1 % of its values differ from the documented ones, by 4,000 steps of its grid at"
        " most; where only the outputs are read, HTP has 18.0"
    )
    many = Parting("y", "Conv", "c", 41.0, 37.0, 40.0, 39.5, 0.0, 0.0, 1, 37.0)
    assert many.words().endswith(
        "; given the same inputs, its values are the documented ones; no single layer causes half of the"
        " difference; the figure depends on 1 value, so a single step of a grid changes it by decibels"
    )
