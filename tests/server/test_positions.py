"""Offsets and positions are inverse, in each of the protocol's units; cursors in unfinished JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlclint.server.cursor import cursor_at
from dlclint.server.positions import Positions

TEXTS = st.text(st.sampled_from('ab\n\r é\U0001f600"{}[]:,name'), max_size=60)


@given(TEXTS, st.sampled_from(["utf-8", "utf-16", "utf-32"]), st.integers(0, 60))
def test_positions_are_inverse(text: str, units: str, offset: int) -> None:
    positions = Positions(text, units)
    offset = min(offset, len(text))
    if text[offset - 1 : offset + 1] != "\r\n":  # between the two there is no position of its own
        assert positions.offset(positions.position(offset)) == offset


@given(TEXTS, st.integers(0, 60))
def test_a_cursor_is_in_its_string(text: str, offset: int) -> None:
    cursor = cursor_at(text, min(offset, len(text)))
    if cursor is not None:
        start, end = cursor.inside
        assert start <= min(offset, len(text)) <= end
        assert text[start:end] == cursor.written


@pytest.mark.parametrize(
    ("text", "is_name"),
    [
        ('{"activation_encodings": {"a|', True),
        ('{"param_encodings": {"x": [{"scale": [1, 2]}], "a|', True),
        ('{"param_encodings": {"x": [{"a|', False),
        ('{"activation_encodings": [{"name": "a|", "bw": 8}]}', True),
        ('{"encodings": [{"output_dtype": "int8"}, {"y_scale": 1, "name": "a|', True),
        ('{"encodings": [{"output_dtype": "a|', False),
        ('{"encodings": {"a|', False),
        ('{"producer": {"name": "a|', False),
        ('{"a|', False),
    ],
)
def test_where_a_name_belongs(text: str, is_name: bool) -> None:
    cursor = cursor_at(text.replace("|", ""), text.index("|"))
    assert cursor is not None
    assert (cursor.before, cursor.is_name) == ("a", is_name)
