"""The fuzz: that it sees what goes wrong, that what it once found stays right, and a short run of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if os.name == "nt":
    pytest.skip("the fuzz forks, which Windows cannot", allow_module_level=True)

from dlclint.cli.main import parser
from fuzz import judge, server
from fuzz.case import SIDECAR, Case, load, store
from fuzz.minimize import minimized
from fuzz.surfaces import SURFACES, SWEEPS, build

HERE = Path(__file__).parent
CORPUS = HERE / "fuzz" / "corpus"


def misbehave(words: list[str]) -> int:
    """Replaces the command line: does what the first word states."""
    if words[0] == "die":
        os.abort()
    if words[0] == "leave":
        os._exit(0)
    if words[0] == "hang":
        while True:
            pass
    if words[0] == "grow":
        held = [bytes(1 << 20) for _ in range(1 << 12)]
        return len(held)
    if words[0] == "raise":
        raise KeyError("x")
    if words[0] == "drop":
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if words[0] == "native":
        os.write(1, b"Warning: from native code\n")
    if words[0] == "escape":
        print("\x1b[31m")
    if words[0] == "workflow":
        print("::error::x")
    if words[0] == "crashed":
        print("m.onnx: error engine/crashed-rule rule ops/x failed: TypeError: no")
    if words[0] == "other":
        return 7
    if words[0] == "eat":
        Path("m.onnx").write_bytes(b"")
    if words[0] in ("json", "native"):
        print('{"a": NaN}' if words[0] == "json" else "{}")
    return 0


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("die",), "death"),
        (("leave",), "death"),
        (("hang",), "slow"),
        (("grow",), "memory"),
        (("raise",), "traceback"),
        (("native", "--format", "json"), "invalid json"),
        (("json", "--format", "json"), "invalid json"),
        (("escape",), "control character"),
        (("workflow", "--format", "concise"), "workflow command"),
        (("crashed", "--format", "concise"), "crashed rule"),
        (("other",), "status"),
        (("eat",), "input changed"),
    ],
)
def test_every_flaw_is_seen(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], kind: str) -> None:
    """The inputs before and after the bad one are checked separately."""
    monkeypatch.setattr(judge, "_main", misbehave)
    events: list[dict[str, Any]] = []
    good = Case({"m.onnx": b"x"}, ("good",))
    bad = Case({"m.onnx": b"x"}, words)
    server.serve(enumerate([good, bad, good]), events.append, seconds=1.0)
    assert [event["index"] for event in events] == [0, 1, 2]
    assert [[flaw[0] for flaw in event["flaws"]] for event in events] == [[], [kind], []]
    assert events[0]["digest"] == events[2]["digest"] != ""


def test_what_drops_its_output_hides_no_other_flaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_main", misbehave)
    events: list[dict[str, Any]] = []
    cases = [Case({"m.onnx": b"x"}, (word,)) for word in ("drop", "escape")]
    server.serve(enumerate(cases), events.append, seconds=1.0)
    assert [[flaw[0] for flaw in event["flaws"]] for event in events] == [[], ["control character"]]


@pytest.mark.parametrize("surface", [*SURFACES, *SWEEPS])
def test_inputs_follow_from_their_number(surface: str) -> None:
    for index in range(40):
        first, second = build(surface, 3, index), build(surface, 3, index)
        assert first == second
        assert first.files
    assert len({tuple(build(surface, 3, index).files.values()) for index in range(40)}) > 20


def test_minimizing_keeps_the_flaw_and_little_else(tmp_path: Path) -> None:
    case = Case(
        {"m.onnx": b"a" * 500 + b"BAD" + b"b" * 300, "other": b"x"}, ("check", "--quantize", "m.onnx")
    )
    small = minimized(case, lambda candidate: b"BAD" in candidate.files.get("m.onnx", b""), 20.0)
    assert small.files == {"m.onnx": b"BAD"}
    assert load(store(small, tmp_path, "name", "cause")) == Case(
        small.files, small.arguments, f"name{SIDECAR}"
    )


@pytest.fixture(scope="session")
def replayed() -> dict[str, list[Any]]:
    """The flaws of every case of the corpus, run in children of one warm process."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--replay"], cwd=HERE.parent, stdout=subprocess.PIPE, check=False
    )
    events = [json.loads(line) for line in run.stdout.splitlines()]
    return {event["case"]: event["flaws"] for event in events}


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.glob(f"*{SIDECAR}")))
def test_what_was_found_stays_right(replayed: dict[str, list[Any]], name: str) -> None:
    assert replayed[name] == []


@pytest.mark.parametrize("surface", [*SURFACES, *SWEEPS])
def test_a_short_run_finds_nothing(surface: str) -> None:
    """The long one is a workflow of its own; `python -m tests.fuzz` minimizes what this one finds."""
    events: list[dict[str, Any]] = []
    server.serve(server.numbered(surface, 0, range(120)), events.append, near=True)
    assert [event["index"] for event in events] == list(range(120))
    assert {f"{surface} 0 {event['index']}": event["flaws"] for event in events if event["flaws"]} == {}


@pytest.mark.parametrize("surface", SURFACES)
def test_inputs_are_the_same_whatever_was_built_before(surface: str) -> None:
    first = [build(surface, 21000, index) for index in range(600)]
    assert [build(surface, 21000, index) for index in range(600)] == first


@pytest.mark.parametrize("surface", [name for name in (*SURFACES, *SWEEPS) if name != "config"])
def test_the_command_line_takes_the_words_of_every_input(surface: str) -> None:
    """Else an input is refused before what it holds is read, and shows nothing."""
    for number in range(60):
        words = list(build(surface, 0, number).arguments)
        try:
            args = parser(words[0]).parse_args(words)
        except SystemExit:
            pytest.fail(f"not understood: {' '.join(words)}")
        if words[0] == "plan":
            assert args.runtime or args.soc
