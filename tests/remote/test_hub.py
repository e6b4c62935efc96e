"""A hub as Hugging Face's client knows it, served here: files by ranges, folders, and what is not there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from served_models import layered

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file

pytest.importorskip("huggingface_hub", reason="dlclint[remote] is not installed")

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The parts of the hub's interface that its file system asks."""

    protocol_version = "HTTP/1.1"
    root: Path
    read: list[int]
    """Bytes of each range that was sent."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def tell(self, value: Any, status: int = 200, **headers: str) -> None:
        self.answer(status, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def do_GET(self) -> None:
        """Answer for one repository."""
        path = unquote(urlsplit(self.path).path)
        if re.match("/api/models/owner/repo/tree/", path):
            files = [one for one in sorted(self.root.rglob("*")) if one.is_file()]
            rows = [(one.relative_to(self.root).as_posix(), one.stat()) for one in files]
            self.tell(
                [
                    {"type": "file", "oid": f"{state.st_mtime_ns:040x}", "size": state.st_size, "path": name}
                    for name, state in rows
                ]
            )
        elif path == "/api/models/owner/repo":
            self.tell({"id": "owner/repo", "sha": COMMIT, "siblings": [], "private": False, "tags": []})
        elif match := re.fullmatch(r"/owner/repo/resolve/\w+/(.+)", path):
            first, last = re.findall(r"\d+", self.headers["Range"])
            data = (self.root / match[1]).read_bytes()
            part = data[int(first) : int(last) + 1]
            self.read.append(len(part))
            self.answer(206, part, Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        else:
            self.tell({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")


@pytest.fixture
def hub(root: Path) -> Iterator[str]:
    """The address of a hub with one repository, whose files are in `root`."""
    Hub.root, Hub.read = root, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def checked(hub: str, *words: str) -> dict[str, Any]:
    """The JSON report of a process of its own: the client reads the hub's address when it is loaded."""
    command = [
        sys.executable,
        "-m",
        "dlclint",
        "check",
        "--isolated",
        "--no-weights",
        "--format",
        "json",
        *words,
    ]
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_secret"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stderr == "" and "hf_secret" not in done.stdout
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_findings_are_those_of_the_local_file_and_little_is_read(hub: str, root: Path) -> None:
    path = layered(root / "m.onnx", layers=30, size=300)
    (file,) = checked(hub, "hf://owner/repo/m.onnx")["files"]
    here = lint_file(Job(path, weights=False))
    assert [(finding["rule"], finding["message"]) for finding in file["findings"]] == [
        (finding.rule, finding.message) for finding in here.diagnostics
    ]
    assert 0 < sum(Hub.read) < path.stat().st_size / 5  # whole windows; none is read ahead
    assert f"read {sum(Hub.read):,} of" in file["notes"][-1]


def test_folders_and_what_is_not_there(hub: str, root: Path) -> None:
    (root / "zoo").mkdir()
    layered(root / "zoo" / "a.onnx", layers=1)
    layered(root / "zoo" / "b.onnx", layers=2, external=True)
    report = checked(hub, "hf://owner/repo/zoo/")
    assert [file["path"] for file in report["files"]] == [f"hf://owner/repo/zoo/{name}.onnx" for name in "ab"]
    assert report["counts"]["error"] == 0
    report = checked(hub, "hf://owner/repo/nosuch.onnx", "hf://other/repo/m.onnx")
    assert [file["findings"][0]["message"] for file in report["files"]] == [
        "hf://other/repo/m.onnx does not exist",
        "hf://owner/repo/nosuch.onnx does not exist",
    ]
