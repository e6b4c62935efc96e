"""The answer to a request for several ranges: `multipart/byteranges` (RFC 9110, section 14.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message

_RANGE = re.compile(
    rb"^content-range:[ \t]*bytes[ \t]+(\d+)-(\d+)/(?:\d+|\*)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)


class MalformedBody(Exception):
    """The body is not of its stated type; the argument states why."""


def parts_of(body: bytes, content_type: str) -> Iterator[tuple[int, bytes]]:
    """Each part's offset in the file, and its bytes.

    Raises:
        MalformedBody: see the class.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise MalformedBody("the answer has several parts and no boundary between them")
    mark = b"--" + boundary.encode("latin-1", "replace")
    position = body.find(mark)
    while position >= 0:
        position += len(mark)
        if body[position : position + 2] == b"--":
            return
        end = body.find(b"\r\n\r\n", position)
        match = _RANGE.search(body, position, end) if end >= 0 else None
        if match is None:
            raise MalformedBody("a part of the answer does not say which bytes it is")
        start, size = int(match[1]), int(match[2]) + 1 - int(match[1])
        data = body[end + 4 : end + 4 + size]
        if size <= 0 or len(data) < size:
            raise MalformedBody("the answer ends inside a part")
        yield start, data
        position = body.find(mark, end + 4 + size)
    raise MalformedBody("the answer ends before its last part")
