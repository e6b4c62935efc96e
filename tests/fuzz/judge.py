"""Running one case in this process, and what is wrong with what it did.

What ends the process (a signal, an endless loop) is seen by `server`; everything else is checked here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import traceback
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dlclint.engine.cache import FOLDER

from .case import Case

SECONDS = 10.0
"""Processor time that one input may cost at most."""
BYTES = 1 << 30
"""Memory that one input may take at most, above what the process took before it."""
STATUSES = (0, 1, 2)
_DURATION = re.compile(rb"\d+\.\d\d\s+s\)")
_CRASHED = "engine/crashed-rule"
_FRAME = re.compile(r'File "[^"]*?(dlclint\w*)[/\\]([\w/\\]+)\.py", line \d+,? in (\w+)')
_STEERING = re.compile(
    "[{}]".format(
        "".join(
            re.escape(c)
            for c in map(chr, range(sys.maxunicode + 1))
            if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")
        )
    )
)
"""What steers a terminal, or hides."""
_SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
_WRITTEN = 256 << 20
"""No command has reason to write more for inputs of this size."""


@dataclass(frozen=True)
class Flaw:
    """What is wrong, by kind, and the cause as far as it can be told: what is stored only once."""

    kind: str
    cause: str
    detail: str = ""

    @property
    def key(self) -> str:
        """By which flaws are the same."""
        return f"{self.kind}: {self.cause}"


@dataclass(frozen=True)
class Judgment:
    """The flaws of one run, all that it said and wrote, but for the duration, and a digest of that."""

    flaws: tuple[Flaw, ...]
    digest: str
    said: str


class Stage:
    """A folder to run cases in, and files that take what a process says, native code included."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_fast_folder()))
        self.kept = Path(tempfile.mkdtemp(prefix="fuzz-kept-", dir=_fast_folder()))
        self.home = Path.cwd()
        self.out = tempfile.TemporaryFile()  # noqa: SIM115
        self.err = tempfile.TemporaryFile()  # noqa: SIM115

    def enter(self) -> None:
        """Make this process write into the files, work in the folder, and keep its results separate."""
        os.environ[FOLDER] = str(self.kept)
        sys.stdout.flush()
        sys.stderr.flush()
        self._listen()
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        os.chdir(self.folder)

    def _listen(self) -> None:
        """Let the files take what is said; a command that could not write drops standard output for good."""
        os.dup2(self.out.fileno(), 1)
        os.dup2(self.err.fileno(), 2)

    def close(self) -> None:
        """Remove the folders."""
        os.chdir(self.home)
        for folder in (self.folder, self.kept):
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, case: Case) -> Judgment:
        """Run a case and check the result."""
        self._listen()
        for name, data in case.files.items():
            Path(name).write_bytes(data)
        flaws: list[Flaw] = []
        status: Any = None
        try:
            status = _main(list(case.arguments))
        except SystemExit as end:
            status = end.code
        except BaseException as error:
            flaws.append(_of_exception(error))
        said, complained = self._read(self.out, sys.stdout), self._read(self.err, sys.stderr)
        written = self._written(case)
        if not flaws:
            flaws = list(_flaws(case, status, said, complained, written))
        self._clear()
        here = str(self.folder).encode()
        parts = [
            str(status).encode(),
            said,
            complained,
            *(n.encode("utf-8", "replace") + d for n, d in written),
        ]
        whole = b"\0".join(_DURATION.sub(b"s)", part).replace(here, b".") for part in parts)
        return Judgment(tuple(flaws), hashlib.sha256(whole).hexdigest(), whole.decode("utf-8", "replace"))

    def _read(self, stream: Any, text: Any) -> bytes:
        text.flush()
        stream.seek(0)
        data: bytes = stream.read()
        stream.seek(0)
        stream.truncate()
        return data

    def _written(self, case: Case) -> list[tuple[str, bytes]]:
        """Files that are new or changed, by name."""
        collected = []
        with os.scandir(".") as entries:
            for entry in entries:
                data = Path(entry.path).read_bytes() if entry.is_file() else b""
                if case.files.get(entry.name) != data:
                    collected.append((entry.name, data))
        return sorted(collected)

    def _clear(self) -> None:
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    Path(entry.path).unlink()


def _fast_folder() -> str | None:
    memory = "/dev/shm"
    return memory if os.access(memory, os.W_OK) else None


def _main(words: list[str]) -> int:
    from dlclint.cli.main import main

    return main(words)


def _of_exception(error: BaseException) -> Flaw:
    text = "".join(traceback.format_exception(error))
    kind = "memory" if isinstance(error, MemoryError) else "traceback"
    return Flaw(kind, f"{type(error).__name__} in {innermost(text)}", text[-3000:])


def innermost(trace: str, last: bool = True) -> str:
    """The frame of dlclint in which a traceback ends (a dump of faulthandler's begins with it)."""
    frames = _FRAME.findall(trace)
    if not frames:
        return "unknown"
    package, module, function = frames[-1 if last else 0]
    return f"{package}.{module.replace(os.sep, '.')}:{function}"


def _flaws(case: Case, status: Any, said: bytes, complained: bytes, written: list[tuple[str, bytes]]) -> Any:
    out, err = said.decode("utf-8", "backslashreplace"), complained.decode("utf-8", "backslashreplace")
    command = case.arguments[0]
    if status not in STATUSES:
        yield Flaw("status", f"{command} exits {status}: {_shape(err or out)}", err[-3000:])
    if "Traceback (most recent call last)" in err + out:
        yield Flaw("traceback", f"printed: {innermost(err + out)}", err[-3000:])
    elif status in (0, 1) and "Warning" in err:
        yield Flaw("stderr", f"{command}: {_shape(err)}", err[-1000:])
    # Each invalid path is a line; of anything else there is one.
    told = err.endswith("\n") and all(line.startswith("dlclint: ") for line in err[:-1].split("\n"))
    if status == 2 and not (told and err.count("\n") <= len(case.arguments)) and "usage:" not in out:
        yield Flaw("stderr", f"{command}: not one line: {_shape(err)}", err[-1000:])
    if _CRASHED in out + err and f'"id": "{_CRASHED}"' not in out:
        yield from _crashed(out + err)
    if "File too large" in err or sum(len(data) for _, data in written) > _WRITTEN:
        yield Flaw("output too large", command, err[-300:])
    form = case.arguments[case.arguments.index("--format") + 1] if "--format" in case.arguments else ""
    if status in (0, 1):
        yield from _format(form, out)
    if command == "fix" and case.arguments[1].endswith(".encodings") and "-o" not in case.arguments:
        out = ""  # the file itself, which is to be the one that was named; a terminal is distinguished
    if form == "html":
        out = _SCRIPT.sub("", out)  # the page's own and its libraries', which no input changes
    if form == "markdown":
        out = out.replace("@\u200b", "@")  # which keeps names from calling people
    for name, text in (("stdout", out), ("stderr", err)):
        for line in text.splitlines() if form in ("concise", "") or name == "stderr" else ():
            if line.lstrip().startswith("::"):
                yield Flaw("workflow command", f"{command} {form} {name}", line[:300])
        bad = sorted({f"U+{ord(c):04X}" for c in _steering(text)})
        if bad:
            yield Flaw("control character", f"{command} {form} {name} {bad[0]}", repr(text[-500:]))
    if "--in-place" not in case.arguments:
        changed = [name for name, _ in written if name in case.files]
        if changed:
            yield Flaw("input changed", command, repr(changed))
    left = [name for name, _ in written if name.startswith(".") or ".tmp" in name]
    if left:
        yield Flaw("left behind", command, repr(left))


def _steering(text: str) -> list[str]:
    if text.replace("\n", "").replace("\t", "").isprintable():  # as nearly all are, and soon told
        return []
    return _STEERING.findall(text)


def _shape(text: str) -> str:
    """A message without what changes from input to input."""
    first = next((line for line in reversed(text.splitlines()) if line.strip()), "silence")
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "_", first)[:120]


def _crashed(text: str) -> Any:
    for message in sorted(set(re.findall(r"(?:rule )?[\w/-]+ failed: \w+(?:: [^\n\"]{0,100})?", text))):
        kind = "memory" if "MemoryError" in message else "crashed rule"
        yield Flaw(kind, _shape(message), message)


def _format(form: str, out: str) -> Any:
    if form == "junit" and out and not out.startswith("usage: "):
        try:
            ElementTree.fromstring(out)
        except ElementTree.ParseError as error:
            yield Flaw("invalid junit", _shape(str(error)), out[:500])
    if form not in ("json", "sarif", "gitlab"):
        return
    if not out or out.startswith("usage: "):
        return
    try:
        report = json.loads(out, parse_constant=_no_number)
    except ValueError as error:
        yield Flaw(f"invalid {form}", f"{type(error).__name__}: {_shape(str(error))}", out[:500])
        return
    if form == "sarif":
        if report.get("version") != "2.1.0" or "runs" not in report:
            yield Flaw("invalid sarif", "no runs", out[:300])
        return
    for text in _strings(report):
        if _steering(text):
            yield Flaw("control character", "in a text of the JSON report", repr(text[:300]))
            return


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _strings(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield key
            if key != "pointer":  # an address in the file, which is not an address once it is changed
                yield from _strings(child)
    elif isinstance(value, list):
        for child in value:
            yield from _strings(child)
