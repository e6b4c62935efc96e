"""Paper wraps at words within its width, counts wide characters, and colours only where it may."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlclint.report.paper import Paper, Table, Text, cells

WORDS = st.lists(
    st.text(st.characters(exclude_categories=("C", "Z", "M")), min_size=1, max_size=30), max_size=40
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(WORDS, st.integers(0, 60))
def test_nothing_is_lost_and_nothing_sticks_out(words: list[str], indent: int) -> None:
    paper = Paper(None)
    paper.print(Text(" ".join(words)), indent)
    lines = str(paper).splitlines()
    assert all(cells(line) <= 100 for line in lines)
    assert "".join("".join(lines).split()) == "".join(words)
    assert all(line.startswith(" " * indent) for line in lines if line)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_tables_keep_every_cell(rows: list[tuple[list[str], list[str]]]) -> None:
    table = Table("one", "two")
    for left, right in rows:
        table.add_row(Text(" ".join(left)), Text(" ".join(right)))
    paper = Paper(None)
    paper.print(table, 2)
    text = str(paper)
    assert all(cells(line) <= 100 for line in text.splitlines())
    given_marks = sorted("".join("".join((*left, *right)) for left, right in rows))
    assert sorted("".join(text.split())) == sorted([*"onetwo", *given_marks])


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(stream: io.StringIO) -> str:
        paper = Paper(stream)
        paper.print(Text.assemble(("bad", "bold red"), " luck"))
        return str(paper)

    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert shown(io.StringIO()) == "bad luck\n"
    assert shown(Terminal()) == "\x1b[1;31mbad\x1b[0m luck\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(Terminal()) == "bad luck\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert shown(Terminal()) == "bad luck\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in shown(Terminal())


def test_wide_characters_take_two_cells() -> None:
    assert cells("a漢b") == 4
    table = Table("name", "x")
    table.add_row(Text("漢字"), Text("1"))
    table.add_row(Text("four"), Text("2"))
    paper = Paper(None)
    paper.print(table)
    assert str(paper) == "name  x\n漢字  1\nfour  2\n"
