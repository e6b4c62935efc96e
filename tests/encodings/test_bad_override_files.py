"""Whatever a file holds: findings with a place, no traceback, nothing that steers a terminal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlclint.cli.main import main
from dlclint.encodings import json_text
from dlclint.encodings.convert import CannotConvert, convert
from dlclint.encodings.reading import read_bytes, read_encodings
from dlclint.encodings.show import differences, rows
from dlclint.engine.fix.overrides import fix_overrides
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file

ENTRY = {
    "bitwidth": 8,
    "dtype": "int",
    "is_symmetric": "False",
    "max": 1.28,
    "min": -1.27,
    "offset": -127.0,
    "scale": 0.01,
}
LEGACY = {"activation_encodings": {"x": [ENTRY]}, "param_encodings": {}, "version": "0.6.1"}
GOOD = json.dumps(LEGACY, indent=2)


def text(content: str, coding: str = "utf-8") -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode(coding))


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), 2 << 30)


def brackets(path: Path) -> None:
    """1 GB of opening brackets, written in pieces."""
    piece = b"[" * (1 << 24)
    with path.open("wb") as stream:
        for _ in range(64):
            stream.write(piece)


def swapped(old: str, new: str) -> Callable[[Path], object]:
    assert old in GOOD
    return text(GOOD.replace(old, new, 1))


DEEP = "[" * 10_000 + "]" * 10_000


def scaled(**scale: Any) -> Callable[[Path], object]:
    """A file of 2.1.0 with one entry, whose scale is itself quantized."""
    entry = {"name": "w", "output_dtype": "int4", "axis": 0, "block_size": 1, "y_scale": scale}
    return text(json.dumps({"version": "2.1.0", "encodings": [entry]}))


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (text(""), "1:1: error encodings/syntax the file is empty"),
    "spaces": (text(" \n "), "1:1: error encodings/syntax the file holds only white space"),
    "prose": (text("Hello, world"), "1:1: error encodings/syntax not JSON"),
    "number": (text("12"), "1:1: error encodings/layout the top level is 12"),
    "list": (text("[]"), "1:1: error encodings/layout the top level is a list"),
    "cut": (text(GOOD[:150]), "error encodings/syntax the file ends in the middle"),
    "cut in a name": (text('{"activation_encodings": {"x'), "1:27: error encodings/syntax"),
    "trailing text": (text(GOOD + "\nxyz"), ":18:1: error encodings/syntax text follows"),
    "no comma": (swapped('"int",', '"int"'), ":7:9: error encodings/syntax"),
    "trailing comma": (swapped("0.01", "0.01,"), ":11:22: error encodings/syntax a comma before"),
    "curly": (swapped('"dtype"', "“dtype”"), ":6:9: error encodings/syntax a curly quote (U+201C)"),
    "comment": (swapped('"dtype"', '// why\n"dtype"'), ":6:9: error encodings/syntax a comment"),
    "single quotes": (text("{'version': '0.6.1'}"), "1:2: error encodings/syntax ' (U+0027) is used where"),
    "key twice": (swapped('"max": 1.28', '"max": 1.0, "max": 1.28'), ":8:21: error encodings/duplicate-key"),
    "tensor twice": (
        swapped('"x": [', '"x": [{"bitwidth": 16, "dtype": "float"}],\n "x": ['),
        ":4:2: error encodings/duplicate-key",
    ),
    "section twice": (
        swapped('"param_encodings"', '"activation_encodings"'),
        "error encodings/duplicate-key",
    ),
    "NaN": (swapped("1.28", "NaN"), ":8:16: error encodings/syntax NaN is not a JSON number"),
    "Infinity": (
        swapped("1.28", "-Infinity"),
        ":8:16: error encodings/syntax -Infinity is not a JSON number",
    ),
    "1e400": (swapped("1.28", "1e400"), ":8:9: error encodings/field-type 'x': max is larger than a float32"),
    "long integer": (swapped("1.28", "9" * 400), ":8:9: error encodings/field-type 'x': max is larger"),
    "very long integer": (swapped("1.28", "9" * 5000), "error encodings/syntax a number cannot be read"),
    "as deep as is read": (swapped("1.28", "[" * 98 + "]" * 98), ":8:9: error encodings/field-type"),
    "deeper by one": (
        swapped("1.28", "[" * 99 + "]" * 99),
        ":3:10: error encodings/syntax lists or objects nest",
    ),
    "deep value": (swapped("1.28", DEEP), "encodings/syntax lists or objects nest too deep"),
    "deep top": (text(DEEP), "1:1: error encodings/syntax lists or objects nest too deep"),
    "deep sections": (
        text('{"activation_encodings":' * 5_000 + "{}" + "}" * 5_000),
        "error encodings/syntax the file holds more than 16 sections",
    ),
    "many sections": (
        text("{" + ",".join(['"activation_encodings": {"a": 1}'] * 2_000) + "}"),
        "error encodings/syntax the file holds more than 16 sections",
    ),
    "many sections in one": (
        text('{"param_encodings": {' + ",".join(['"activation_encodings": {"a": 1}'] * 2_000) + "}}"),
        "error encodings/syntax the file holds more than 16 sections",
    ),
    "scale in blocks of a thousand million": (
        scaled(x=[[1, 2], [3, 4]], x_scale=[[1.0], [1.0]], axis=1, block_size=10**9),
        "info encodings/block-quantization 'w': low-power block quantization",
    ),
    "scale in blocks beyond 64 bits": (
        scaled(x=[[1, 2], [3, 4]], x_scale=[[1.0], [1.0]], axis=1, block_size=10**30),
        "info encodings/block-quantization 'w': low-power block quantization",
    ),
    "scale of seventy dimensions": (
        scaled(x=json.loads("[" * 70 + "1" + "]" * 70), x_scale=1.0),
        "encodings/field-type 'w': x_scale or x_zero_point of y_scale does not fit x",
    ),
    "deep objects": (text('{"a":' * 10_000), "encodings/syntax lists or objects nest too deep"),
    "null entry": (
        swapped(json.dumps([ENTRY], indent=2)[:1] + "\n", "[ null,\n"),
        "encodings/layout 'x': entry 0 is null",
    ),
    "null section": (swapped('"param_encodings": {}', '"param_encodings": null'), "is null, not a section"),
    "null version": (swapped('"0.6.1"', "null"), ":16:14: error encodings/version version is null"),
    "bool as number": (swapped("1.28", "true"), ":8:9: error encodings/field-type 'x': max is true"),
    "text as number": (swapped("1.28", '"1.28"'), ":8:9: error encodings/field-type"),
    "bom": (text(GOOD, "utf-8-sig"), "1:1: error encodings/syntax the file begins with a byte-order mark"),
    "utf-16": (text(GOOD, "utf-16"), "1:1: error encodings/syntax the file is UTF-16"),
    "utf-16 without mark": (text(GOOD, "utf-16-be"), "1:1: error encodings/syntax the file is UTF-16"),
    "latin-1": (text('{"é": 1}', "latin-1"), "error encodings/syntax byte 2 (line 1) is not UTF-8"),
    "binary": (
        lambda path: path.write_bytes(bytes(range(255, 0, -1))),
        "1:1: error encodings/syntax the file is neither UTF-8 nor UTF-16",
    ),
    "lone surrogate": (swapped('"x"', '"\\ud800"'), "0 errors"),
    "zeros": (sparse, "1:1: error encodings/syntax the file has 2,147,483,648 bytes"),
    "gigabyte of brackets": (brackets, "1:1: error encodings/syntax the file has 1,073,741,824 bytes"),
    "lfs pointer": (text("version https://git-lfs.github.com/spec/v1\noid x\n"), "is a Git LFS pointer"),
    "steering names": (swapped('"x"', r'"\u001b[31m\u202e[bold]"'), "0 errors"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    write, expected = CASES[case]
    path = tmp_path / "m.encodings"
    write(path)
    for form in ("concise", "rich", "json", "sarif"):
        status = main(["check", "--isolated", "--fail-on", "info", "--format", form, str(path)])
        output = capsys.readouterr()
        assert output.err == ""
        assert "crashed-rule" not in output.out.replace('"engine/crashed-rule"', "")
        assert not set(output.out) & {"\x1b", "\u202e", "\r"}
        if form == "concise":
            assert expected in output.out
            assert status == (0 if expected == "0 errors" else 1)


def test_too_many_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_CONTAINERS", 1000)
    path = tmp_path / "m.encodings"
    path.write_text("[" * 1001)
    document = read_encodings(path)
    assert [flaw.message for flaw in document.flaws] == ["the file holds more than 1,000 lists and objects"]
    assert not document.tensors.names


KEYS = [
    *("activation_encodings", "param_encodings", "encodings", "version", "name", "bitwidth", "bw", "dtype"),
    *("is_symmetric", "is_sym", "min", "max", "scale", "offset", "enc_type", "output_dtype", "y_scale"),
    *(
        "y_zero_point",
        "axis",
        "block_size",
        "per_block_int_scale",
        "per_channel_float_scale",
        "compressed_bw",
    ),
    *("input", "x", "x_scale", "quantizer_args", "zero_point_shift"),
]
WORDS = [
    *("0.6.1", "1.0.0", "2.0.0", "0.5.0", "int", "float", "INT", "FLOAT", "True", "False", "true", "uint8"),
    *("int4", "int99", "float16", "PER_TENSOR", "PER_CHANNEL", "PER_BLOCK", "LPBQ", "", "x", "w"),
]
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-300, 300),
    st.sampled_from([0, 1, 4, 8, 16, 32, 33, -1, -127, -128, 1 << 40, -(1 << 70)]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 0.1, 1e-9, 5e-324, 1e308, -1e308]),
    st.sampled_from(WORDS),
    st.text(max_size=3),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=2), inner, max_size=8),
    ),
    max_leaves=25,
)


def entries(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """Entries with most of these fields, of mostly plausible types."""
    numbers = st.one_of(
        st.integers(-260, 260), st.floats(-10, 10), LEAVES, st.lists(LEAVES, max_size=3), VALUES
    )
    fields = dict.fromkeys(keys, numbers) | {
        key: st.sampled_from(WORDS) | LEAVES
        for key in ("dtype", "is_symmetric", "enc_type", "output_dtype", "name")
        if key in keys
    }
    return st.fixed_dictionaries({}, optional=fields)


LEGACY_ENTRY = entries("bitwidth", "dtype", "is_symmetric", "min", "max", "scale", "offset")
LIST_ENTRY = entries(
    "name", "bw", "dtype", "is_sym", "scale", "offset", "enc_type", "block_size", "compressed_bw"
)
FLAT_ENTRY = entries("name", "output_dtype", "y_scale", "y_zero_point", "axis", "block_size", "bw")
NAMES = st.sampled_from(["x", "w", "y", "/a/b_output_0", "param_encodings", "é"])
SECTION = st.one_of(
    st.dictionaries(NAMES, st.lists(LEGACY_ENTRY, max_size=3) | LEGACY_ENTRY | VALUES, max_size=4),
    st.lists(LIST_ENTRY | VALUES, max_size=4),
)
FILES: st.SearchStrategy[Any] = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {},
        optional={
            "activation_encodings": SECTION | VALUES,
            "param_encodings": SECTION,
            "encodings": st.lists(FLAT_ENTRY | VALUES, max_size=4) | VALUES,
            "version": st.sampled_from(WORDS) | LEAVES,
            "quantizer_args": VALUES,
        },
    ),
)
MODEL = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1,2,4,4] x) => (float[1,3,4,4] z)
<float[3,2,1,1] w = {1,-1,2,-2,0.5,0}, float[3] b = {0,0,0}> { y = Conv(x, w, b)  z = Relu(y) }
"""
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_whole(path: Path, data: bytes) -> None:
    """Everything that is done with a file, on any bytes."""
    path.write_bytes(data)
    lines = data.count(b"\n") + 1
    for model in (None, path.with_suffix(".onnxtxt")):
        job = Job(path, kind="encodings", model=model)
        for finding in lint_file(job).diagnostics:
            assert finding.rule != "engine/crashed-rule", finding.message
            location = finding.location
            assert location.pointer is not None
            assert location.line is not None and 1 <= location.line <= lines
            assert location.column is not None and location.column >= 1
        for unsafe in (False, True):
            fixed = fix_overrides(job, unsafe)
            again = read_bytes(fixed.text_after.encode("utf-8", "surrogatepass"), path)
            if not any(flaw.kind == "syntax" for flaw in read_encodings(path).flaws):
                assert again.whole
    document = read_encodings(path)
    list(rows(document))
    list(differences(document, document))
    for version in ("0.6.1", "1.0.0", "2.0.0"):
        try:
            json.loads(convert(document, version))
        except CannotConvert as error:
            assert error.losses


@FEW
@given(FILES, st.sampled_from([None, 1]))
def test_any_json(tmp_path: Path, value: Any, indent: int | None) -> None:
    tmp_path.joinpath("m.onnxtxt").write_text(MODEL)
    check_whole(tmp_path / "m.encodings", json.dumps(value, indent=indent).encode())


@FEW
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    tmp_path.joinpath("m.onnxtxt").write_text(MODEL)
    check_whole(tmp_path / "m.encodings", data)


@FEW
@given(st.integers(0, len(GOOD)), st.integers(0, 3), st.text('{}[]",:\\ \n/#“0e-.NaN', max_size=3))
def test_any_typing_error(tmp_path: Path, at: int, removed: int, typed: str) -> None:
    tmp_path.joinpath("m.onnxtxt").write_text(MODEL)
    check_whole(tmp_path / "m.encodings", (GOOD[:at] + typed + GOOD[at + removed :]).encode())
