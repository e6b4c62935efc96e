"""The protobuf wire form of an ONNX model, walked without touching weight bytes.

`skim` separates a serialized ModelProto into its structure (a small, valid ModelProto without the payloads of
large tensors) and a record of where each payload is. Only messages that contain tensors and are larger than
`DESCEND` are parsed, so that tens of thousands of small nodes cost one skip each, and a gigabyte of weights
costs nothing.

Source of the nesting limit: protobuf's default recursion limit, 100, beyond which no reader of ONNX
files parses the message.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from dlclint.model.protos import (
    AttributeField,
    FunctionField,
    GraphField,
    ModelField,
    NodeField,
    SparseField,
    TensorField,
    WirePath,
)
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.remote.buffer import ImageBuffer

    Buffer = bytes | mmap.mmap | ImageBuffer

DESCEND = 4096
"""Messages up to this many bytes are kept as they are."""
KEEP = 1024
"""Payloads up to this many bytes stay in the structure: shape inference reads their values."""
MAX_DEPTH = 100
MAX_STRUCTURE = 512 << 20
"""Bytes of structure that are read at most; the largest real graphs have a few tens of MiB."""

MODEL, _GRAPH, _NODE, _ATTRIBUTE, TENSOR, _SPARSE, _FUNCTION = range(7)
PAYLOAD = 7
"""Kinds of messages on the way to a tensor, and of the fields that hold its data."""

FIELDS: tuple[dict[int, tuple[int, bool]], ...] = (
    {ModelField.GRAPH: (_GRAPH, False), ModelField.FUNCTIONS: (_FUNCTION, True)},
    {
        GraphField.NODE: (_NODE, True),
        GraphField.INITIALIZER: (TENSOR, True),
        GraphField.SPARSE_INITIALIZER: (_SPARSE, True),
    },
    {NodeField.ATTRIBUTE: (_ATTRIBUTE, True)},
    {
        AttributeField.T: (TENSOR, False),
        AttributeField.G: (_GRAPH, False),
        AttributeField.TENSORS: (TENSOR, True),
        AttributeField.GRAPHS: (_GRAPH, True),
        AttributeField.SPARSE_TENSOR: (_SPARSE, False),
        AttributeField.SPARSE_TENSORS: (_SPARSE, True),
    },
    {
        TensorField.FLOAT_DATA: (PAYLOAD, False),
        TensorField.INT32_DATA: (PAYLOAD, False),
        TensorField.INT64_DATA: (PAYLOAD, False),
        TensorField.RAW_DATA: (PAYLOAD, False),
        TensorField.DOUBLE_DATA: (PAYLOAD, False),
        TensorField.UINT64_DATA: (PAYLOAD, False),
    },
    {SparseField.VALUES: (TENSOR, False), SparseField.INDICES: (TENSOR, False)},
    {FunctionField.NODE: (_NODE, True)},
)
"""By message kind: field number to the kind of its submessage, and whether it is repeated."""
_FIXED_SIZE_DATA = frozenset({TensorField.FLOAT_DATA, TensorField.DOUBLE_DATA})
"""Data whose values are separate fields of a fixed size when written unpacked."""


class MalformedMessage(Exception):
    """The bytes are not a protobuf message; the argument states where and why."""


class Truncated(MalformedMessage):
    """A declared length exceeds the end of the file."""


class TooDeep(Exception):
    """Messages nest deeper than protobuf reads."""


class TooLarge(Exception):
    """The structure to keep exceeds `MAX_STRUCTURE`."""


class Unusual(Exception):
    """Valid, but in a form that only a full parser should read (groups, split payloads)."""


@record
class Payload:
    """The bytes of a tensor's data in the file: TensorProto field, absolute offset, size."""

    field: int
    offset: int
    size: int


@record
class Skimmed:
    """A model's structure, and the payloads removed from it by the path of their tensor."""

    structure: bytes
    payloads: dict[WirePath, Payload]


def skim(data: Buffer) -> Skimmed:
    """Separate a serialized ModelProto into structure and payloads.

    Raises:
        MalformedMessage, Truncated, TooDeep, TooLarge, Unusual: see the classes.
    """
    walker = _Walker(data)
    pieces: list[bytes] = []
    walker.walk(0, len(data), MODEL, (), pieces, 0)
    return Skimmed(b"".join(pieces), walker.payloads)


class _Walker:
    def __init__(self, data: Buffer) -> None:
        self.data = data
        self.payloads: dict[WirePath, Payload] = {}
        self.kept = 0

    def varint(self, position: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while position < end:
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
            if shift > 63:
                raise MalformedMessage(f"a number at byte {position} is longer than protobuf allows")
        raise Truncated(f"the data ends inside a number at byte {position}")

    def keep(self, start: int, end: int, pieces: list[bytes]) -> None:
        if end > start:
            self.kept += end - start
            if self.kept > MAX_STRUCTURE:
                raise TooLarge
            pieces.append(self.data[start:end])

    def walk(self, start: int, end: int, kind: int, path: WirePath, pieces: list[bytes], depth: int) -> None:
        """Append the kept bytes of one message to `pieces`, parsing submessages that lead to tensors."""
        if depth > MAX_DEPTH:
            raise TooDeep
        data = self.data
        fields = FIELDS[kind]
        counts = dict.fromkeys(fields, 0)
        run = position = start
        while position < end:
            at = position
            tag = data[position]
            position += 1
            if tag >= 0x80:
                tag, position = self.varint(at, end)
            field, wire = tag >> 3, tag & 7
            if wire == 2:
                size = data[position] if position < end else 0x80
                position += 1
                if size >= 0x80:
                    size, position = self.varint(position - 1, end)
                body = position
                position += size
                if position > end:
                    raise Truncated(
                        f"field {field} at byte {at} declares {size} bytes, {end - body} are left"
                    )
                if field in counts:
                    occurrence = counts[field]
                    counts[field] = occurrence + 1
                    inner, repeated = fields[field]
                    if occurrence and not repeated:
                        raise Unusual(f"field {field} at byte {at} is written more than once")
                    if size > (KEEP if inner == PAYLOAD else DESCEND):
                        self.keep(run, at, pieces)
                        run = position
                        if inner == PAYLOAD:
                            self._payload(path, Payload(field, body, size))
                        else:
                            nested: list[bytes] = []
                            step = (*path, field, occurrence)
                            self.walk(body, position, inner, step, nested, depth + 1)
                            pieces.append(_header(tag, sum(map(len, nested))))
                            pieces.extend(nested)
            elif wire == 0:
                while position < end and data[position] >= 0x80:
                    position += 1
                position += 1
            elif wire == 5 or wire == 1:
                position += 4 if wire == 5 else 8
                if kind == TENSOR and field in _FIXED_SIZE_DATA:
                    raise Unusual(f"tensor data at byte {at} is written value by value")
            elif wire == 3 or wire == 4:
                raise Unusual(f"field {field} at byte {at} is a protobuf group")
            else:
                raise MalformedMessage(f"byte {at} starts no protobuf field (wire type {wire})")
            if field == 0:
                raise MalformedMessage(f"byte {at} starts a field numbered 0")
        if position > end:
            raise Truncated(f"the data ends inside a field at byte {end}")
        self.keep(run, end, pieces)

    def _payload(self, path: WirePath, payload: Payload) -> None:
        if path in self.payloads:
            raise Unusual("a tensor holds data in two fields")
        self.payloads[path] = payload


def _header(tag: int, size: int) -> bytes:
    return varint(tag) + varint(size)


def varint(value: int) -> bytes:
    """`value`, 0 or more, as protobuf writes it: 7 bits per byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
