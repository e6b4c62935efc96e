"""Conversion there and back is the identity where both formats can say the same, and refused where not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlclint.cli.main import main
from dlclint.encodings.convert import CannotConvert, TensorFacts, convert
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.reading import read_bytes

HERE = Path("m.encodings")
VERSIONS = ("0.6.1", "1.0.0", "2.0.0")
SCALES = st.floats(1e-30, 1e28)  # 32 bits of the largest still end within float32


def document(value: Any) -> EncodingsDocument:
    return read_bytes(json.dumps(value).encode(), HERE)


@st.composite
def legacy(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, TensorFacts]]:
    """A 0.6.1 file as AIMET writes it, of integers that every format can say, and what its model knows."""
    sections: dict[str, dict[str, Any]] = {"activation_encodings": {}, "param_encodings": {}}
    placed: dict[str, TensorFacts] = {}
    names = draw(st.lists(st.text(min_size=1, max_size=4), max_size=5, unique=True))
    for name in names:
        is_param = draw(st.booleans())
        channels = draw(st.integers(1, 3)) if is_param else 1
        bits = draw(st.sampled_from([2, 4, 8, 16, 32]))
        symmetric = channels > 1 or draw(st.booleans())
        entries = []
        for _ in range(channels):
            scale = draw(SCALES)
            offset = -(2 ** (bits - 1)) if symmetric else -draw(st.integers(0, 2**bits - 1))
            low, high = scale * offset, scale * (offset + 2**bits - 1)
            entry = {"bitwidth": bits, "dtype": "int", "is_symmetric": str(symmetric), "max": high}
            entries.append({**entry, "min": low + 0.0, "offset": offset, "scale": scale})
        sections["param_encodings" if is_param else "activation_encodings"][name] = entries
        axis = draw(st.integers(0, 1)) if is_param else None
        placed[name] = TensorFacts(is_param, axis, channels if is_param else None)
    return {**sections, "version": "0.6.1"}, placed


@settings(max_examples=60, deadline=None)
@given(legacy(), st.permutations(VERSIONS[1:]))
def test_round_trip(file: tuple[dict[str, Any], dict[str, TensorFacts]], order: list[str]) -> None:
    value, placed = file
    text = convert(document(value), "0.6.1", placed)
    assert json.loads(text) == value
    for version in (*order, "0.6.1"):
        text = convert(read_bytes(text.encode(), HERE), version, placed)
        assert json.loads(text)["version"] == version
    assert json.loads(text) == value


@settings(max_examples=60, deadline=None)
@given(legacy())
def test_the_same_numbers_in_every_format(file: tuple[dict[str, Any], dict[str, TensorFacts]]) -> None:
    value, placed = file
    base = document(value)
    for version in VERSIONS:
        other = read_bytes(convert(base, version, placed).encode(), HERE)
        assert not other.flaws
        order = [other.rows(name)[0] for name in base.tensors.names]
        for row, name in zip(order, base.tensors.names, strict=True):
            (mine,) = base.rows(name)
            for column in ("scale", "offset", "bitwidth"):
                ours = getattr(base.elements, column)[base.elements.tensor == mine]
                theirs = getattr(other.elements, column)[other.elements.tensor == row]
                assert ours.tolist() == theirs.tolist()


def entry(**more: Any) -> list[dict[str, Any]]:
    plain = {"bitwidth": 8, "dtype": "int", "is_symmetric": "False", "max": 1.28, "min": -1.27}
    return [{**plain, "offset": -127, "scale": 0.01, **more}]


def file(**more: Any) -> dict[str, Any]:
    return {"activation_encodings": {}, "param_encodings": {}, "version": "0.6.1", **more}


LISTED = {
    "bw": 8,
    "dtype": "INT",
    "enc_type": "PER_TENSOR",
    "is_sym": False,
    "name": "x",
    "offset": [-127],
    "scale": [0.01],
}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "float": (
        file(activation_encodings={"x": [{"bitwidth": 16, "dtype": "float"}]}),
        "2.0.0",
        "'x': a float16 tensor has no entry in 2.0.0",
    ),
    "range": (
        file(activation_encodings={"x": entry(max=1.27)}),
        "1.0.0",
        "'x': min and max are not those of scale and offset, and would be lost",
    ),
    "arguments": (
        file(quantizer_args={"quant_scheme": "tf"}),
        "2.0.0",
        "quantizer_args has no place in 2.0.0",
    ),
    "layers": (file(excluded_layers=["a"]), "2.0.0", "excluded_layers has no place in 2.0.0"),
    "sections": (
        {"encodings": [{"name": "x", "output_dtype": "uint8", "y_scale": 0.1}], "version": "2.0.0"},
        "1.0.0",
        "2.0.0 has no sections: give the model (--model), which tells weights from activations",
    ),
    "axis": (
        file(param_encodings={"w": entry(is_symmetric="True", offset=-128, min=-1.28, max=1.27) * 2}),
        "2.0.0",
        "2.0.0 needs the channel axis: give the model (--model)",
    ),
    "blocks": (
        {
            "activation_encodings": [],
            "param_encodings": [{**LISTED, "enc_type": "PER_BLOCK", "block_size": 4}],
            "version": "1.0.0",
        },
        "2.0.0",
        "'x': enc_type PER_BLOCK is not converted; export it in the other version",
    ),
    "float8": (
        {"encodings": [{"name": "x", "output_dtype": "float8e5m2", "y_scale": 0.1}], "version": "2.0.0"},
        "1.0.0",
        "'x': float8e5m2 has no place in the other formats",
    ),
    "shifted": (
        {
            "activation_encodings": [{**LISTED, "offset": [-127.5], "zero_point_shift": 0.5}],
            "param_encodings": [],
            "version": "1.0.0",
        },
        "0.6.1",
        "'x': zero_point_shift has no place in 0.6.1",
    ),
    "one channel": (
        {
            "activation_encodings": [],
            "param_encodings": [{**LISTED, "enc_type": "PER_CHANNEL", "is_sym": True, "offset": [-128]}],
            "version": "1.0.0",
        },
        "0.6.1",
        "'x': per channel of one channel looks like per tensor in 0.6.1 (--model distinguishes them)",
    ),
    "flaws": (
        file(activation_encodings={"x": [{"bitwidth": "8"}]}),
        "1.0.0",
        "the file has errors that dlclint check reports; fix them first",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_loss_is_refused_and_named(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value, version, said = REFUSED[case]
    with pytest.raises(CannotConvert) as error:
        convert(document(value), version)
    assert said in error.value.losses
    path, out = tmp_path / "m.encodings", tmp_path / "out.encodings"
    path.write_text(json.dumps(value))
    assert main(["encodings", "convert", str(path), "--to", version, "-o", str(out)]) == 1
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_lossy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.encodings"
    path.write_text(json.dumps(REFUSED["float"][0]))
    assert main(["encodings", "convert", str(path), "--to", "2.0.0", "--lossy"]) == 0
    assert json.loads(capsys.readouterr().out) == {"encodings": [], "version": "2.0.0"}


def test_same_version_keeps_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = file(activation_encodings={"x": entry()}, quantizer_args={"a": 1}, producer={"package": "p"})
    path = tmp_path / "m.encodings"
    path.write_text(json.dumps(value))
    assert main(["encodings", "convert", str(path), "--to", "0.6.1"]) == 0
    assert json.loads(capsys.readouterr().out) == value


@pytest.mark.parametrize("action", [["show", "m"], ["convert", "m", "--to", "1.0.0"], ["diff", "m", "m"]])
def test_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], action: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for content, said in ((None, "m does not exist"), ("{", "the file ends in the middle of a value")):
        if content:
            Path("m").write_text(content)
        assert main(["encodings", *action]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


@given(st.floats(1e-6, 1e3), st.integers(-255, 0))
def test_ends_that_float32_rounds_are_those_of_scale_and_offset(scale: float, offset: int) -> None:
    step = np.float32(scale)
    ends = {"min": float(step * np.float32(offset)), "max": float(step * np.float32(offset + 255))}
    text = convert(
        document(file(activation_encodings={"x": entry(scale=scale, offset=offset, **ends)})), "1.0.0"
    )
    (listed,) = json.loads(text)["activation_encodings"]
    assert (listed["scale"], listed["offset"]) == ([scale], [offset])
    shifted = ends | {"max": ends["max"] + scale / 50}
    with pytest.raises(CannotConvert, match="would be lost"):
        convert(
            document(file(activation_encodings={"x": entry(scale=scale, offset=offset, **shifted)})), "1.0.0"
        )
