"""Tensors as lazy views: shape and type cost nothing, values are mapped when they are needed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from dlclint.model import external
from dlclint.model.access import Withheld, reach
from dlclint.model.attributes import value_of
from dlclint.model.evaluation.bounds import real_numbers
from dlclint.model.protos import TensorField
from dlclint.model.types import LARGEST, bits_per_element
from dlclint.model.wire import Payload
from dlclint_schemas.record import record

Array = npt.NDArray[Any]

_HELD = 4 << 20
"""Bytes of decoded small tensors that are held for a model."""
_HELD_EACH = 64 << 10
"""The largest of them."""
_OVERHEAD = 256
"""Bytes that an array takes in addition to its values."""


class Unavailable(Exception):
    """The tensor's values are not available; the argument states why in one sentence."""


@record
class Produced:
    """Values that no file holds yet: computed in order, piece by piece, when they are read or written.

    `pieces` is called again each time and yields arrays of the element type (whole bytes per value), which
    together hold the elements in C order; a piece is valid until the next is requested.
    """

    data_type: int
    shape: tuple[int, ...]
    pieces: Callable[[], Iterator[Array]]

    @classmethod
    def of(cls, values: Array) -> Produced:
        """Values that are in memory.

        Raises:
            TypeError: ONNX has no such element type.
        """
        kind = onnx.helper.np_dtype_to_tensor_dtype(values.dtype.newbyteorder("="))
        return cls(kind, values.shape, lambda: iter((values,)))

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return (math.prod(self.shape) * bits_per_element(self.data_type) + 7) // 8

    def array(self) -> Array:
        """All values at once."""
        parts = [piece.reshape(-1).copy() for piece in self.pieces()]
        if not parts:
            return np.zeros(self.shape, onnx.helper.tensor_dtype_to_np_dtype(self.data_type))
        return np.concatenate(parts).reshape(self.shape)


@record
class Tensor:
    """A tensor of a model: an initializer, or the value of a Constant node.

    `shape` is as declared and proves nothing about how many bytes there are; `array` checks.
    """

    name: str
    data_type: int
    shape: tuple[int, ...]
    proto: onnx.TensorProto
    file: Path
    payload: Payload | Produced | None = None

    @property
    def is_external(self) -> bool:
        """Whether the data are in another file."""
        return bool(self.proto.data_location == onnx.TensorProto.EXTERNAL)

    @property
    def count(self) -> int:
        """Number of elements as declared, at most the 2**63 - 1 that a size can state.

        A shape of thousands of dimensions has a product of thousands of digits, which Python does not print.
        """
        return min(math.prod(self.shape), LARGEST)

    @property
    def nbytes(self) -> int:
        """Bytes of the values as declared, packed for types below 8 bits."""
        return (self.count * bits_per_element(self.data_type) + 7) // 8

    def location(self) -> tuple[Path, int, int] | None:
        """File, offset and size of values stored as little-endian raw bytes; None for other storage.

        Raises:
            Unavailable: the file has fewer bytes than shape and type require, or external data are missing.
        """
        if self.is_external:
            try:
                external_data = external.resolve_location(self.proto, self.file.parent)
            except external.FLAWS as error:
                raise Unavailable(str(error)) from None
            resolved = (external_data.file, external_data.offset, external_data.size)
        elif isinstance(self.payload, Payload) and self._is_raw(self.payload.field):
            resolved = (self.file, self.payload.offset, self.payload.size)
        else:
            return None
        if min(self.shape, default=0) < 0 or resolved[2] < self.nbytes:
            raise Unavailable(
                f"shape {list(self.shape)} asks for {self.nbytes} bytes, the file holds {resolved[2]}"
            )
        return resolved

    def _stored_type(self) -> np.dtype[Any]:
        """The type of the values as raw bytes, which are little-endian on every machine."""
        dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(self.data_type)
        return dtype if sys.byteorder == "little" else dtype.newbyteorder("<")

    def _is_raw(self, field: int) -> bool:
        kind = onnx.TensorProto
        return (
            field == TensorField.RAW_DATA
            or (field == TensorField.FLOAT_DATA and self.data_type == kind.FLOAT)
            or (field == TensorField.DOUBLE_DATA and self.data_type == kind.DOUBLE)
        )

    def array(self) -> Array:
        """The values, memory-mapped where they are stored as raw bytes, else decoded.

        Raises:
            Unavailable: the values are missing, contradict the shape, or are of an unknown type.
        """
        location = self.location()
        bits = bits_per_element(self.data_type)
        if location is not None and bits >= 8:
            dtype = self._stored_type()
            if self.count == 0:
                return self._empty(dtype)
            _reach(location[0], location[1], self.nbytes)
            mapped = np.memmap(location[0], np.uint8, "r", location[1], (self.nbytes,))
            try:
                values: Array = mapped.view(dtype).reshape(self.shape)
            except ValueError:
                raise Unavailable(f"it has {len(self.shape)} dimensions, more than arrays have") from None
            return values
        return self._decode(location)

    def numbers(self) -> npt.NDArray[np.float64]:
        """The values as float64.

        Raises:
            Unavailable: as `array`, or they are strings or complex numbers.
        """
        numbers = real_numbers(self.array())
        if numbers is None:
            raise Unavailable("it does not hold real numbers")
        return numbers

    def _empty(self, dtype: np.dtype[Any]) -> Array:
        try:
            return np.zeros(self.shape, dtype)
        except ValueError:
            raise Unavailable(f"shape {list(self.shape)} has larger sizes than arrays have") from None

    def _decode(self, location: tuple[Path, int, int] | None) -> Array:
        proto = self.proto
        if isinstance(self.payload, Produced):
            return self.payload.array()
        if self.payload is not None or location is not None:
            path, offset, size = location or (self.file, self.payload.offset, self.payload.size)  # type: ignore[union-attr]
            _reach(path, offset, size)
            with path.open("rb") as stream:
                stream.seek(offset)
                body = stream.read(size)
            if location is not None:
                proto = onnx.TensorProto(data_type=self.data_type, raw_data=body)
            else:
                field = self.payload.field  # type: ignore[union-attr]
                proto = onnx.TensorProto.FromString(_field(field, body))
                proto.data_type = self.data_type
            proto.dims.extend(self.shape)
        try:
            if proto.raw_data and bits_per_element(self.data_type) >= 8:
                # Twenty times faster than the general case, for the hundreds of small tensors of a network.
                return np.frombuffer(proto.raw_data, self._stored_type()).reshape(self.shape)
            return np.asarray(numpy_helper.to_array(proto))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable(f"its values cannot be decoded: {error}") from None

    def chunks(self, size: int = 1 << 20) -> Iterator[Array]:
        """The values in order, flat, at most `size` bytes at a time; see `ChunkReader`.

        Raises:
            Unavailable: as `array`.
        """
        with ChunkReader(size) as reader:
            yield from reader.chunks(self)


def tensor_of_numbers(attribute: onnx.AttributeProto, name: str, file: Path) -> Tensor | None:
    """The value of a Constant node that an attribute states as numbers: int64 or float32, rank 0 or 1."""
    if attribute.name not in ("value_int", "value_ints", "value_float", "value_floats"):
        return None
    value = value_of(attribute)
    kind = onnx.TensorProto.INT64 if attribute.name.startswith("value_int") else onnx.TensorProto.FLOAT
    shape = (len(value),) if isinstance(value, list) else ()
    proto = onnx.helper.make_tensor("", kind, shape, value if shape else [value])
    return Tensor(name, kind, shape, proto, file)


class DecodedTensors:
    """The values of small tensors of a model, which rules ask for again and again: each decoded once.

    They are read-only. At most `_HELD` bytes are held; then all are dropped.
    """

    def __init__(self) -> None:
        self._arrays: dict[int, tuple[Tensor, Array]] = {}
        self._bytes = 0

    def small(self, tensor: Tensor | None, limit: int) -> Array | None:
        """The values of a tensor of at most `limit` elements; None for others, and where they are missing."""
        if tensor is None or tensor.count > limit:
            return None
        held = self._arrays.get(id(tensor))  # hashing a tensor would hash its data
        if held is not None:
            return held[1]
        try:
            values = tensor.array()
        except Unavailable:
            return None
        if values.nbytes > _HELD_EACH or isinstance(values, np.memmap):
            return values
        values.flags.writeable = False
        if self._bytes > _HELD:
            self._arrays.clear()
            self._bytes = 0
        self._bytes += values.nbytes + _OVERHEAD
        self._arrays[id(tensor)] = tensor, values
        return values


class ChunkReader:
    """Reads tensors, one after another, in chunks of at most `size` bytes.

    Reading into one buffer instead of mapping limits the resident memory to that buffer however large the
    tensors are. Buffer and open file are reused for the next tensor: a network has hundreds, mostly in one
    file. Not thread-safe.
    """

    def __init__(self, size: int = 1 << 20) -> None:
        self.size = size
        self._buffer = np.empty(0, np.uint8)
        self._file: Path | None = None
        self._stream: BinaryIO | None = None

    def __enter__(self) -> ChunkReader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
        self._file = self._stream = None

    def chunks(self, tensor: Tensor) -> Iterator[Array]:
        """The values of a tensor in order, flat; a chunk is valid until the next one is requested.

        Raises:
            Unavailable: as `Tensor.array`.
        """
        if isinstance(tensor.payload, Produced):
            for piece in tensor.payload.pieces():
                yield piece.reshape(-1)
            return
        location = tensor.location()
        if location is None or bits_per_element(tensor.data_type) < 8:
            yield tensor._decode(location).reshape(-1)
            return
        path, offset, _ = location
        dtype = tensor._stored_type()
        left = tensor.nbytes
        _reach(path, offset, left)
        if len(self._buffer) < min(self.size, left):
            self._buffer = np.empty(min(self.size, left), np.uint8)
        stream = self._opened(path)
        while left:
            wanted = self._buffer[: min(left, self.size)]
            stream.seek(offset)
            if stream.readinto(wanted.data) != len(wanted):  # type: ignore[attr-defined]
                raise Unavailable(f"{path.name} became shorter while it was read")
            yield wanted.view(dtype)
            left -= len(wanted)
            offset += len(wanted)

    def _opened(self, path: Path) -> BinaryIO:
        if self._stream is None or path != self._file:
            self.__exit__()
            self._stream = path.open("rb", buffering=0)
            self._file = path
        return self._stream


def _reach(path: Path, offset: int, size: int) -> None:
    try:
        reach(path, offset, size)
    except Withheld as problem:
        raise Unavailable(str(problem)) from None


def _field(field: int, body: bytes) -> bytes:
    """A TensorProto in wire form with one length-delimited field."""
    size = len(body)
    out = bytearray([field << 3 | 2])
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out) + body


def attribute_values(proto: onnx.TensorProto) -> Array | None:
    """The values of a tensor in an attribute; None if they are in another file or cannot be decoded."""
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        return None
    try:
        return np.asarray(numpy_helper.to_array(proto))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
