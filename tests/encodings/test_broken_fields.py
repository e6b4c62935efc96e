"""Whatever a field holds, a conversion ends in a file or in a sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dlclint.encodings.convert import CannotConvert, TensorFacts, convert
from dlclint.encodings.reading import read_encodings

_CHANNEL = {"bitwidth": 8, "dtype": "int", "is_symmetric": "True", "min": -1.28, "max": 1.27, "scale": 0.01}
_LISTED = {"name": "w", "dtype": "INT", "bw": 8, "enc_type": "PER_TENSOR", "is_sym": True, "scale": [0.01]}
FILES: dict[str, Any] = {
    "0.6.1": {
        "version": "0.6.1",
        "activation_encodings": {},
        "param_encodings": {"w": [{**_CHANNEL, "offset": -128}]},
    },
    "1.0.0": {
        "version": "1.0.0",
        "activation_encodings": [],
        "param_encodings": [{**_LISTED, "offset": [-128]}],
    },
    "2.0.0": {
        "version": "2.0.0",
        "encodings": [
            {"name": "w", "output_dtype": "uint8", "y_scale": [0.01, 0.02], "y_zero_point": [3, 4], "axis": 0}
        ],
    },
    "2.1.0": {
        "version": "2.1.0",
        "encodings": [
            {"name": "w", "output_dtype": "int4", "axis": 0, "y_scale": {"x": [1, 2], "x_scale": 0.01}}
        ],
    },
}
MODELS: dict[str, dict[str, TensorFacts] | None] = {
    "no model": None,
    "its weight": {"w": TensorFacts(True, 0, 2)},
    "a weight of other channels": {"w": TensorFacts(True, 1, 3)},
    "an activation": {"w": TensorFacts(False, None, None)},
    "another model": {},
}
"""What the model next to a file states about its one tensor."""
VALUES = (None, "x", [], {}, True, -1, 1.5, [None], [[1]], ["a"], [1, 2, 3], 1e300)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def broken(whole: Any) -> Iterator[Any]:
    """The file with each of its values replaced, and with each left out."""
    for path in places(whole):
        for value in (*VALUES, ...):
            copied = copy.deepcopy(whole)
            around = copied
            for key in path[:-1]:
                around = around[key]
            if value is ...:
                del around[path[-1]]
            else:
                around[path[-1]] = value
            yield copied


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("version", FILES)
def test_a_broken_field_is_a_sentence(tmp_path: Path, version: str, model: str) -> None:
    path = tmp_path / "m.encodings"
    refused = 0
    for broken_file in broken(FILES[version]):
        path.write_text(json.dumps(broken_file))
        document = read_encodings(path)
        for target in ("0.6.1", "1.0.0", "2.0.0"):
            try:
                json.loads(convert(document, target, MODELS[model], True))
            except CannotConvert as problem:
                refused += 1
                assert all(len(loss.split()) > 3 for loss in problem.losses)
    assert refused > 20
