"""Fixes of override files converge, end clean of their rule, and touch nothing that they do not name."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlclint.cli.main import main
from dlclint.diagnostic import Safety
from dlclint.encodings.reading import read_encodings
from dlclint.engine.fix.overrides import fix_overrides
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file

FIXTURES = Path(__file__).parent.parent / "fixtures"
BAD = sorted(path for path in FIXTURES.glob("*/*/bad*.json") if path.parts[-3] in ("encodings", "precision"))


def job_for(path: Path, tmp_path: Path, **more: Any) -> Job:
    """The job for a copy of a fixture and its model."""
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    model = path.with_suffix(".onnxtxt")
    if model.exists():
        shutil.copy(model, tmp_path / model.name)
        more["model"] = tmp_path / model.name
    return Job(copy, kind="encodings", **more)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.relative_to(FIXTURES).as_posix())
def test_every_fix_of_a_fixture(path: Path, tmp_path: Path) -> None:
    rule = f"{path.parent.parent.name}/{path.parent.name}"
    job = job_for(path, tmp_path, select=(rule,))
    for unsafe in (False, True):
        before = lint_file(job).diagnostics
        mendable = [d for d in before if d.fix is not None and (d.fix.safety is Safety.SAFE or unsafe)]
        fixed = fix_overrides(job, unsafe)
        assert bool(fixed.applied) == bool(mendable)
        if not mendable:
            assert fixed.text_after == fixed.text_before
            continue
        job.path.write_text(fixed.text_after, "utf-8", newline="")
        after = lint_file(job).diagnostics
        assert not [d for d in after if d.fix is not None and (d.fix.safety is Safety.SAFE or unsafe)]
        again = fix_overrides(job, unsafe)
        assert again.text_after == fixed.text_after and not again.applied
        assert not {d.message for d in mendable} & {d.message for d in after}
        json.loads(fixed.text_after)


def test_an_entry_behind_vectors_is_fixed_itself(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    entries = [{"bitwidth": 8, "dtype": "int", "scale": [0.5, 0.25], "offset": [0, 0]}, {"bitwidth": 8}]
    for first in (entries[0], {**entries[0], "max": []}):
        whole = {
            "activation_encodings": {"x": [first, entries[1]]},
            "param_encodings": {},
            "version": "0.6.1",
        }
        path.write_text(json.dumps(whole), "utf-8")
        fixed = fix_overrides(Job(path, kind="encodings", select=("encodings/missing-field",)), False)
        fixed_entry = json.loads(fixed.text_after)["activation_encodings"]["x"]
        assert fixed_entry[-1] == {"bitwidth": 8, "dtype": "int"}


def test_vectors_with_a_number_beyond_all_floats_stay(tmp_path: Path) -> None:
    """Written out one by one they would hold Infinity, which is not JSON."""
    path = tmp_path / "x.json"
    path.write_text(
        '{"version": "0.6.1", "activation_encodings": {}, "param_encodings":'
        ' {"w": [{"bitwidth": 8, "dtype": "int", "scale": [1, 1e999], "offset": [0, 0]}]}}'
    )
    fixed = fix_overrides(Job(path, kind="encodings"), False)
    assert "Infinity" not in fixed.text_after and "1e999" in fixed.text_after


# Every number that a good entry is written with has the same value in several spellings.
SPELLED = {
    "scale": ("0.25", "2.5e-1", "0.2500", "25E-2"),
    "offset": ("-100", "-100.0", "-1e2"),
    "min": ("-25", "-25.0", "-2.50e1"),
    "max": ("38.75", "3.875e1", "38.7500"),
    "bitwidth": ("8",),
    "dtype": ('"int"',),
    "is_symmetric": ('"False"',),
}
FLAWS = {
    "offset": ["100", "100.0", "-99", "-100.4", "-99.0"],
    "scale": ["0.3", "0.2506"],
    "min": ["-25.1"],
    "is_symmetric": ["false", '"false"', '"FALSE"'],
    "dtype": ['"INT"', '"Int"'],
}


@st.composite
def entry(draw: st.DrawFn, flawed: bool) -> tuple[dict[str, str], str]:
    """An entry's members as they are spelled, in any order, and which of them is flawed."""
    spelled = {key: draw(st.sampled_from(SPELLED[key])) for key in draw(st.permutations(sorted(SPELLED)))}
    if not flawed:
        return spelled, ""
    wrong = draw(st.sampled_from(sorted(FLAWS)))
    spelled[wrong] = draw(st.sampled_from(FLAWS[wrong]))
    return spelled, wrong


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, tuple[dict[str, str], str]]]:
    """A legacy file in some layout of its text, and its entries by name."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    margin = draw(st.sampled_from([" ", f"{end}    ", f"{end}\t"]))
    colon = draw(st.sampled_from([":", ": ", " :  "]))
    names = draw(
        st.lists(st.sampled_from(["x", "/a/b_output_0", "c:0", "é", "\\u00ea"]), min_size=1, unique=True)
    )
    entries = {name: draw(entry(draw(st.booleans()))) for name in names}
    blocks = [
        f'"{name}"{colon}[{{{members_text(members, margin, colon)}}}]'
        for name, (members, _) in entries.items()
    ]
    body = f",{margin}".join(blocks)
    text = f'{{"version"{colon}"0.6.1",{margin}"activation_encodings"{colon}{{{margin}{body}}},{margin}'
    return f'{text}"param_encodings"{colon}{{}},{margin}"other"{colon}[1.50,  2]}}{end}', entries


def members_text(members: dict[str, str], margin: str, colon: str) -> str:
    """The members of an object as in `files`."""
    return f",{margin}".join(f'"{key}"{colon}{value}' for key, value in members.items())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files())
def test_what_a_fix_does_not_name_stays(
    tmp_path: Path, file: tuple[str, dict[str, tuple[dict[str, str], str]]]
) -> None:
    text, entries = file
    path = tmp_path / "m.encodings"
    path.write_text(text, "utf-8", newline="")
    fixed = fix_overrides(Job(path, kind="encodings"), False)
    before, after = json.loads(text), json.loads(fixed.text_after)
    assert fixed.text_after.count("\r\n") == text.count("\r\n") and fixed.text_after.count(
        "\n"
    ) == text.count("\n")
    assert list(after["activation_encodings"]) == list(before["activation_encodings"])
    assert fixed.text_after.endswith(text[text.index('"param_encodings"') :])
    for held, (members, _) in zip(after["activation_encodings"].values(), entries.values(), strict=True):
        assert list(held[0]) == list(members)
    document = read_encodings(path)
    path.write_text(fixed.text_after, "utf-8", newline="")
    again = read_encodings(path)
    for row, (members, wrong) in enumerate(entries.values()):
        if not wrong:
            assert document.spelling(row) == again.spelling(row)
        elif wrong in ("is_symmetric", "dtype"):
            assert {k: again.spelling(row, (0, k)) for k in members if k != wrong} == {
                k: v for k, v in members.items() if k != wrong
            }
    elements = again.elements
    assert np.allclose(elements.offset * elements.scale, elements.minimum)
    assert np.allclose((elements.offset + 255) * elements.scale, elements.maximum)
    assert not [d for d in lint_file(Job(path, kind="encodings")).diagnostics if d.fix is not None]


CURLY = """{
  // what the page shows
  “version”: “0.6.1”,
  "activation_encodings": {"x": [{"bitwidth": 16, "dtype": "float"}],},
  "param_encodings": {} /* none */
}
"""


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `dlclint fix`."""
    status = main(["fix", *arguments])
    output = capsys.readouterr()
    return status, output.out, output.err


def test_almost_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.encodings"
    path.write_text(CURLY, "utf-8")
    status, out, err = run(capsys, str(path))
    assert status == 0
    assert out.splitlines()[2:4] == [
        '  "version": "0.6.1",',
        '  "activation_encodings": {"x": [{"bitwidth": 16, "dtype": "float"}]},',
    ]
    assert json.loads(out) == {
        "version": "0.6.1",
        "activation_encodings": {"x": [{"bitwidth": 16, "dtype": "float"}]},
        "param_encodings": {},
    }
    assert "fixed encodings/syntax: make it JSON (7 times)" in err
    assert path.read_text("utf-8") == CURLY


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_coding(tmp_path: Path, capsys: pytest.CaptureFixture[str], coding: str) -> None:
    text = '{"activation_encodings": {"é": [{"bitwidth": 16, "dtype": "float"}]},\r\n "param_encodings": {}}'
    path = tmp_path / "m.encodings"
    path.write_bytes(text.encode(coding))
    status, out, _ = run(capsys, str(path), "--in-place", "--select", "encodings/syntax")
    assert status == 0
    assert path.read_bytes() == text.encode("utf-8")
    assert "fixed encodings/syntax" in out


FLIPPED = json.dumps(
    {
        "activation_encodings": {
            "x": [
                {
                    "bitwidth": 8,
                    "dtype": "int",
                    "is_symmetric": "True",
                    "max": 1.28,
                    "min": -1.27,
                    "offset": 127,
                    "scale": 0.01,
                }
            ]
        },
        "version": "0.6.1",
    },
    indent=1,
)


def test_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "m.encodings", tmp_path / "out.encodings"
    path.write_text(FLIPPED)
    status, shown, err = run(capsys, str(path), "--diff", "--select", "encodings/missing-section")
    assert status == 0
    assert [line for line in shown.splitlines() if line[0] in "+-"][2:] == [
        '- "version": "0.6.1"',
        '+ "version": "0.6.1",',
        '+ "param_encodings": {}',
    ]
    assert "fixed encodings/missing-section: add an empty param_encodings" in err
    status, shown, err = run(capsys, str(path), "-o", str(out))
    assert (status, err) == (0, "")
    assert f"  wrote {out}\n" in shown
    assert path.read_text() == FLIPPED
    fixed = json.loads(out.read_text())
    assert fixed["activation_encodings"]["x"][0]["offset"] in (-127, -128)
    _, shown, err = run(capsys, str(out))
    assert shown == out.read_text()
    assert "  nothing to fix\n" in err
    assert run(capsys, str(path), "--in-place")[0] == 0
    assert path.read_text() == out.read_text()


def test_unsafe_and_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights outside their range: reported and fixed with the model only, and only where requested."""
    fixture = FIXTURES / "encodings" / "weights-clipped" / "bad.json"
    path, model = tmp_path / "other.json", tmp_path / "m.onnxtxt"
    shutil.copy(fixture, path)
    shutil.copy(fixture.with_suffix(".onnxtxt"), model)
    rule = "encodings/weights-clipped"
    status, out, err = run(capsys, str(path), "--select", rule)
    assert (status, out) == (0, path.read_text())
    assert "  nothing to fix\n" in err
    status, _, err = run(capsys, str(path), "--select", rule, "--model", str(model))
    assert status == 0 and "with --unsafe encodings/weights-clipped: widen the range" in err
    status, out, err = run(capsys, str(path), "--select", rule, "--model", str(model), "--unsafe")
    assert (
        status == 0 and "fixed (unsafe) encodings/weights-clipped: widen the range to the real weights" in err
    )
    path.write_text(out)
    assert main(["check", "--isolated", "--select", rule, "--encodings", str(path), str(model)]) == 0
    assert "no findings" in capsys.readouterr().out


IGNORE = """[[ignores]]
rule = "encodings/offset-sign"
reason = "the tool that reads it turns the sign itself"
"""


@pytest.mark.parametrize(
    "config",
    ['ignore = ["encodings/offset-sign"]', 'select = ["encodings/missing-section"]', IGNORE],
    ids=["ignore", "select", "ignores"],
)
def test_the_configuration_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    """What is ignored or not selected is not repaired."""
    monkeypatch.chdir(tmp_path)
    Path("m.encodings").write_text(FLIPPED)
    Path("dlclint.toml").write_text(config)
    status, out, err = run(capsys, "m.encodings")
    assert status == 0
    assert "fixed encodings/missing-section" in err and "offset-sign" not in err
    assert json.loads(out)["activation_encodings"]["x"][0]["offset"] == 127
    status, out, err = run(capsys, "m.encodings", "--isolated")
    assert "fixed encodings/offset-sign" in err
    assert json.loads(out)["activation_encodings"]["x"][0]["offset"] != 127


@pytest.mark.parametrize("arguments", [[], ["-o", "out.encodings"], ["--in-place"], ["--diff"]])
def test_json_report(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.encodings").write_text(FLIPPED)
    status, out, err = run(capsys, "m.encodings", "--format", "json", *arguments)
    assert (status, err) == (0, "")
    report = json.loads(out)
    schema = resources.files("dlclint_schemas").joinpath("fix-v1.schema.json").read_text("utf-8")
    jsonschema.validate(report, json.loads(schema))
    (turned,) = (finding for finding in report["mended"] if finding["rule"] == "encodings/offset-sign")
    assert turned["location"]["pointer"] == "/activation_encodings/x/0/offset"
    assert {edit["kind"] for edit in turned["edits"]} == {"set-value"}
    assert (report["written"] is not None) == bool({"-o", "--in-place"} & {*arguments})
    assert report["verification"]["reason"] == "an override file is not run"


def test_several_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that cannot be fixed costs one line, and the others are fixed."""
    good, bad = tmp_path / "good.encodings", tmp_path / "bad.onnx"
    good.write_text(FLIPPED)
    bad.write_text("no model")
    status, out, err = run(capsys, str(bad), str(good), "--in-place")
    assert status == 2
    assert err.startswith(f"dlclint: error: {bad}: ") and err.count("\n") == 1
    assert f"  wrote {good}\n" in out
    assert json.loads(good.read_text())["param_encodings"] == {}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["m.encodings", "--config", "nosuch.toml"], "nosuch.toml cannot be read"),
        (["m.encodings", "--soc", "nonsense"], "--soc nonsense: "),
        (["m.encodings", "--act-bitwidth", "7", "--quantize"], "--act-bitwidth 7"),
        (["absent.encodings"], "does not exist"),
        (["m.encodings", "--model", "absent.onnx"], "absent.onnx does not exist"),
        (["m.encodings", "--select", "encodings/offset-sing"], "did you mean encodings/offset-sign"),
        (["m.encodings", "-o", "no/such/folder/m.encodings"], "cannot write"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_arguments(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.encodings").write_text(FLIPPED)
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert expected in err and err.count("\n") == 1
