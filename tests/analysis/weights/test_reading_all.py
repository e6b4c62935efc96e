"""Reading many tensors, in one thread and in several."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from dlclint.analysis.weights import reading
from dlclint.analysis.weights.statistics import count_non_finite, measure
from dlclint.model.reading import read
from dlclint.model.tensors import Array, ChunkReader, Produced, Tensor, Unavailable


def stored(name: str, array: Array) -> Tensor:
    produced = Produced.of(array)
    return Tensor(name, produced.data_type, array.shape, onnx.TensorProto(name=name), Path(), produced)


def lost() -> Iterator[Array]:
    raise Unavailable("gone")


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(reading, "WORTH_THREADS", 0)
    monkeypatch.setattr(reading, "_cores", lambda: request.param)
    return int(request.param)


def tensors() -> dict[str, Tensor]:
    generator = np.random.default_rng(0)
    statistics = {
        f"w{i}": stored(f"w{i}", generator.normal(size=(i + 1, 64)).astype(np.float32)) for i in range(20)
    }
    broken = np.ones((4, 64), np.float32)
    broken[1, :3] = np.nan, np.inf, -np.inf
    statistics["broken"] = stored("broken", broken)
    statistics["whole"] = stored("whole", np.arange(8))
    gone = stored("gone", np.ones(3, np.float32))
    statistics["gone"] = Tensor(
        "gone", gone.data_type, (3,), gone.proto, gone.file, Produced(gone.data_type, (3,), lost)
    )
    return statistics


def test_each_floating_tensor_is_read_in_order_of_asking(threads: int) -> None:
    tensor_names = tensors()
    statistics = reading.read_all(tensor_names, lambda reader, _, tensor: count_non_finite(tensor, reader))
    assert list(statistics) == [name for name in tensor_names if name != "whole"]
    assert statistics == {name: 3 if name == "broken" else 0 for name in statistics} | {"gone": None}


def test_statistics_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    tensor_names = tensors()
    statistics = reading.read_all(tensor_names, lambda reader, _, tensor: measure(tensor, [0], reader))
    for name, seen in statistics.items():
        if name == "gone":
            assert seen is None
            continue
        alone = measure(tensor_names[name], [0])
        assert seen is not None
        assert (seen.minimum, seen.maximum, seen.square_sum, seen.nan, seen.infinite) == (
            alone.minimum,
            alone.maximum,
            alone.square_sum,
            alone.nan,
            alone.infinite,
        )
        np.testing.assert_array_equal(seen.channels[0].sum, alone.channels[0].sum)


def test_an_error_in_a_thread_is_raised_when_all_have_ended(threads: int) -> None:
    done: list[Hashable] = []

    def function(_: ChunkReader, key: Hashable, __: Tensor) -> None:
        if key == "broken":
            raise ZeroDivisionError
        done.append(key)

    with pytest.raises(ZeroDivisionError):
        reading.read_all(tensors(), function)
    assert threads == 1 or "w19" in done


def test_one_reader_serves_all_tensors_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = [numpy_helper.from_array(np.full((70, 70), i, np.float32), f"w{i}") for i in range(5)]
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], weights)), tmp_path / "m.onnx")
    stored = read(tmp_path / "m.onnx").graph.initializers.values()
    opened: list[Path] = []
    genuine = Path.open

    def counting(self: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(self)
        return genuine(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", counting)
    with ChunkReader(1000) as reader:
        for i, tensor in enumerate(stored):
            chunks = [chunk.copy() for chunk in reader.chunks(tensor)]
            assert max(map(len, chunks)) == 250
            np.testing.assert_array_equal(np.concatenate(chunks), np.full(4900, i, np.float32))
    assert opened == [tmp_path / "m.onnx"]
