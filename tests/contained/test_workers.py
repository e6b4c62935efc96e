"""Workers die, hang and fill memory; what they worked on is done again without what ended them."""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dlclint.contained import channels, process
from dlclint.contained.channels import channel
from dlclint.contained.deaths import Deaths, Died
from dlclint.contained.guard import ANY, JOURNAL, Ended, Guard, NativeStep, call, noted, put_guard, spot, step
from dlclint.contained.process import each, in_worker
from dlclint.contained.worker import serve_worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent")


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    while True:
        pass


def fill() -> None:
    held = []
    while True:
        held.append(bytearray(16 << 20))


def how(kind: str, function: Any, **options: Any) -> str:
    try:
        call(kind, function, **options)
    except Ended as ended:
        return str(ended)
    return ""


def work(text: str) -> tuple[str, str, str, int]:
    short = (0.2, 64 << 20)
    return (
        how("one", die),
        how("two", hang, limits=short) if text == "hangs" else "",
        how("three", fill, limits=(5.0, 64 << 20)),
        os.getpid(),
    )


def test_what_ended_a_worker_is_left_out_when_the_work_is_done_again() -> None:
    died, hung, filled, pid = in_worker(work, "hangs")
    assert died == "dies (SIGSEGV)"
    assert hung == "takes more than 0.2 s or 64 MiB of memory"
    assert filled == "takes more than 5 s or 64 MiB of memory"
    assert pid != os.getpid()


def test_the_parent_keeps_the_limits_where_the_system_does_not(monkeypatch: pytest.MonkeyPatch) -> None:

    from dlclint.contained import guard

    monkeypatch.setattr(guard, "_limits", guard._NoLimits)
    monkeypatch.setattr(process, "WATCHES", True)
    assert in_worker(work, "hangs")[:3] == (
        "dies (SIGSEGV)",
        "takes more than 0.2 s or 64 MiB of memory",
        "takes more than 5 s or 64 MiB of memory",
    )


def test_a_spawned_worker_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "SPAWNS", True)
    died, _, filled, pid = in_worker(work, "")
    assert (died, filled) == ("dies (SIGSEGV)", "takes more than 5 s or 64 MiB of memory")
    assert pid != os.getpid()


def number(value: int) -> int:
    if value == 2:
        die()
    if value == 3:
        raise KeyError(value)
    return value


@pytest.mark.parametrize("workers", (1, 2))
def test_a_death_costs_its_own_item_alone(workers: int) -> None:
    replies = list(each(number, [(value,) for value in range(6)], workers))
    assert [None if isinstance(reply, Died) else reply.result for reply in replies] == [
        0,
        1,
        None,
        None,
        4,
        5,
    ]
    assert str(replies[2]) == "dies (SIGSEGV)"
    with pytest.raises(KeyError):
        replies[3].value()


def print_natively() -> str:
    os.write(1, b"Warning: experimental ops\n")
    os.write(2, b"noise\n")
    return "result"


def test_what_native_code_prints_reaches_no_stream(capfd: pytest.CaptureFixture[str]) -> None:
    assert in_worker(print_natively) == "result"
    assert capfd.readouterr() == ("", "")


def unsendable() -> Any:
    return lambda: None


def test_what_cannot_be_sent_is_reported_in_words() -> None:
    with pytest.raises(RuntimeError, match=r"pickle|local object"):
        in_worker(unsendable)


def nested() -> str:
    return how("outer", die) + str(in_worker(number, 5)) + how("outer", die, where="elsewhere")


def test_workers_have_workers() -> None:
    assert in_worker(nested) == "dies (SIGSEGV)5dies (SIGSEGV)"


def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    """However deep in native code it is, and though nothing is sent or received."""
    told = tmp_path / "pid"
    parent = os.fork()
    if parent == 0:
        try:
            in_worker(wait_for_ever, told)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 20
    while not told.exists() or not told.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pid = int(told.read_text())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_whose_parent_is_dead_does_not_begin(tmp_path: Path) -> None:
    """A parent may be killed between the fork and the worker's first instruction, its task already sent."""
    life, alive = os.pipe()
    os.close(alive)
    ours, theirs = channel()
    ours.send((note, (tmp_path / "noted",), {}))
    worker = os.fork()
    if worker == 0:
        try:
            ours.close()
            serve_worker(theirs, mmap.mmap(-1, JOURNAL), life)
        finally:
            os._exit(2)
    os.close(life)
    ours.close()
    theirs.close()
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 1
    assert not (tmp_path / "noted").exists()


def note(path: Path) -> None:
    path.write_text("noted")


def wait_for_ever(told: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told.write_text(str(os.getpid()))
    while True:
        time.sleep(1)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_journal_holds_the_innermost_step_with_its_limits() -> None:
    journal = bytearray(JOURNAL)
    put_guard(Guard(journal, {}))
    try:
        assert noted(journal).step is None
        with step("rule", "model/invalid"):
            assert noted(journal).step == NativeStep("rule", "model/invalid")
            long = spot("", "\0" + "ü" * 5000)
            inner = call("inference", lambda: noted(journal), op="Relu", where=long)
            assert inner.step == NativeStep("inference", "Relu", long)
            assert len(long.encode()) < 400
            assert inner.seconds > 0
            assert inner.memory > 0
            assert noted(journal).step == NativeStep("rule", "model/invalid")
            assert noted(journal).seconds == 0
        assert noted(journal).step is None
    finally:
        put_guard(None)


def test_outside_of_a_worker_nothing_is_noted_or_limited() -> None:
    assert call("kind", lambda value: value + 1, 1) == 2
    with step("rule", "x/y"):
        pass


def test_nodes_are_given_up_after_several_deaths() -> None:
    deaths = Deaths()
    for index in range(3):
        assert deaths.learn(Died("dies (SIGSEGV)", NativeStep("inference", "Split", str(index)), -11))
    assert NativeStep("inference", "Split", ANY) in deaths.ended
    assert NativeStep("inference", ANY, ANY) not in deaths.ended
    for index in range(5):
        assert deaths.learn(Died("dies (SIGSEGV)", NativeStep("inference", f"Op{index}", "y"), -11))
    assert NativeStep("inference", ANY, ANY) in deaths.ended


def test_time_limits_do_not_add_up() -> None:
    deaths = Deaths()
    for index in range(3):
        step = NativeStep("inference", f"Op{index}", "y")
        assert deaths.learn(Died("takes more than 1 s", step, -27, at_limit=True))
    assert NativeStep("inference", ANY, ANY) in deaths.ended


def test_a_death_that_cannot_be_avoided_ends_the_work() -> None:
    assert not Deaths().learn(Died("dies (SIGSEGV)", None, -11))
    deaths = Deaths()
    died = Died("dies (SIGSEGV)", NativeStep("rule", "a/b"), -11)
    assert deaths.learn(died)
    assert not deaths.learn(died)
