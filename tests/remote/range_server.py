"""An HTTP server for tests and benchmarks: ranges, several of them in one answer, latency, and faults."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_BOUNDARY = "dlclint-part"


@dataclass
class Served:
    """What a server does and has done."""

    root: Path
    latency: float = 0.0
    """Seconds before each answer."""
    ranges: bool = True
    several: bool = True
    """Whether several ranges are answered in one answer; else such a request gets the whole file."""
    etag: Callable[[Path], str] | None = None
    fault: Callable[[Handler, int], bool] | None = None
    """Answers itself, or does not (False), given the number of the request."""
    safety: ssl.SSLContext | None = None
    """Of a server that uses https."""
    url: str = ""
    requests: list[str] = field(default_factory=list)
    """Method and path of each request."""
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(BaseHTTPRequestHandler):
    """Answers with files and listings."""

    protocol_version = "HTTP/1.1"

    def __init__(self, served: Served, *arguments: object) -> None:
        self.served = served
        super().__init__(*arguments)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        served = self.served
        with served.lock:
            number = len(served.requests)
            served.requests.append(f"{self.command} {self.path}")
        time.sleep(served.latency)
        if served.fault is not None and served.fault(self, number):
            return
        path = served.root / unquote(urlsplit(self.path).path).lstrip("/")
        if path.is_dir():
            names = [f"{one.name}/" if one.is_dir() else one.name for one in sorted(path.iterdir())]
            self.answer(
                200, "".join(f'<a href="{name}">{name}</a>\n' for name in names).encode(), "text/html"
            )
        elif path.is_file():
            self.send_file(path)
        else:
            self.answer(404, b"not there", "text/plain")

    def answer(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        """Send a body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        with self.served.lock:
            self.served.sent += len(body)

    def send_file(self, path: Path, size: int | None = None) -> None:
        """Send a file, or the requested ranges; `size` is declared instead of its own."""
        real = path.stat().st_size
        size = real if size is None else size
        stamp = self.served.etag or (lambda one: f'"{one.stat().st_mtime_ns:x}-{real:x}"')
        tag = {"ETag": stamp(path)}
        wanted = [
            (int(first), min(int(last or size - 1), size - 1) + 1)
            for first, last in re.findall(r"(\d+)-(\d*)", self.headers.get("Range", ""))
        ]
        kind = "application/octet-stream"
        if not wanted or not self.served.ranges or (len(wanted) > 1 and not self.served.several):
            self._send_whole(path, kind, tag)
            return
        if wanted[0][0] >= size:
            self.answer(416, b"", kind, Content_Range=f"bytes */{size}", **tag)
            return
        with path.open("rb") as stream:
            pieces = []
            for start, end in wanted:
                stream.seek(start)
                pieces.append((f"bytes {start}-{end - 1}/{size}", stream.read(end - start)))
        if len(pieces) == 1:
            self.answer(206, pieces[0][1], kind, Content_Range=pieces[0][0], **tag)
            return
        body = b"".join(
            f"\r\n--{_BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Range: {where}\r\n\r\n".encode() + data
            for where, data in pieces
        )
        end_mark = f"\r\n--{_BOUNDARY}--\r\n".encode()
        self.answer(206, body + end_mark, f"multipart/byteranges; boundary={_BOUNDARY}", **tag)

    def _send_whole(self, path: Path, kind: str, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                try:
                    self.wfile.write(chunk)
                except OSError:
                    return  # whoever asked has seen enough
                with self.served.lock:
                    self.served.sent += len(chunk)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A connection that the other side closed is nothing to print."""


@contextmanager
def serving(root: Path, **settings: object) -> Iterator[Served]:
    """Serve a folder on a free port of this machine."""
    served = Served(root, **settings)  # type: ignore[arg-type]
    server = _Server(("127.0.0.1", 0), partial(Handler, served))
    if served.safety is not None:
        server.socket = served.safety.wrap_socket(server.socket, server_side=True)
    served.url = f"http{'s' * (served.safety is not None)}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
