"""Outputs with parts of unlike range: which elements are in which part, and what is measured separately."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_networks import evaluator_of, saved

from dlclint.simulate.parts import Part, output_pieces, unlike_parts

HEAD = "g (float[1,4,6] a, float[1,8,6] b)"
S = "p = Mul(a, wide) s = Sigmoid(b)"
WIDE = "<float wide = {40}, int64[4] split = {1, 4, 3, 6}, float[1,12,1] each = %s>"
EACH = "{" + ", ".join(["40"] * 4 + ["1"] * 8) + "}"
BODIES = {
    "joined": f"=> (float[1,12,6] y) {{ {S} y = Concat<axis=1>(p, s) }}",
    "turned": f"=> (float[1,6,12] y) {{ {S} j = Concat<axis=1>(p, s) y = Transpose<perm=[0,2,1]>(j) }}",
    "split again": f"=> (float[1,4,3,6] y) {{ {S} j = Concat<axis=1>(p, s) y = Reshape(j, split) }}",
    "nested": f"""=> (float[1,12,6] y) {{ {S} p0, p1 = Split<axis=1>(p) q = Concat<axis=1>(p1, p0)
        y = Concat<axis=1>(q, s) }}""",
    "scaled behind": """=> (float[1,12,6] y) { s = Sigmoid(b) p = Sigmoid(a) j = Concat<axis=1>(p, s)
        y = Mul(j, each) }""",
}


def run(tmp_path: Path, body: str) -> tuple[tuple[Part, ...], np.ndarray, dict[str, np.ndarray]]:
    """The parts of y, its values, and which of them each tensor has."""
    path = saved(tmp_path, f"{HEAD} {body}".replace(" {", f" {WIDE % EACH} {{", 1))
    random = np.random.default_rng(0)
    sample = {"a": random.normal(0, 1, (1, 4, 6)), "b": random.normal(0, 1, (1, 8, 6))}
    sample = {name: values.astype(np.float32) for name, values in sample.items()}
    evaluator = evaluator_of(path)
    pieces = output_pieces(evaluator, sample).get("y", ())
    tensors = [piece.tensor for piece in pieces]
    values = evaluator.run(sample, None, keep=tensors)
    of = {piece.tensor: piece.of(values["y"]) for piece in pieces}
    parts = unlike_parts("y", pieces, [float(np.abs(each).max()) for each in of.values()])
    return parts, values["y"], {**of, **{f"made {name}": values[name] for name in tensors}}


@pytest.mark.parametrize("name", BODIES)
def test_parts_are_traced_through_what_moves_data(tmp_path: Path, name: str) -> None:
    parts, values, of = run(tmp_path, BODIES[name])
    assert [str(part) for part in parts] == ["p in y", "s in y"]
    assert of["p"].size + of["s"].size == values.size
    # In whatever order they lie: the part's values are those of its tensor.
    assert np.array_equal(np.sort(of["s"]), np.sort(of["made s"].reshape(-1)))
    assert (name == "scaled behind") == (not np.array_equal(np.sort(of["p"]), np.sort(of["made p"].ravel())))


@pytest.mark.parametrize(
    "body",
    [
        # Both lie on 0 to 1 wherever they are stored, however small the values are.
        "=> (float[1,12,6] y) { t = Mul(a, wide) p = Sigmoid(t) s = Sigmoid(b) y = Concat<axis=1>(p, s) }",
        "=> (float[1,12,6] y) { y = Concat<axis=1>(a, b) }",
        "=> (float[1,4,6] y) { y = Mul(a, wide) }",
    ],
)
def test_parts_alike_are_not_split(tmp_path: Path, body: str) -> None:
    assert run(tmp_path, body)[0] == ()
