"""Names that are not UTF-8 are escaped when a model is read, and restored when it is written.

protobuf stores strings as bytes, and a file may hold any bytes: the C++ readers accept them, Python gets
`bytes` instead of `str`, or an exception. `escaped` replaces each byte that is not UTF-8 by a character of a
private plane, so that all other code handles ordinary text, and `restored` restores the bytes. Characters of
that plane in the file itself are escaped too, byte by byte, so that two names stay different.
`dlclint.diagnostic.plain` shows such a character as `\\xNN`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import onnx
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message

from dlclint.diagnostic import RAW_BYTE
from dlclint.model.wire import varint

_PREFIXES = (b"\xf4\x8f\xbe", b"\xf4\x8f\xbf")
"""The UTF-8 prefixes of the characters from U+10FF80 to U+10FFFF, which represent bytes."""
_MAX_DEPTH = 100
"""Nesting depth of messages that protobuf reads."""


def escaped(model: bytes) -> bytes:
    """A serialized ModelProto whose strings are UTF-8; the same object where they already are.

    Bytes that are not a protobuf message are returned unchanged, so that the reader reports them.
    """
    if not any(prefix in model for prefix in _PREFIXES) and _is_text(model):
        return model
    return _rewritten(model, _escape)


def restored(model: bytes) -> bytes:
    """The serialized ModelProto as it was before `escaped`."""
    if not any(prefix in model for prefix in _PREFIXES):
        return model
    return _rewritten(model, _restore)


def _escape(text: bytes) -> bytes:
    try:
        decoded = text.decode()
        if not any(prefix in text for prefix in _PREFIXES):
            return text
    except UnicodeDecodeError:
        decoded = text.decode("utf-8", "surrogateescape")
    return "".join(map(_character, decoded)).encode()


def _character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return chr(RAW_BYTE + code - 0xDC00)
    if code >= RAW_BYTE + 0x80:
        return "".join(chr(RAW_BYTE + byte) for byte in character.encode())
    return character


def _restore(text: bytes) -> bytes:
    if not any(prefix in text for prefix in _PREFIXES):
        return text
    return b"".join(
        bytes([ord(character) - RAW_BYTE]) if ord(character) >= RAW_BYTE + 0x80 else character.encode()
        for character in text.decode()
    )


def _is_text(model: bytes) -> bool:
    """Whether every string is UTF-8, checked by protobuf itself, which does so only for the syntax proto3."""
    if model.isascii():
        return True
    try:
        _strict().FromString(model)
    except (DecodeError, UnicodeDecodeError):
        return False
    return True


@lru_cache(maxsize=1)
def _strict() -> type[Message]:
    """ModelProto, declared so that protobuf rejects strings that are not UTF-8."""
    file = descriptor_pb2.FileDescriptorProto()
    onnx.ModelProto.DESCRIPTOR.file.CopyToProto(file)
    file.name = "dlclint/strict.proto"
    file.package = "dlclint.strict"
    file.syntax = "proto3"
    file.ClearField("options")
    own, other = f".{onnx.ModelProto.DESCRIPTOR.file.package}.", ".dlclint.strict."
    pending = list(file.message_type)
    while pending:
        message = pending.pop()
        pending += message.nested_type
        for field in message.field:
            field.ClearField("default_value")
            field.ClearField("options")
            if field.type_name.startswith(own):
                field.type_name = other + field.type_name[len(own) :]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    message_class: type[Message] = message_factory.GetMessageClass(
        pool.FindMessageTypeByName("dlclint.strict.ModelProto")
    )
    return message_class


class _Damaged(Exception):
    """The bytes are not a protobuf message."""


def _rewritten(model: bytes, change: Callable[[bytes], bytes]) -> bytes:
    try:
        return b"".join(_message(model, 0, len(model), onnx.ModelProto.DESCRIPTOR, change, 0))
    except _Damaged:
        return model


def _message(
    data: bytes, start: int, end: int, kind: Descriptor, change: Callable[[bytes], bytes], depth: int
) -> Iterator[bytes]:
    """The parts of a message whose strings change, with every length corrected."""
    if depth > _MAX_DEPTH:
        raise _Damaged
    fields = kind.fields_by_number
    run = position = start
    groups = 0
    while position < end:
        at = position
        tag, position = _varint(data, position, end)
        wire = tag & 7
        if wire == 3:
            groups += 1
        elif wire == 4:
            groups -= 1
        elif wire == 0:
            _, position = _varint(data, position, end)
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        elif wire == 2:
            size, body = _varint(data, position, end)
            position = body + size
            field = None if groups else fields.get(tag >> 3)
            if field is None or position > end:
                continue
            if field.type == FieldDescriptor.TYPE_STRING:
                text = data[body:position]
                new = change(text)
                if new is text:
                    continue
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                inner = field.message_type
                new = b"".join(_message(data, body, position, inner, change, depth + 1))
                if len(new) == size and new == data[body:position]:
                    continue
            else:
                continue
            yield data[run:at]
            yield varint(tag)
            yield varint(len(new))
            yield new
            run = position
        else:
            raise _Damaged
    if position > end:
        raise _Damaged
    yield data[run:end]


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _Damaged
