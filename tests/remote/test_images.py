"""Images hold what was requested, whatever it is, and wrong guesses cost bytes, never correctness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlclint.model import wire
from dlclint.remote.buffer import ImageBuffer
from dlclint.remote.errors import RemoteError
from dlclint.remote.images import BLOCK, Image
from dlclint.remote.multipart import MalformedBody, parts_of
from dlclint.remote.prediction import BEFORE, WINDOW, Prediction
from dlclint.remote.reader import Sink, Traffic


class FromMemory:
    """A reader of local bytes that keeps the requests."""

    note = ""
    near = 4096

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.first: list[tuple[int, bytes]] = []
        self.traffic = Traffic()
        self.asked: list[Sequence[tuple[int, int]]] = []

    def read(self, ranges: Sequence[tuple[int, int]], sink: Sink) -> None:
        self.asked.append(ranges)
        for start, end in ranges:
            assert 0 <= start < end <= self.size
            sink(start, self.data[start:end])

    def verify(self) -> None:
        """It cannot change."""

    def close(self) -> None:
        """There is nothing to close."""


def varint(value: int) -> bytes:
    return wire.varint(value)


def field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def model(sizes: Sequence[int]) -> bytes:
    """A model whose initializers have payloads of these sizes."""
    tensors = b"".join(
        field(5, field(8, b"w" * (index % 7 + 1)) + field(9, bytes([index % 251]) * size))
        for index, size in enumerate(sizes)
    )
    return field(7, field(1, field(4, b"Relu")) + tensors)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([10, 5000, 70_000, 200_000, 210_000, 400_000]), max_size=12),
    st.integers(1, 4),
)
def test_a_walk_over_an_image_is_one_over_the_file(block: list[int], repeats: int) -> None:
    data = model(block * repeats)
    reader = FromMemory(data)
    with TemporaryDirectory() as folder:
        image = Image(reader, Path(folder) / "m.onnx")
        with ImageBuffer(image) as buffer:
            assert wire.skim(buffer) == wire.skim(data)
        image.close()


def test_blocks_that_repeat_are_guessed() -> None:
    data = model([2_000_000, *([600_000] * 4 + [900_000] * 2) * 12])
    reader = FromMemory(data)
    with TemporaryDirectory() as folder:
        image = Image(reader, Path(folder) / "m.onnx")
        with ImageBuffer(image) as buffer:
            wire.skim(buffer)
        image.close()
    assert len(reader.asked) <= 16  # for 73 large tensors
    assert sum(end - start for ranges in reader.asked for start, end in ranges) < len(data) / 5


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99_999), st.integers(0, 40_000)), max_size=8))
def test_what_was_requested_is_there_and_is_read_once(asked: list[tuple[int, int]]) -> None:
    data = bytes(index * 7 % 256 for index in range(100_000))
    reader = FromMemory(data)
    with TemporaryDirectory() as folder:
        image = Image(reader, Path(folder) / "file")
        for start, size in asked:
            end = min(start + size, len(data))
            image.ensure(start, end)
            assert image.has(start, end)
            with image.path.open("rb") as stream:
                stream.seek(start)
                assert stream.read(end - start) == data[start:end]
            before = len(reader.asked)
            image.ensure(start, end)
            assert len(reader.asked) == before
        image.close()


@given(st.integers(1, 10**9), st.lists(st.integers(1, 10**7), max_size=40), st.integers(0, 6))
def test_guesses_begin_with_what_was_missed_and_stay_in_the_file(
    size: int, distances: list[int], misses: int
) -> None:
    prediction = Prediction(size)
    position = 0
    for distance in distances:
        position += distance
        prediction.note(position)
    ranges: list[tuple[int, int]] = []
    for _ in range(misses + 1):
        ranges = prediction.missed(min(position, size - 1))
    assert ranges[0][0] <= min(position, size - 1) < ranges[0][1]
    assert all(0 <= start < end <= size and end - start <= WINDOW for start, end in ranges)
    assert ranges == sorted(ranges)


def test_a_first_window_reaches_back() -> None:
    assert Prediction(10**9).missed(10**6) == [(10**6 - BEFORE, 10**6 + WINDOW - BEFORE)]


def test_a_failure_is_kept() -> None:
    reader = FromMemory(bytes(10 * BLOCK))

    def fail(*_: object) -> None:
        raise RemoteError("gone")

    reader.read = fail  # type: ignore[method-assign]
    with TemporaryDirectory() as folder:
        image = Image(reader, Path(folder) / "file")
        with pytest.raises(RemoteError):
            image.ensure(0, 10)
        image.close()
    assert image.problem is not None


PART = b"\r\n--b\r\nContent-Type: x\r\nContent-Range: bytes %d-%d/100\r\n\r\n%s"


def test_parts() -> None:
    body = PART % (0, 2, b"abc") + PART % (10, 11, b"--") + b"\r\n--b--\r\n"
    assert list(parts_of(body, 'multipart/byteranges; boundary="b"')) == [(0, b"abc"), (10, b"--")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        PART % (0, 2, b"abc"),
        PART % (0, 50, b"abc") + b"\r\n--b--",
        b"\r\n--b\r\nContent-Type: x\r\n\r\nabc\r\n--b--",
        PART % (5, 2, b"abc") + b"\r\n--b--",
    ],
)
def test_parts_that_are_none(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        list(parts_of(body, "multipart/byteranges; boundary=b"))
    with pytest.raises(MalformedBody):
        list(parts_of(body, "multipart/byteranges"))
