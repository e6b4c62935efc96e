"""A remote model as bytes, read where a walk accesses them."""

from __future__ import annotations

import mmap
from typing import overload

from dlclint.remote.images import BLOCK, Image
from dlclint.remote.prediction import JUMP, Prediction

_AHEAD = 256 << 10
_AHEAD_OF_PART = 32 << 10
_LARGEST = 4 << 20
"""Bytes read ahead where the walk continues without a gap, at the beginning and after a jump: doubled each
time, up to this.
"""


class ImageBuffer:
    """What `dlclint.model.wire` needs of its data: a length, single bytes and slices of bytes.

    A single byte that is missing is read together with its surroundings, and with the places where the walk
    probably continues.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        with image.path.open("rb") as stream:
            self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._prediction = Prediction(image.size)
        self._last = 0
        self._ahead = _AHEAD

    def __enter__(self) -> ImageBuffer:
        return self

    def __exit__(self, *_: object) -> None:
        self._bytes.close()

    def __len__(self) -> int:
        return self._image.size

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, slice):
            self._image.ensure(key.start or 0, len(self) if key.stop is None else key.stop)
            return self._bytes[key]
        jumped = key - self._last >= JUMP
        if jumped:
            self._prediction.note(key)
        if not self._image.blocks[key // BLOCK]:
            self._miss(key, jumped)
        self._last = key
        return self._bytes[key]

    def _miss(self, position: int, jumped: bool) -> None:
        if jumped:
            self._ahead = _AHEAD_OF_PART
            self._image.fetch(self._prediction.missed(position))
        else:
            self._image.fetch([(position, min(position + self._ahead, len(self)))])
            self._ahead = min(2 * self._ahead, _LARGEST)
