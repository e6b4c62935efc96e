"""The work on an entry grows with its size, however many of its elements have a flaw."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlclint.cli.main import main
from dlclint.encodings import json_text
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.reading import read_bytes

CHANNELS = 1000
FORMS = {
    "legacy": {
        "param_encodings": {"w": [{"bitwidth": 8, "scale": 0.5, "offset": -128} for _ in range(CHANNELS)]}
    },
    "vectors": {
        "param_encodings": {"w": [{"bitwidth": 8, "scale": [1] * 2, "offset": [0] * 2}] * (CHANNELS // 2)}
    },
    "1.0.0": {
        "param_encodings": [{"name": "w", "bw": 8, "scale": [0.5] * CHANNELS, "offset": [0] * CHANNELS}]
    },
    "2.0.0": {
        "encodings": [
            {
                "name": "w",
                "output_dtype": "int8",
                "y_scale": [[0.5] * 2] * (CHANNELS // 2),
                "y_zero_point": [[0] * 2] * (CHANNELS // 2),
            }
        ]
    },
    "uneven": {"encodings": [{"name": "w", "output_dtype": "int8", "y_scale": [[0.5]] + [0.5] * 999}]},
    "many keys": {
        "encodings": [
            {
                **{f"k{index}": 0 for index in range(1000)},
                "name": "w",
                "output_dtype": "int8",
                "y_scale": [0.5] * CHANNELS,
            }
        ]
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_the_places_of_all_elements_take_few_readings_of_the_entry(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    document = read_bytes(json.dumps(FORMS[form]).encode(), Path("m.encodings"))
    assert document.tensors.count.tolist() == [CHANNELS]
    parsed = entries = 0
    parse_value, entry = json_text.parse_value, EncodingsDocument.entry

    def counted_value(*arguments: Any) -> Any:
        nonlocal parsed
        parsed += 1
        return parse_value(*arguments)

    def counted_entry(*arguments: Any) -> Any:
        nonlocal entries
        entries += 1
        return entry(*arguments)

    monkeypatch.setattr(json_text, "parse_value", counted_value)
    monkeypatch.setattr(EncodingsDocument, "entry", counted_entry)
    spelled = [document.spelling(0, document.field_path(row, "scale")) for row in range(CHANNELS)]
    assert set(spelled) <= {"0.5", "1"}
    assert entries == 1
    assert parsed < 10 * CHANNELS


def test_the_paths_of_all_offsets_take_one_reading_of_each_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `dlclint fix` asks for them, for each NaN of an entry."""
    text = json.dumps(FORMS["legacy"])
    document = read_bytes(text.encode(), Path("m.encodings"))
    read = 0
    members = json_text.members

    def counted(*arguments: Any) -> Iterator[json_text.Member]:
        nonlocal read
        for member in members(*arguments):
            read += 1
            yield member

    monkeypatch.setattr(json_text, "members", counted)
    offsets = [match.start() for match in re.finditer("0.5", text)]
    assert [document.path_at(offset)[2:] for offset in offsets] == [
        (channel, "scale") for channel in range(CHANNELS)
    ]
    assert read == CHANNELS * 4


_VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(_VALUES)
def test_the_path_at_an_offset_leads_back_to_what_encloses_it(value: Any) -> None:
    text = json.dumps(value)
    finder = json_text.Finder(text)
    for offset in range(len(text)):
        path = finder.path_at(0, offset)
        member, steps = finder.find(0, path)
        assert steps == len(path)
        begin = member.key_start if member.key_start >= 0 else member.start
        assert not path or begin <= offset < member.end
        inner = json_text.members(text, member.start)
        assert not any((m.start if m.key_start < 0 else m.key_start) <= offset < m.end for m in inner)


def test_fields_that_nothing_reads_make_no_kind_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an entry lacks is looked for once for all entries that have the same of the fields that decide."""
    entries = {f"a{i}": [{"bitwidth": 8, "min": -1.0, "max": 1.0, f"k{i}": 1}] for i in range(100)}
    path = tmp_path / "m.encodings"
    path.write_text(json.dumps({"version": "0.6.1", "activation_encodings": entries, "param_encodings": {}}))
    main(["check", "--isolated", "--no-cache", "--format", "concise", "--select", "encodings", str(path)])
    said = capsys.readouterr().out
    assert said.count("missing-field") == 4 * 21
    assert said.count("missing-field 80 more tensors have the same flaw") == 4


def test_a_section_that_holds_a_number_has_no_path() -> None:
    document = read_bytes(b'{"activation_encodings": {"x": 5}}', Path("m.encodings"))
    assert document.field_path(0, "scale") == ("scale",)
