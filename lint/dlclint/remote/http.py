"""Files over HTTP, by ranges, several of them in one request where the server can (RFC 9110, section 14)."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from dlclint.remote import urls
from dlclint.remote.at_once import all_at_once, within
from dlclint.remote.errors import Changed, NotThere, RemoteError
from dlclint.remote.multipart import MalformedBody, parts_of
from dlclint.remote.reader import (
    AT_ONCE,
    LARGEST,
    LARGEST_WHOLE,
    REQUEST,
    SLOWEST,
    Sink,
    Traffic,
    byte_ranges,
)
from dlclint.remote.transport import HttpAnswer, Refused, cause_of, client_of

_PER_REQUEST = 48
"""Ranges of one request: their header stays below 2 KiB, and servers limit how many they return."""
_SMALL = 1 << 20
"""Ranges of up to so many bytes share a request."""
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_ATTEMPTS = 4
_BACKOFF = 0.25
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_DOWNLOAD = "download the file, and lint it where it lies"

Ranges = Sequence[tuple[int, int]]
Result = TypeVar("Result")


class _Again(Exception):
    """A request that may succeed if it is repeated; the argument states what happened."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class HttpReader:
    """See `dlclint.remote.reader.Reader`."""

    def __init__(self, url: str, head: int, seconds: float) -> None:
        self.traffic = Traffic()
        self.first: list[tuple[int, bytes]] = []
        self.note = ""
        self.size = 0
        self._url = self._current = url
        self._shown = urls.public_address(url)
        self._seconds = seconds
        self._pin: tuple[str, str] | None = None
        self._by_ranges = True
        self._several: bool | None = None
        """Whether the server returns several ranges at once; None before the first such request."""
        self._counting = threading.Lock()
        self._client = client_of(urls.scheme_of(url))
        self._retried(lambda: self._first(head), head)

    @property
    def mark(self) -> str:
        """See `Reader.mark`."""
        return f"{self.size} {' '.join(self._pin)}" if self._pin is not None and any(self._pin) else ""

    @property
    def near(self) -> int:
        """See `Reader.near`; an additional range in a request costs about a hundred bytes."""
        return REQUEST if self._several is False else 4 << 10

    def read(self, ranges: Ranges, sink: Sink) -> None:
        """See `Reader.read`."""
        if not self._by_ranges:
            self._retried(lambda: self._read_whole(sink), self.size)
            return
        all_at_once([partial(self._lot, lot, sink) for lot in self._lots(ranges)], AT_ONCE)

    def verify(self) -> None:
        """Every answer was already compared with the first one."""

    def close(self) -> None:
        """The connections are kept for other files."""

    def _first(self, head: int) -> None:
        with self._request([(0, head)]) as answer:
            self._expect_file(answer)
            if answer.status == 416:  # an empty file has no range
                self._pin = _pin_of(answer)
                return
            if answer.status == 206:
                start, end, self.size = self._content_range(answer)
                if self.size > LARGEST or start:
                    raise RemoteError(
                        f"{self._shown}: the server answers with another range than the requested one"
                    )
                self._pin = _pin_of(answer)
                self.first = [(0, self._body(answer, min(end, head)))]
                return
            self._by_ranges = False
            self._pin = _pin_of(answer)
            self.size = answer.length or 0
            if head > 1 or not self.size:
                body = self._whole(answer)
                self.size = len(body)
                self.first = [(0, body)]
            self.note = f"{self._shown} cannot be read by ranges, so all of it is read"

    def _lots(self, ranges: Ranges) -> list[Ranges]:
        """Ranges by request: small ones together, large ones in pieces."""
        small = [one for one in ranges if one[1] - one[0] <= _SMALL]
        lots: list[Ranges] = [
            [piece] for start, end in ranges if end - start > _SMALL for piece in byte_ranges(start, end)
        ]
        size = 1 if self._several is False else _PER_REQUEST
        return [small[at : at + size] for at in range(0, len(small), size)] + lots

    def _lot(self, lot: Ranges, sink: Sink) -> None:
        if len(lot) > 1 and self._several is not False:
            left = self._retried(lambda: self._multiple(lot, sink), sum(b - a for a, b in lot))
        else:
            left = list(lot)
        all_at_once(
            [partial(self._retried, partial(self._single, one, sink), one[1] - one[0]) for one in left],
            AT_ONCE,
        )

    def _multiple(self, lot: Ranges, sink: Sink) -> list[tuple[int, int]]:
        """Request several ranges; returns those that the answer does not contain."""
        with self._request(lot) as answer:
            self._expect_same(answer)
            kind = answer.kind
            if answer.status != 206:
                self._several = False
                return list(lot)
            if kind != "multipart/byteranges":  # one range that covers all, or only one of them
                self._several = False
                start, end, _ = self._content_range(answer)
                if end - start > sum(b - a for a, b in lot):
                    return list(lot)
                parts = [(start, self._body(answer, end - start))]
            else:
                limit = sum(b - a for a, b in lot) + 512 * (len(lot) + 2)
                body = self._body(answer, limit, exact=False)
                try:
                    parts = list(parts_of(body, answer.header("Content-Type")))
                except MalformedBody as problem:
                    self._several = False
                    if len(body) >= limit:
                        return list(lot)
                    raise _Again(str(problem)) from None
                self._several = True
            for start, data in parts:
                sink(start, data)
            return [(a, b) for a, b in lot if not any(s <= a and b <= s + len(data) for s, data in parts)]

    def _single(self, one: tuple[int, int], sink: Sink) -> None:
        with self._request([one]) as answer:
            self._expect_same(answer)
            if answer.status != 206:
                raise Changed(f"{self._shown}: the server no longer answers requests for ranges", _DOWNLOAD)
            start, end, _ = self._content_range(answer)
            if (start, end) != one:
                raise RemoteError(
                    f"{self._shown}: the server answers with other bytes than asked for", _DOWNLOAD
                )
            sink(start, self._body(answer, end - start))

    def _read_whole(self, sink: Sink) -> None:
        with self._request(()) as answer:
            self._expect_same(answer)
            body = self._whole(answer)
            if len(body) != self.size:
                raise Changed(f"{self._shown} changed while it was read", "lint it again")
            sink(0, body)

    def _request(self, ranges: Ranges) -> AbstractContextManager[HttpAnswer]:
        asked = ",".join(f"{start}-{end - 1}" for start, end in ranges)
        headers = {"Range": f"bytes={asked}"} if ranges else {}
        return self._client.get(self._current, self._url, headers, self._seconds, self._count)

    def _count(self) -> None:
        with self._counting:
            self.traffic.requests += 1

    def _expect_same(self, answer: HttpAnswer) -> None:
        self._expect_file(answer)
        pin = _pin_of(answer)
        if self._pin is not None and any(
            old and new and old != new for old, new in zip(self._pin, pin, strict=True)
        ):
            raise Changed(f"{self._shown} changed while it was read", "lint it again")

    def _expect_file(self, answer: HttpAnswer) -> None:
        """Continue where the answer is the file, or a part of it."""
        status = answer.status
        moved = self._current != self._url
        if status in (401, 403, 404, 410) and moved:
            self._current = self._url  # the target of a redirect is valid only for a while
            raise _Again(f"the server answers {status}")
        if status in (404, 410):
            raise NotThere(f"{self._shown} does not exist ({status})", "check the address")
        if status in (401, 403, 407):
            raise Denied(
                f"access to {self._shown} is denied ({status})",
                "give credentials in fsspec's configuration (FSSPEC_HTTPS, or a file in ~/.config/fsspec)",
            )
        if status in _AGAIN:
            raise _Again(f"the server answers {status}", _retry_after(answer))
        if status not in (200, 206, 416):
            raise RemoteError(f"{self._shown}: the server answers {status}")
        if status != 416 and answer.kind == "text/html":
            raise RemoteError(
                f"{self._shown} is a web page, not the file itself", "give the address of the file's bytes"
            )
        if answer.header("Content-Encoding") not in ("", "identity"):
            raise RemoteError(
                f"{self._shown}: the server sends it compressed, though asked not to", _DOWNLOAD
            )
        if answer.hops:
            self._current = answer.url

    def _content_range(self, answer: HttpAnswer) -> tuple[int, int, int]:
        """First byte, the byte after the last, and the size of the whole file."""
        match = _CONTENT_RANGE.fullmatch(answer.header("Content-Range").strip())
        if match is None:
            raise RemoteError(
                f"{self._shown}: the server does not say which bytes it answers with", _DOWNLOAD
            )
        start, last, size = map(int, match.groups())
        if self.size and size != self.size:
            raise Changed(
                f"{self._shown} changed while it was read: it had {self.size} bytes, now {size}",
                "lint it again",
            )
        if not start <= last < size:
            raise RemoteError(f"{self._shown}: the server answers with a range that cannot be", _DOWNLOAD)
        return start, last + 1, size

    def _body(self, answer: HttpAnswer, limit: int, exact: bool = True) -> bytes:
        """The body, read only up to the expected size."""
        body = bytearray()
        try:
            for chunk in answer.chunks():
                body += chunk
                with self._counting:
                    self.traffic.bytes += len(chunk)
                if len(body) > limit:
                    raise RemoteError(
                        f"{self._shown}: the server sends more than it was asked for", _DOWNLOAD
                    )
        except (http.client.IncompleteRead, ConnectionError):
            raise _Again("the connection ended before the answer did") from None
        if exact and len(body) < limit:
            raise _Again(f"the server sent {len(body)} bytes of {limit}")
        return bytes(body)

    def _whole(self, answer: HttpAnswer) -> bytes:
        declared = answer.length
        if (declared or 0) > LARGEST_WHOLE:
            raise RemoteError(
                f"{self._shown} has {declared} bytes and cannot be read by ranges; "
                f"at most {LARGEST_WHOLE} are read whole",
                _DOWNLOAD,
            )
        body = self._body(answer, LARGEST_WHOLE, exact=False)
        if declared is not None and len(body) != declared:
            raise _Again(f"the server sent {len(body)} bytes of {declared}")
        return body

    def _retried(self, attempt: Callable[[], Result], size: int) -> Result:
        """Repeat a request until it succeeds, within its time limit."""
        end = time.monotonic() + self._seconds + max(0, size - _SMALL) / SLOWEST
        message = ""
        for number in range(_ATTEMPTS):
            try:
                return within(max(0.0, end - time.monotonic()), attempt)
            except TimeoutError:
                raise RemoteError(f"{self._shown}: no answer within {self._seconds:g} s") from None
            except _Again as problem:
                message, wait = str(problem), problem.wait
            except Refused as problem:
                raise RemoteError(f"{self._shown} {problem}", problem.help) from None
            except RemoteError:
                raise
            except (http.client.HTTPException, OSError, ValueError) as error:
                cause = cause_of(error)
                if cause:
                    raise RemoteError(f"{self._shown}: {cause}", "check the address") from None
                message, wait = f"the connection failed ({type(error).__name__})", 0.0
            wait = max(wait, _BACKOFF * 2**number)
            if number + 1 == _ATTEMPTS or time.monotonic() + wait > end:
                break
            time.sleep(wait)
        raise RemoteError(f"{self._shown}: {message}, after {number + 1} attempts")


class Denied(RemoteError):
    """The file may exist, but must not be read."""


def _pin_of(answer: HttpAnswer) -> tuple[str, str]:
    return answer.header("ETag"), answer.header("Last-Modified")


def _retry_after(answer: HttpAnswer) -> float:
    text = answer.header("Retry-After")
    return float(text) if text.isdecimal() else 0.0
