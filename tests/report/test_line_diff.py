"""Unified diffs: they are true, `difflib` writes the same of short texts, and long texts stay cheap."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlclint.report import line_diff
from dlclint.report.line_diff import unified

LINES = st.lists(st.sampled_from(["", "a", "b", "{", "}", "x: 1", "x: 2", "-", "+", "@@"]), max_size=60)


def applied(before: list[str], diff: list[str]) -> list[str]:
    """What a text becomes by a unified diff; asserts that context and removed lines are there."""
    after: list[str] = []
    position = 0
    for line in diff[2:]:
        if line.startswith("@@ "):
            start, _, count = line.split()[1][1:].partition(",")
            first = int(start) - (count != "0")
            after += before[position:first]
            position = first
            assert line.split()[2][1:].partition(",")[0] == str(
                len(after) + (not line.split()[2].endswith(",0"))
            )
        elif line.startswith("+"):
            after.append(line[1:])
        else:
            assert before[position] == line[1:]
            after += [line[1:]] * line.startswith(" ")
            position += 1
    return after + before[position:]


@given(LINES, LINES)
def test_applying_the_diff_gives_the_new_text(before: list[str], after: list[str]) -> None:
    assert applied(before, list(unified(before, after, "old", "new"))) == after


@given(LINES, LINES)
def test_pieces_that_are_not_compared_still_give_the_new_text(before: list[str], after: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_diff, "_COMPARED", 4)
        assert applied(before, list(unified(before, after, "old", "new"))) == after


def test_difflib_writes_the_same_of_a_short_text() -> None:
    before = [f"line {number}" for number in range(40)]
    after = [*before[:5], "new", *before[6:20], *before[22:], "last"]
    wanted = difflib.unified_diff(before, after, "old", "new", lineterm="")
    assert list(unified(before, after, "old", "new")) == list(wanted)


def test_equal_texts_have_no_diff() -> None:
    assert list(unified(["a"], ["a"], "old", "new")) == []


def test_a_text_of_which_every_tenth_line_changes_is_never_compared_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = 0

    class Counting(difflib.SequenceMatcher[str]):
        def __init__(self, isjunk: None, a: list[str], b: list[str], autojunk: bool = True) -> None:
            nonlocal compared
            compared += len(a) * len(b)
            super().__init__(isjunk, a, b, autojunk)

    monkeypatch.setattr(difflib, "SequenceMatcher", Counting)
    entries = [[f"t{number}: ["] + [str(part) for part in range(8)] + ["offset: 0"] for number in range(2000)]
    before = [line for entry in entries for line in entry]
    after = [line.replace("offset: 0", "offset: -128") for line in before]
    diff = list(unified(before, after, "old", "new"))
    assert sum(line == "+offset: -128" for line in diff) == 2000
    assert compared <= 100 * len(before)
