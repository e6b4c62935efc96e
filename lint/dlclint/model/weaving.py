"""The inverse of `wire.skim`: payloads put back into a structure, with every length corrected.

A tensor whose payload is elsewhere carries a *reference*: an `external_data` entry with the key `REFERENCE`
and a number, which stays in the message however the structure is edited. `weave` cuts the serialized
structure at each reference and reports which payload belongs there, so that a writer can copy gigabytes from
file to file without holding them. All other bytes stay as they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator

import onnx

from dlclint.model import wire
from dlclint.model.protos import TensorField
from dlclint_schemas.record import record

REFERENCE = "dlclint.payload"
_MARK = b"\x0a" + bytes([len(REFERENCE)]) + REFERENCE.encode()


@record
class Inline:
    """A payload that goes into the tensor: TensorProto field and size in bytes."""

    field: int
    size: int


WovenPiece = bytes | int
"""Bytes as they are, or the number of the payload that belongs here."""


def refer(tensor: onnx.TensorProto, number: int) -> None:
    """Make a tensor refer to a payload; data that it holds itself are dropped."""
    for name in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "raw_data"):
        tensor.ClearField(name)
    tensor.ClearField("data_location")
    del tensor.external_data[:]
    tensor.external_data.add(key=REFERENCE, value=str(number))


def referred(tensor: onnx.TensorProto) -> int | None:
    """The number of the payload that a tensor refers to, or None."""
    for entry in tensor.external_data:
        if entry.key == REFERENCE:
            return int(entry.value)
    return None


def weave(structure: bytes, where: Callable[[int], Inline | bytes]) -> Iterator[WovenPiece]:
    """The bytes of the model, cut where payloads belong.

    Args:
        structure: a serialized ModelProto whose tensors carry references.
        where: for a payload's number, how it is put into its tensor, or the fields (in wire form) that
            replace it where it is written to another file.
    """
    marks = []
    mark = structure.find(_MARK)
    while mark >= 0:
        marks.append(mark)
        mark = structure.find(_MARK, mark + 1)
    weaver = _Weaver(structure, marks, where)
    _, pieces = weaver.message(0, len(structure), wire.MODEL)
    yield from _joined(pieces)


def _joined(pieces: list[WovenPiece]) -> Iterator[WovenPiece]:
    run: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            run.append(piece)
            continue
        yield b"".join(run)
        run = []
        yield piece
    yield b"".join(run)


class _Weaver:
    """Messages without a reference are copied whole; only those that contain one are parsed."""

    def __init__(self, data: bytes, marks: list[int], where: Callable[[int], Inline | bytes]) -> None:
        self.data = data
        self.marks = marks
        self.where = where

    def holds_mark(self, start: int, end: int) -> bool:
        position = bisect_left(self.marks, start)
        return position < len(self.marks) and self.marks[position] < end

    def varint(self, position: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7

    def fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, start, start of the body (or -1 if it has no length) and end of each field."""
        position = start
        while position < end:
            at = position
            tag, position = self.varint(position)
            kind, body = tag & 7, -1
            if kind == 2:
                size, body = self.varint(position)
                position = body + size
            elif kind == 0:
                _, position = self.varint(position)
            else:  # protobuf writes no groups for messages that ONNX defines
                position += 4 if kind == 5 else 8
            yield tag >> 3, at, body, position

    def message(self, start: int, end: int, kind: int) -> tuple[int, list[WovenPiece]]:
        """Size and pieces of the message with the body from `start` to `end`."""
        size, pieces, run = 0, list[WovenPiece](), start
        known = wire.FIELDS[kind]
        for number, at, body, stop in self.fields(start, end):
            if body < 0 or not self.holds_mark(body, stop):
                continue
            if kind == wire.TENSOR and number == TensorField.EXTERNAL_DATA and self._is_reference(body, stop):
                return self.tensor(start, end, body, stop)
            inner_kind = known[number][0] if number in known else wire.PAYLOAD
            if inner_kind == wire.PAYLOAD:
                continue  # the mark is in a name or in data, where it has no meaning
            inner_size, inner = self.message(body, stop, inner_kind)
            pieces += [self.data[run:at], _key(number), wire.varint(inner_size), *inner]
            size += at - run + len(_key(number)) + len(wire.varint(inner_size)) + inner_size
            run = stop
        pieces.append(self.data[run:end])
        return size + end - run, pieces

    def _is_reference(self, body: int, stop: int) -> bool:
        return self.data.startswith(_MARK, body, stop)

    def tensor(self, start: int, end: int, body: int, stop: int) -> tuple[int, list[WovenPiece]]:
        """A TensorProto: its reference is removed, its payload inserted in the order of the field numbers."""
        entry = onnx.StringStringEntryProto.FromString(self.data[body:stop])
        number = int(entry.value)
        target = self.where(number)
        field = target.field if isinstance(target, Inline) else TensorField.EXTERNAL_DATA
        before: list[WovenPiece] = []
        after: list[WovenPiece] = []
        for kind, at, inner, until in self.fields(start, end):
            if kind == TensorField.EXTERNAL_DATA and inner == body:
                continue
            (before if kind < field else after).append(self.data[at:until])
        size = sum(len(piece) for piece in (*before, *after) if isinstance(piece, bytes))
        if isinstance(target, bytes):
            return size + len(target), [*before, target, *after]
        head = _key(field) + wire.varint(target.size)
        return size + len(head) + target.size, [*before, head, number, *after]


def external_fields(location: str, offset: int, size: int) -> bytes:
    """The wire form of `external_data` and `data_location` for bytes in another file."""
    tensor = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    return bytes(tensor.SerializeToString())


def _key(field: int) -> bytes:
    return wire.varint(field << 3 | 2)
