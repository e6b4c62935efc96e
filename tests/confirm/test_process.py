"""The protocol between parent and worker, with a worker that needs no backend."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dlclint.confirm.process import NotAvailable, QuestionLimits, SessionNode, backend

FAKE = (sys.executable, str(Path(__file__).parent / "fake_worker.py"))


def test_answers_come_back_with_their_log(tmp_path: Path) -> None:
    with backend(QuestionLimits(), FAKE) as asked:
        first = asked.ask(b"one", tmp_path, "43")
        second = asked.ask(b"two", tmp_path, "30")
    assert (first.error, first.log, first.ended) == ("one", "log of one for 43\n", "")
    assert (second.error, second.log) == ("two", "log of two for 30\n")
    assert first.placed == (SessionNode("QNNExecutionProvider", "a", "Relu", ""),)


@pytest.mark.parametrize(
    ("word", "limits", "ended"),
    [
        ("crash", QuestionLimits(), "the process died (SIGSEGV)"),
        ("exit", QuestionLimits(), "the process ended with status 7"),
        ("sleep", QuestionLimits(seconds=0.5), "took longer than 0.5 s"),
        pytest.param(
            "fill",
            QuestionLimits(memory=200 << 20),
            "took more than 0.195312 GiB of memory",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux"),
        ),
    ],
)
def test_the_rest_goes_on(word: str, limits: QuestionLimits, ended: str, tmp_path: Path) -> None:
    with backend(limits, FAKE) as asked:
        before = asked.ask(b"before", tmp_path, "43")
        ill = asked.ask(word.encode(), tmp_path, "43")
        after = asked.ask(b"after", tmp_path, "43")
    assert (before.ended, after.ended, after.error) == ("", "", "after")
    assert ill.ended == ended
    assert ill.log == f"log of {word} for 43\n", "what was said before the end is kept"


def test_a_backend_that_cannot_be_loaded(tmp_path: Path) -> None:
    says = 'import json; print(json.dumps({"failed": "OSError: libx.so is missing"}))'
    with (
        backend(QuestionLimits(), (sys.executable, "-c", says)) as asked,
        pytest.raises(NotAvailable, match=r"libx\.so is missing"),
    ):
        asked.ask(b"x", tmp_path, "43")


def test_a_process_that_dies_while_it_loads(tmp_path: Path) -> None:
    with (
        backend(QuestionLimits(), (sys.executable, "-c", "raise SystemExit(9)")) as asked,
        pytest.raises(NotAvailable, match="status 9"),
    ):
        asked.ask(b"x", tmp_path, "43")
