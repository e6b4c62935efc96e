"""Reading: the same entries and places whatever the layout of the text, and however long it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlclint.cli.main import main
from dlclint.encodings import json_text, reading
from dlclint.encodings.document import EncodingsDocument, Layout
from dlclint.encodings.effect import tool_commands
from dlclint.encodings.reading import read_bytes
from dlclint.encodings.recognition import encodings_beside, is_encodings, model_beside
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file

HERE = Path("m.encodings")
NUMBERS = st.floats(-1e6, 1e6)
NAMES = st.text(min_size=1, max_size=6) | st.sampled_from(["a:0", '"', "x\\", "], ", "}, {", '": ['])


def leaf(layout: Layout) -> st.SearchStrategy[dict[str, Any]]:
    if layout is Layout.LEGACY:
        return st.fixed_dictionaries(
            {"bitwidth": st.integers(2, 32), "scale": NUMBERS},
            optional={
                "offset": NUMBERS,
                "min": NUMBERS,
                "max": NUMBERS,
                "dtype": st.sampled_from(["int", "float"]),
            },
        )
    if layout is Layout.LIST:
        pair = st.integers(1, 3).flatmap(
            lambda n: st.tuples(*[st.lists(NUMBERS, min_size=n, max_size=n)] * 2)
        )
        return pair.map(lambda numbers: {"bw": 8, "dtype": "INT", "scale": numbers[0], "offset": numbers[1]})
    return NUMBERS.map(lambda scale: {"output_dtype": "uint8", "y_scale": scale, "y_zero_point": 3})


@st.composite
def files(draw: st.DrawFn) -> tuple[Layout, dict[str, Any]]:
    layout = draw(st.sampled_from(Layout))
    names = draw(st.lists(NAMES, max_size=12, unique=True))
    if layout is Layout.LEGACY:
        value: Any = {name: draw(st.lists(leaf(layout), min_size=1, max_size=3)) for name in names}
    else:
        value = [{**draw(leaf(layout)), "name": name} for name in names]
    key = (
        "encodings"
        if layout is Layout.FLAT
        else draw(st.sampled_from(["activation_encodings", "param_encodings"]))
    )
    return layout, {"first": [1, {"a": 2}], key: value, "version": layout.value}


def columns(document: EncodingsDocument) -> list[list[Any]]:
    """Everything that was read, as plain lists."""
    elements = document.elements
    parts = [getattr(elements, name) for name in elements.__slots__]
    return [document.tensors.names, *(np.nan_to_num(part, nan=-7.5).tolist() for part in parts)]


@settings(max_examples=80, deadline=None)
@given(
    files(),
    st.sampled_from([None, 0, 1, 4]),
    st.sampled_from([",", " ,", ", \n"]),
    st.sampled_from([":", " : "]),
)
def test_spans_and_single_entries_agree(
    file: tuple[Layout, dict[str, Any]], indent: int | None, comma: str, colon: str
) -> None:
    """With spans of a few characters, of everything, and entry by entry: the same document."""
    layout, value = file
    text = json.dumps(value, indent=indent, separators=(comma, colon), ensure_ascii=False)
    data = text.encode("utf-8", "surrogatepass")
    spellings = []
    for span in (1, 40, 1 << 16):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "_SPAN", span)
            spellings.append(read_bytes(data, HERE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading._Reader, "_span", lambda *_: None)
        spellings.append(read_bytes(data, HERE))
    for document in spellings:
        assert columns(document) == columns(spellings[0])
        assert document.flaws == spellings[0].flaws
        assert document.whole and document.version == layout.value
        names = [name for _, name, _ in document.entries()]
        held = next(v for k, v in value.items() if k.endswith("encodings"))
        expected = (
            list(held.items()) if isinstance(held, dict) else [(entry["name"], entry) for entry in held]
        )
        assert names == [name for name, _ in expected]
        assert [entry for *_, entry in document.entries()] == [entry for _, entry in expected]
        for row in range(len(names)):
            pointer, line, column = document.place(row, ())
            offset = sum(len(part) + 1 for part in text.split("\n")[: line - 1]) + column - 1
            assert follow(value, pointer) == expected[row][1]
            start = document.places[row].start
            assert document.path_at(start) == document.entry_path(row)
            assert offset == (document.places[row].key_start if isinstance(held, dict) else start)


def follow(value: Any, pointer: str) -> Any:
    """What a JSON pointer leads to (RFC 6901)."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def test_pointer_escapes() -> None:
    assert json_text.pointer(("param_encodings", "a/b~c", 0, "min")) == "/param_encodings/a~1b~0c/0/min"


GOOD = (
    '{"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 1.28, "min": -1.27, "offset": -127,'
    ' "scale": 0.01}'
)


def test_place_in_a_large_file(tmp_path: Path) -> None:
    """One flaw near the end of 40,000 entries, on a line of its own, is reported with its column."""
    count, wrong = 40_000, 39_990
    lines = [f'  "é/{number}": [{GOOD}],' for number in range(count)]
    lines[wrong] = lines[wrong].replace("-127", " 127")
    text = (
        '{"activation_encodings": {\r\n'
        + "\r\n".join(lines)[:-1]
        + '\r\n}, "param_encodings": {}, "version": "0.6.1"}'
    )
    path = tmp_path / "m.encodings"
    path.write_text(text, "utf-8", newline="")
    (finding,) = lint_file(Job(path, kind="encodings")).diagnostics
    assert finding.rule == "encodings/offset-sign"
    assert finding.location.pointer == f"/activation_encodings/é~1{wrong}/0/offset"
    assert finding.location.line == wrong + 2
    assert finding.location.column == lines[wrong].index('"offset"') + 1


def test_the_rest_is_counted_from_the_first_one_left_out(tmp_path: Path) -> None:
    lines = [f'"{number}": [{GOOD}]'.replace("-127", "127") for number in range(50)]
    path = tmp_path / "m.encodings"
    path.write_text(
        '{"activation_encodings": {\n' + ",\n".join(lines) + '},\n"param_encodings": {}, "version": "0.6.1"}'
    )
    findings = lint_file(Job(path, kind="encodings")).diagnostics
    assert [finding.location.line for finding in findings] == list(range(2, 23))
    assert findings[-1].message == "30 more tensors have the same flaw, from here on"


@pytest.mark.parametrize(
    ("value", "layout", "flaw"),
    [
        ({"activation_encodings": {"x": [{"bitwidth": 8}]}}, Layout.LEGACY, ""),
        ({"activation_encodings": [], "param_encodings": []}, Layout.LIST, ""),
        ({"encodings": [], "version": "2.1.0"}, Layout.FLAT, ""),
        (
            {"activation_encodings": {"m": {"input": {"0": {"bitwidth": 8}}}}, "version": "1.0.0"},
            Layout.LEGACY,
            "torch",
        ),
        ({"param_encodings": {"w": {"bitwidth": 8}}}, Layout.LEGACY, "layout"),
        ({"encodings": {"w": []}}, None, "layout"),
    ],
)
def test_recognition_by_shape(value: Any, layout: Layout | None, flaw: str) -> None:
    document = read_bytes(json.dumps(value).encode(), HERE)
    assert document.layout is layout
    assert [flaw.kind for flaw in document.flaws] == ([flaw] if flaw else [])


def test_double_quantization_of_2_1_is_not_a_flaw() -> None:
    scale = {"x": [3, 4], "x_scale": 0.1, "input_dtype": "uint8"}
    value = {"encodings": [{"name": "w", "output_dtype": "int4", "y_scale": scale}], "version": "2.1.0"}
    assert read_bytes(json.dumps(value).encode(), HERE).flaws == []


def test_which_files_are_override_files(tmp_path: Path) -> None:
    model, beside = tmp_path / "net.onnx", tmp_path / "net.encodings"
    model.write_bytes(b"")
    assert encodings_beside(model) is None
    beside.write_text("{}")
    assert encodings_beside(model) == beside
    assert model_beside(beside) == model
    assert is_encodings(beside) and not is_encodings(model)
    onnx_json = tmp_path / "net.json"
    onnx_json.write_text('{"irVersion": "8", "graph": {}}')
    assert not is_encodings(onnx_json)
    onnx_json.write_text('{"version": "0.6.1"}')
    assert is_encodings(onnx_json)


def test_commands_come_from_the_options(tmp_path: Path) -> None:
    value = {"activation_encodings": {"x": [{"bitwidth": 8}]}, "param_encodings": {}}
    snpe, qairt, width, fallback = tool_commands(read_bytes(json.dumps(value).encode(), HERE), "net.onnx")
    assert "snpe-onnx-to-dlc --input_network net.onnx --quantization_overrides m.encodings" in snpe
    assert "snpe-dlc-quant --input_list LIST --override_params" in snpe and "default off" in snpe
    assert "qairt-converter --input_network net.onnx --quantization_overrides m.encodings" in qairt
    assert "without --ignore_quantization_overrides" in qairt
    assert "float16 of what stays float, by default; --float_bitwidth 32" in width
    assert "--float_fallback (needs --override_params, excludes --input_list)" in fallback
    assert "--enable_float_fallback (excludes --input_list and --ignore_quantization_overrides)" in fallback
    assert tool_commands(read_bytes(b"{}", HERE), "net.onnx") == ()


MODEL = '<ir_version: 8, opset_import: ["" : 13]> g (float[1,3] x) => (float[1,3] y) { y = Relu(x) }'
STRAY = json.dumps(
    {"activation_encodings": {"q": [json.loads(GOOD)]}, "param_encodings": {}, "version": "0.6.1"}
)


@pytest.mark.parametrize("how", ["same stem", "option", "configuration", "the file alone", "both given"])
def test_which_model_a_file_is_linted_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.onnxtxt").write_text(MODEL)
    beside = how in ("same stem", "the file alone", "both given")
    overrides = Path("net.encodings" if beside else "other.json")
    overrides.write_text(STRAY)
    arguments = {
        "option": ["--isolated", "--encodings", "other.json", "net.onnxtxt"],
        "configuration": ["net.onnxtxt"],
        "the file alone": ["net.encodings"],
        "both given": ["net.onnxtxt", "net.encodings"],
    }.get(how, ["net.onnxtxt"])
    if how == "configuration":
        Path("dlclint.toml").write_text('[[models]]\npath = "net.onnxtxt"\nencodings = "other.json"\n')
    status = main(["check", "--format", "concise", "--select", "encodings/unknown-tensor", *arguments])
    assert status == 1
    assert (
        f"{overrides}:1:27: error encodings/unknown-tensor 'q' is not a tensor of the model"
        in capsys.readouterr().out
    )


def test_an_absent_override_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = tmp_path / "net.onnxtxt"
    model.write_text(MODEL)
    assert main(["check", "--isolated", "--encodings", str(tmp_path / "no.json"), str(model)]) == 2
    assert "does not exist" in capsys.readouterr().err
