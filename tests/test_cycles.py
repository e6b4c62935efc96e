"""Models whose nodes form a cycle, which only damaged files have: no walk along them goes on for ever."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from dlclint.analysis.matching.terms import LONGEST, maker_behind
from dlclint.cli.main import main
from dlclint.model.reading import read

SECONDS = 20
HEAD = '<ir_version: 8, opset_import: ["" : 13]> g (float[720] x, int64[6] s) => (float[720] y)'
SIX = "float[1,2,3,4,5,6]"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no alarms")


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"it is not done after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "body",
    [
        f"<{SIX} a, {SIX} b> {{ a = Identity (b) b = Identity (a) y = Relu (x) }}",
        f"<{SIX} a> {{ a = Identity (a) y = Relu (x) }}",
        f"<{SIX} a> {{ a = Transpose (a) y = Relu (x) }}",
        f"<{SIX} r, {SIX} a> {{ r = Reshape (x, s) a = Identity (r) a = Identity (a) y = Relu (x) }}",
        f"<{SIX} r, {SIX} a> {{ r = Reshape (x, s) a = Identity (r) r = Identity (a) y = Relu (x) }}",
        "<float[720] c, float w = {2}> { c = Cast <to = 1> (c) y = Mul (w, c) }",
        "<float[720] c, float[720] d, float w = {2}>"
        " { c = Cast <to = 1> (d) d = Cast <to = 1> (c) y = Mul (w, c) }",
    ],
)
@pytest.mark.parametrize("options", [(), ("--quantize",)], ids=["", "quantized"])
def test_every_rule_ends(body: str, options: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "m.onnxtxt"
    path.write_text(f"{HEAD} {body}")
    assert main(["check", "--isolated", "--no-cache", "--runtime", "htp", *options, str(path)]) == 1


def test_a_chain_is_followed_to_its_end_and_not_around_a_cycle(tmp_path: Path) -> None:
    path = tmp_path / "m.onnxtxt"
    names = [f"i{number}" for number in range(LONGEST + 2)]
    chain = " ".join(f"{name} = Identity ({before})" for before, name in itertools.pairwise(names))
    path.write_text(f"{HEAD} {{ i0 = Abs (x) {chain} c = Identity (c) y = Relu (x) }}")
    graph = read(path).graph
    behind = maker_behind(graph, names[LONGEST - 1], ("Identity",))
    assert behind is not None and behind.op_type == "Abs"
    assert maker_behind(graph, names[-1], ("Identity",)) is None
    assert maker_behind(graph, "c", ("Identity",)) is None
    assert maker_behind(graph, "x", ("Identity",)) is None
