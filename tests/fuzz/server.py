"""A warm process that forks children, each of which runs inputs until one of them ends it.

A child says which input it begins and how it went; where it dies, hangs or takes too much memory, the
last one it began is to blame, and the next child goes on after it. Events go to standard output, one
JSON object a line.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from .case import Case
from .judge import BYTES, SECONDS, Flaw, Stage, innermost

Numbered = tuple[int, Case]
Say = Callable[[dict[str, Any]], None]
REPEATED = 32
"""Every so many inputs one is run again: under another hash seed, native code in processes of its own."""
RECYCLED = 2000
"""Inputs after which a child makes room for a new one, so that no leak is taken for an input's cost."""
_SCALE = 1 if sys.platform == "darwin" else 1024
"""`ru_maxrss` is in bytes on macOS, in kibibytes elsewhere."""
_NEAR_SECONDS = 3.0
"""After so long it is seen whether the limits of native code would have ended an input."""
_LOOK = 2.0
"""Seconds of silence after which it is seen how much processor time an input has cost."""
_WALL = 60
"""How much longer than its processor time an input may take: the machine may be busy."""


def warm() -> None:
    """Import, and read by running sound inputs, all that commands need, so that children find it there."""
    from .surfaces import sound

    stage = Stage()
    saved = [os.dup(1), os.dup(2)]
    stage.enter()
    undo = _stay_near()
    try:
        _import_all()
        for case in sound():
            stage.run(case)
    finally:
        undo()
        sys.stdout.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        stage.close()


def _import_all() -> None:
    import importlib
    import pkgutil

    import dlclint
    import dlclint_rules

    for package in (dlclint, dlclint_rules):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if module.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(module.name)
            except ImportError as error:  # an extra that is not installed, or does not go with NumPy
                if (error.name or "").startswith("dlclint"):
                    raise
    try:
        importlib.import_module("onnxruntime")
    except ImportError:
        return


def serve(
    cases: Iterable[Numbered],
    say: Say,
    seconds: float = SECONDS,
    near: bool = False,
    quoted: Container[int] = (),
) -> None:
    """Run all cases in children; `say` gets an event for each, with what it said for those that are `quoted`.

    With `near`, commands do not start the processes of their own in which native code may die, which
    takes most of the time: what then goes wrong is run again as a user would run it, and that counts.
    """
    source = iter(cases)
    waiting: list[Numbered] = []
    while True:
        if not waiting:
            waiting = [case for _, case in zip(range(RECYCLED), source, strict=False)]
            if not waiting:
                return
        if not near:
            del waiting[: _child(waiting, say, seconds, quoted=quoted)]
            continue
        events: list[dict[str, Any]] = []
        done = _child(waiting, events.append, _NEAR_SECONDS, True, quoted)
        for case, event in zip(waiting[:done], events, strict=True):
            if event["flaws"]:
                _child([case], say, seconds, quoted=quoted)
            else:
                say(event)
        del waiting[:done]


def _child(
    cases: list[Numbered], say: Say, seconds: float, near: bool = False, quoted: Container[int] = ()
) -> int:
    """Fork a child over the cases; returns how many are dealt with."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    stage = Stage()
    trace = tempfile.TemporaryFile()  # noqa: SIM115
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setpgid(0, 0)
        if near:
            _stay_near()
        _work(cases, writing, stage, trace, seconds, quoted)
    os.close(writing)
    dealt, begun, slow = 0, False, False
    with os.fdopen(reading, "rb", buffering=0) as stream:
        for line in _lines(stream, pid, seconds):
            if line is None:
                slow = True
                os.kill(pid, signal.SIGPROF)  # which leaves a traceback
                time.sleep(0.5)
                os.killpg(pid, signal.SIGKILL)
                break
            if line == b">":
                begun = True
                continue
            begun = False
            dealt += 1
            say(json.loads(line))
    _, status = os.waitpid(pid, 0)
    _end_group(pid)
    stage.close()
    if begun:
        index, _ = cases[dealt]
        dealt += 1
        trace.seek(0)
        text = trace.read().decode("utf-8", "replace")
        say(_event(index, "", [_death(status, slow, text)], ""))
    trace.close()
    return dealt


def _stay_near() -> Callable[[], None]:
    """Let commands run here what they else run in processes of their own; returns what undoes it."""
    from dlclint.contained import process
    from dlclint.contained.worker import Reply

    def each(
        function: Callable[..., Any], items: Sequence[Sequence[Any]], workers: int, meanwhile: object = None
    ) -> Iterator[Reply]:
        for arguments in items:
            streams = sys.stdout, sys.stderr  # which a process of its own would not have to put back
            try:
                reply = Reply(function(*arguments))
            except Exception as error:
                reply = Reply(None, error)
            sys.stdout, sys.stderr = streams
            yield reply

    before, process.each = process.each, each
    return lambda: setattr(process, "each", before)


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)  # helpers that a child has started
    except (ProcessLookupError, PermissionError):
        return


def _lines(stream: IO[bytes], pid: int, seconds: float) -> Iterator[bytes | None]:
    """The child's lines as they come; None where one has cost too much processor time, or far too long."""
    rest = b""
    since, before = time.monotonic(), 0.0
    while True:
        ready, _, _ = select.select([stream], [], [], _LOOK)
        if not ready:
            spent = _spent(pid)
            before = before or spent
            if spent - before > seconds or time.monotonic() - since > seconds * _WALL:
                yield None
                return
            continue
        since, before = time.monotonic(), 0.0
        data = stream.read(65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


def _spent(group: int) -> float:
    """Processor time of all processes of a group, and of their children; 0 where the system does not say."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_bytes().rpartition(b")")[2].split()
        except OSError:  # it is gone
            continue
        if int(fields[2]) == group:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _death(status: int, slow: bool, trace: str) -> Flaw:
    where = innermost(trace, last=False)
    alarmed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF
    if slow or alarmed:
        return Flaw("slow", where, trace[:3000])
    if os.WIFSIGNALED(status):
        return Flaw("death", f"{signal.Signals(os.WTERMSIG(status)).name} in {where}", trace[:3000])
    return Flaw("death", f"exit {os.waitstatus_to_exitcode(status)} in {where}", trace[:3000])


def _event(index: int, digest: str, flaws: Iterable[Flaw], said: str) -> dict[str, Any]:
    told = [[f.kind, f.cause, f.detail] for f in flaws]
    return {"index": index, "digest": digest, "flaws": told, "said": said}


def _work(
    cases: list[Numbered],
    writing: int,
    stage: Stage,
    trace: IO[bytes],
    seconds: float,
    quoted: Container[int],
) -> None:
    """In the child: run the cases and say so; never returns."""
    try:
        _limit()
        stage.enter()
        faulthandler.enable(trace)
        faulthandler.register(signal.SIGPROF, trace, all_threads=False, chain=True)
        for index, case in cases:
            os.write(writing, b">\n")
            started = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, seconds)
            judged = stage.run(case)
            signal.setitimer(signal.ITIMER_PROF, 0)
            spent = time.process_time() - started
            flaws = list(judged.flaws)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _SCALE
            if peak > BYTES:
                flaws.append(Flaw("memory", case.arguments[0], f"{peak >> 20} MiB"))
            said = judged.said if index in quoted else ""
            _write(writing, json.dumps(_event(index, judged.digest, flaws, said)).encode() + b"\n")
            if peak > BYTES or spent > seconds:
                break  # what is left goes to a child that starts small
        os._exit(0)
    except BaseException:
        import traceback

        trace.write(traceback.format_exc().encode())
        trace.flush()
        os._exit(99)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _limit() -> None:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 29, 1 << 29))
        held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + BYTES, held + BYTES))
    except (OSError, ValueError):
        return  # not on this system; the peak is watched all the same


def numbered(surface: str, seed: int, numbers: Iterable[int]) -> Iterator[Numbered]:
    """Inputs of a surface by their numbers."""
    from .surfaces import build

    for number in numbers:
        yield number, build(surface, seed, number)


def _without_translations() -> None:
    """Spare the parsers of each command their search for translations, of which there are none."""

    def same(text: str) -> str:
        return text

    vars(argparse)["_"] = same


def main() -> None:
    """Serve ranges of inputs: `SURFACE SEED near:FIRST:STOP:STEP far:FIRST:STOP:STEP ...`."""
    args = argparse.ArgumentParser()
    args.add_argument("surface")
    args.add_argument("seed", type=int)
    args.add_argument("ranges", nargs="+")
    values = args.parse_args()
    events = os.fdopen(os.dup(1), "w", buffering=1)
    _without_translations()
    warm()

    def say(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    gc.freeze()  # what is there by now is never garbage, and collecting it would copy it for each child
    for text in values.ranges:
        way, _, bounds = text.partition(":")
        numbers = range(*map(int, bounds.split(":")))
        quoted = numbers[::REPEATED] if way == "near" else numbers
        serve(numbered(values.surface, values.seed, numbers), say, near=way == "near", quoted=quoted)


if __name__ == "__main__":
    main()
