"""The work on an entry grows with its size, however many of its elements have a flaw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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


def test_a_section_that_holds_a_number_has_no_path() -> None:
    document = read_bytes(b'{"activation_encodings": {"x": 5}}', Path("m.encodings"))
    assert document.field_path(0, "scale") == ("scale",)
