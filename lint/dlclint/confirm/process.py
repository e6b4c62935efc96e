"""The parent's side of the worker: it sends questions, reads answers, and handles the end of the process.

A crash, a time limit or a memory limit ends one question and one process; the next question starts a new
process.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dlclint.contained.watching import resident
from dlclint_schemas.record import record

WORKER = (sys.executable, "-m", "dlclint.confirm.worker")
_TICK = 0.1
"""Seconds between two checks of the worker's memory."""


class NotAvailable(Exception):
    """The backend cannot be loaded at all; the argument is one sentence that states what to do."""


@record
class QuestionLimits:
    """The limits of one question: seconds, and bytes of resident memory."""

    seconds: float = 60.0
    memory: int = 8 << 30


@record
class SessionNode:
    """A node of the session: the provider that took it, its name, op and domain."""

    provider: str
    name: str
    op: str
    domain: str


@record
class BackendAnswer:
    """The answer to a question. `ended` is why there is no complete answer ("" if there is one)."""

    placed: tuple[SessionNode, ...]
    error: str
    log: str
    ended: str = ""
    seconds: float = 0.0


class Backend:
    """A worker process, started when it is first needed and again after each process that ended early."""

    def __init__(self, folder: Path, limits: QuestionLimits, command: Sequence[str]) -> None:
        self._folder = folder
        self._limits = limits
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._asked = 0
        self._ready = False

    def start(self) -> None:
        """Start the process, without waiting for it: loading the backend takes a while."""
        self._unread, self._ready = b"", False
        with (self._folder / "worker.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=self._folder
            )

    def ask(
        self,
        model: bytes,
        folder: Path,
        soc: str,
        *,
        compile: bool = True,
        fold: bool = True,
        dlc: Path | None = None,
        run: Sequence[tuple[Path, Path]] = (),
        library: Path | None = None,
    ) -> BackendAnswer:
        """Ask one question.

        Args:
            model: the serialized model.
            folder: the folder of its external data.
            soc: the SoC's id as the option `soc_model` takes it.
            compile: whether to compile as well; false stops after validation.
            fold: whether constants are folded first, as the converter's simplifier does.
            dlc: a folder to write the DLC to.
            run: .npz files of inputs to run on, by name, and those for the outputs, in their order; then
                the backend must take the whole model.
            library: a backend of a user's own SDK that replaces the HTP backend.

        Raises:
            NotAvailable: the backend cannot be loaded.
        """
        if self._process is None or self._process.poll() is not None:
            self.start()
        self._asked += 1
        asked = self._folder / f"{self._asked}.onnx"
        log = self._folder / f"{self._asked}.log"
        asked.write_bytes(model)
        log.touch()
        started = time.monotonic()
        question = {
            "id": self._asked,
            "model": str(asked),
            "folder": str(folder),
            "soc": soc,
            "compile": compile,
            "fold": fold,
            "log": str(log),
            "dlc": str(dlc) if dlc is not None else "",
            "run": [[str(inputs), str(outputs)] for inputs, outputs in run],
            "library": str(library) if library is not None else "",
        }
        try:
            answer, ended = self._exchange(question)
        finally:
            asked.unlink()
        text = log.read_text("utf-8", "replace")
        log.unlink()
        placed = tuple(SessionNode(*fields) for fields in answer.get("placed", ()))
        return BackendAnswer(placed, str(answer.get("error", "")), text, ended, time.monotonic() - started)

    def _exchange(self, question: dict[str, Any]) -> tuple[dict[str, Any], str]:
        process = self._process
        assert process is not None and process.stdin is not None
        with suppress(BrokenPipeError):  # the reason why the process ended is read below
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        deadline = time.monotonic() + self._limits.seconds
        while True:
            line, ended = self._line(deadline)
            if ended:
                self.stop()
                if not self._ready:
                    raise NotAvailable(f"the backend's process ended while it loaded: {ended}")
                return {}, ended
            answer = json.loads(line)
            if "failed" in answer:
                self.stop()
                raise NotAvailable(f"the backend cannot be loaded: {answer['failed']}")
            self._ready = True
            if answer.get("done") == question["id"]:
                return answer, ""

    def _line(self, deadline: float) -> tuple[bytes, str]:
        """The next answer, or why there is none."""
        process = self._process
        assert process is not None and process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if selector.select(_TICK):
                    received = os.read(process.stdout.fileno(), 1 << 16)
                    if not received:
                        return b"", _cause(process.wait())
                    self._unread += received
                elif time.monotonic() > deadline:
                    return b"", f"took longer than {self._limits.seconds:g} s"
                elif resident(process.pid) > self._limits.memory:
                    return b"", f"took more than {self._limits.memory / (1 << 30):g} GiB of memory"
        line, _, self._unread = self._unread.partition(b"\n")
        return line, ""

    def stop(self) -> None:
        """End the process if it runs."""
        process = self._process
        self._process = None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


@contextmanager
def backend(limits: QuestionLimits, command: Sequence[str] = WORKER) -> Iterator[Backend]:
    """A backend with a temporary folder, which is removed with it."""
    with TemporaryDirectory(prefix="dlclint-confirm-") as folder:
        worker = Backend(Path(folder), limits, command)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()


def _cause(status: int) -> str:
    if status < 0:
        try:
            return f"the process died ({signal.Signals(-status).name})"
        except ValueError:
            return f"the process died (signal {-status})"
    return f"the process ended with status {status}"
