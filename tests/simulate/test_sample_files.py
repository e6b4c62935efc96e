"""Inputs from files, and random ones: what is accepted, and the error for each bad one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulated_networks import saved

from dlclint.model.graph import Graph
from dlclint.model.reading import read
from dlclint.simulate.inputs.drawn import drawn
from dlclint.simulate.inputs.files import from_path
from dlclint.simulate.inputs.samples import BadInput, Samples

IMAGE = "g (float[1,3,4,5] x) => (float[1,3,4,5] y) { y = Relu(x) }"
TWO = "g (float[1,4] a, int64[1,2] b) => (float[1,4] y) { c = Cast<to=1>(b) d = ReduceSum(c) y = Add(a, d) }"


def graph(tmp_path: Path, body: str) -> Graph:
    return read(saved(tmp_path, body)).graph


def samples_of(tmp_path: Path, body: str, name: str, **layouts: str) -> Samples:
    return from_path(tmp_path / name, graph(tmp_path, body), layouts)


def test_a_list_of_raw_files_in_nhwc(tmp_path: Path) -> None:
    image = np.arange(60, dtype=np.float32).reshape(1, 4, 5, 3)
    image.tofile(tmp_path / "one.raw")
    (image + 1).tofile(tmp_path / "two.raw")
    (tmp_path / "list.txt").write_text("# layer\n% y\nx:=one.raw\n\ntwo.raw\n")
    samples = samples_of(tmp_path, IMAGE, "list.txt", x="nhwc")
    assert len(samples) == 2
    first, second = (sample["x"] for sample in samples)
    assert (first == image.transpose(0, 3, 1, 2)).all()
    assert (second == first + 1).all()
    assert len(samples.notes) == 2


def test_several_inputs_on_a_line_in_any_order(tmp_path: Path) -> None:
    np.arange(4, dtype=np.float32).tofile(tmp_path / "a.raw")
    np.array([7, 8], np.float32).tofile(tmp_path / "b.raw")
    np.array([7, 8], np.int64).tofile(tmp_path / "b64.raw")
    (tmp_path / "list.txt").write_text("b:=b.raw a:=a.raw\na.raw b64.raw\n")
    for sample in samples_of(tmp_path, TWO, "list.txt"):
        assert sample["a"].tolist() == [[0, 1, 2, 3]]
        assert (sample["b"].tolist(), sample["b"].dtype) == ([[7, 8]], np.int64)


def test_arrays_and_folders(tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", np.zeros((5, 3, 4, 5), np.float32))
    assert len(samples_of(tmp_path, IMAGE, "many.npy")) == 5
    np.save(tmp_path / "one.npy", np.zeros((3, 4, 5), np.float64))
    (sample,) = samples_of(tmp_path, IMAGE, "one.npy")
    assert (sample["x"].shape, sample["x"].dtype) == ((1, 3, 4, 5), np.float32)
    np.savez(tmp_path / "two.npz", a=np.ones((3, 4)), b=np.ones((1, 2), np.int32))
    assert len(samples_of(tmp_path, TWO, "two.npz")) == 3
    folder = tmp_path / "inputs"
    folder.mkdir()
    for position in range(2):
        np.save(folder / f"{position}.npy", np.full((1, 3, 4, 5), position, np.float32))
    samples = from_path(folder, graph(tmp_path, IMAGE), {})
    assert [float(sample["x"].max()) for sample in samples] == [0.0, 1.0]


def test_at_most_so_many_spread_over_all(tmp_path: Path) -> None:
    np.save(tmp_path / "many.npy", np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1) * np.ones((8, 3, 4, 5)))
    samples = samples_of(tmp_path, IMAGE, "many.npy").first(3)
    assert [float(sample["x"].max()) for sample in samples] == [0.0, 2.0, 5.0]
    assert "(3 of 8, spread evenly)" in samples.words


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.txt", None, "does not exist"),
        ("list.txt", "nothing.raw\n", "line 1 names nothing.raw, which does not exist"),
        ("list.txt", "y:=x.raw\n", "the model has no input y; it has x"),
        ("list.txt", "x:=x.raw x:=x.raw\n", "gives input x twice"),
        ("list.txt", "x.raw x.raw\n", "has 2 files and the model 1 input"),
        ("list.txt", "# only\n", "names no inputs"),
        ("list.txt", "x.raw\n", "pass --input-layout x nhwc"),
    ],
)  # fmt: skip
def test_bad_lists(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    np.zeros(60, np.float32).tofile(tmp_path / "x.raw")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=says):
        list(samples_of(tmp_path, IMAGE, name))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((1, 4, 5, 3), np.float32), "fits as NHWC: pass --input-layout x nhwc"),
        (np.zeros((1, 3, 4, 6), np.float32), r"holds \[1,3,4,6\]"),
        (np.full((1, 3, 4, 5), np.nan), "60 values that are not finite"),
        (np.full((1, 3, 4, 5), "a"), "not a number"),
    ],
)  # fmt: skip
def test_bad_arrays(tmp_path: Path, values: np.ndarray, says: str) -> None:
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(BadInput, match=says):
        list(samples_of(tmp_path, IMAGE, "x.npy"))


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"no array")
    (tmp_path / "x.npz").write_bytes(b"PK no archive")
    np.zeros(59, np.float32).tofile(tmp_path / "x.raw")
    for name, says in (("x.npy", "not an .npy file"), ("x.npz", "not an .npz file"), ("x.raw", "has 236")):
        with pytest.raises(BadInput, match=says):
            list(samples_of(tmp_path, IMAGE, name, x="nchw"))
    np.save(tmp_path / "half.npy", np.full((1, 2), 0.5))
    (tmp_path / "list.txt").write_text("a:=a.npy b:=half.npy")
    np.save(tmp_path / "a.npy", np.zeros((1, 4)))
    with pytest.raises(BadInput, match="int64 and the file holds fractions"):
        list(samples_of(tmp_path, TWO, "list.txt"))
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(BadInput, match=r"not an \.npy file"):
        list(samples_of(tmp_path, IMAGE, "pickled.npy"))


def test_random_inputs_are_the_same_for_a_seed(tmp_path: Path) -> None:
    image = graph(tmp_path, IMAGE)
    one, same, other = (next(iter(drawn(image, 1, seed, {})))["x"] for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert (one.min() >= 0.0) and (one.max() <= 1.0)
    samples = drawn(image, 2, 0, {"x": (5.0, 0.1)})
    assert samples.random and "normal with mean 5 and deviation 0.1" in samples.words
    assert abs(float(next(iter(samples))["x"].mean()) - 5.0) < 0.2


def test_indices_stay_within_their_table(tmp_path: Path) -> None:
    body = """g (int64[1,9] ids, int64[1,9] mask) => (float[1,9,2] y) {
      e = Gather(table, ids) m = Cast<to=1>(mask) u = Unsqueeze(m, two) y = Mul(e, u) }"""
    path = saved(
        tmp_path, body,
        {"table": np.zeros((5, 2), np.float32), "two": np.array([2])},
    )  # fmt: skip
    for sample in drawn(read(path).graph, 3, 0, {}):
        assert sample["ids"].max() < 5
        assert set(np.unique(sample["mask"])) <= {0, 1}


def test_integers_that_nothing_describes_are_not_drawn(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing in the model tells which values it takes"):
        drawn(graph(tmp_path, TWO), 1, 0, {})
