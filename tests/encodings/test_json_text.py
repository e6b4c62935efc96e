"""Almost-JSON: what is not JSON is found in one walk, whatever is left open."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlclint.encodings import json_text
from dlclint.encodings.json_text import almost_json


@pytest.mark.parametrize(
    "text", ['"' + '\\"' * 500, '"' + "a, } // /* # " * 50, '"a\\'], ids=["quotes", "all", "end"]
)
def test_a_string_without_an_end_is_one_token(text: str) -> None:
    assert [match.end() for match in json_text._TOKEN.finditer(text)] in ([len(text)], [len(text) - 1])
    assert almost_json(text) == (text, [])


def test_the_end_of_a_comment_is_looked_for_once() -> None:
    class Counting(str):
        looked = 0

        def find(self, *arguments: object) -> int:
            Counting.looked += 1
            return super().find(*arguments)  # type: ignore[arg-type]

    text = Counting('{"a": ' + "/* " * 500)
    assert almost_json(text) == (text, [])
    assert Counting.looked == 1


def test_comments_commas_and_quotes() -> None:
    text = '{"a": 1, // one\n "b /* x */": [1, 2, /* two\nlines */ ], # three\n “c”: "// no, }", }'
    fixed, flaws = almost_json(text)
    assert len(fixed) == len(text)
    assert fixed.count("\n") == text.count("\n")
    assert re.sub(r"\s+", "", fixed) == '{"a":1,"b/*x*/":[1,2],"c":"//no,}"}'
    assert [text[flaw.start] for flaw in flaws] == ["/", ",", "/", "#", "“", "”", ","]


@given(st.text('"\\/*#,}]“ \na1', max_size=40))
def test_fixed_text_needs_no_fix(text: str) -> None:
    fixed, _ = almost_json(text)
    assert len(fixed) == len(text)
    # Of several commas in a row each time the last one goes, and a straightened quote may open a string.
    for _ in range(text.count(",") + text.count("“") + 1):
        fixed, _ = almost_json(fixed)
    assert almost_json(fixed)[1] == []


@pytest.mark.parametrize(
    ("frame", "levels"),
    [
        ("[DEEP]", 1),
        ('["[[{", DEEP]', 1),
        ('["]}]", DEEP]', 1),
        ('["\\"[", DEEP]', 1),
        ('[{"[{": DEEP}]', 2),
        ("[[[]], DEEP]", 1),
    ],
)
@pytest.mark.parametrize("depth", [3, 99, 100, 101, 3_000])
def test_the_depth_is_that_of_brackets_outside_of_strings(frame: str, levels: int, depth: int) -> None:
    inner = depth - levels
    text = frame.replace("DEEP", "[" * inner + "]" * inner)
    assert json_text.nests_too_deep(text, 0, len(text)) is (depth > json_text.MAX_DEPTH)
    beside = f"[{', '.join(['[1], {}'] * 3_000)}, {text[1:]}"
    assert json_text.nests_too_deep(beside, 0, len(beside)) is (depth > json_text.MAX_DEPTH)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    text = f"[{', '.join(['[[[[1]]]]'] * 5_000)}]"
    assert not json_text.nests_too_deep(text, 0, len(text))
    with pytest.raises(json_text.NotJson, match="nest too deep"):
        json_text.parse_value(json_text.PLAIN, "[" * 101 + "]" * 101, 0)
    assert json_text.parse_value(json_text.PLAIN, "[" * 100 + "]" * 100, 0)[1] == 200
