"""What a format cannot hold is refused, and what it holds as an escape stays one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dlclint.encodings.convert import CannotConvert, convert
from dlclint.encodings.reading import read_bytes

VERSIONS = ("0.6.1", "1.0.0", "2.0.0")
ENTRY = '{"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "scale": 1.0, "offset": 0}'


def legacy(name: str = "a", entry: str = ENTRY, more: str = "") -> bytes:
    sections = f'"activation_encodings": {{"{name}": [{entry}]}}, "param_encodings": {{}}'
    return f'{{"version": "0.6.1", {more} {sections}}}'.encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_half_of_a_pair_stays_an_escape(version: str) -> None:
    text = convert(read_bytes(legacy(name=r"\ud800"), Path("m.encodings")), version)
    text.encode()
    assert r'"\ud800"' in text


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
def test_a_number_that_json_does_not_have_is_refused(version: str, number: str) -> None:
    document = read_bytes(legacy(more=f'"x": {number},'), Path("m.encodings"))
    with pytest.raises(CannotConvert, match="which JSON does not have"):
        convert(document, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_bits_are_whole(version: str) -> None:
    whole = read_bytes(legacy(entry=ENTRY.replace("8", "8.0")), Path("m.encodings"))
    assert "8.0" not in convert(whole, version)
    half = read_bytes(legacy(entry=ENTRY.replace("8", "8.5")), Path("m.encodings"))
    with pytest.raises(CannotConvert, match=r"no tensor has values of 8\.5 bits"):
        convert(half, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_several_scales_of_one_tensor_are_refused(version: str) -> None:
    entry = {"name": "a", "bw": 8, "dtype": "INT", "enc_type": "PER_TENSOR", "is_sym": False}
    entry |= {"scale": [1.0, 2.0], "offset": [0, 0]}
    whole = {"version": "1.0.0", "activation_encodings": [entry], "param_encodings": []}
    with pytest.raises(CannotConvert, match="PER_TENSOR has one scale, not 2"):
        convert(read_bytes(json.dumps(whole).encode(), Path("m.encodings")), version)


@pytest.mark.parametrize("dtype", ["int\u0668", "int1_6", "int 8"])
def test_a_type_is_read_as_the_reader_reads_it(dtype: str) -> None:
    entry = {"name": "a", "output_dtype": dtype, "y_scale": 1.0}
    whole = {"version": "2.0.0", "encodings": [entry]}
    with pytest.raises(CannotConvert, match="has no place in the other formats"):
        convert(read_bytes(json.dumps(whole).encode(), Path("m.encodings")), "0.6.1", {})
