"""How much a report says: tables of several files, folded groups, options that shorten and lengthen."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import parser

from dlclint.cli.main import main
from dlclint.diagnostic import About, Diagnostic, Location, Severity
from dlclint.outcome import FileOutcome, Outcome
from dlclint.report.render import render
from dlclint.report.rich.check import MANY
from dlclint.report.verdict_words import common_folder
from dlclint.target import Target

SEVERAL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,3] a) => (float[1] v, float[1] w, float[1] x, float[1] y, float[1,3,3] z) {
  v = Det(a) w = Det(a) x = Det(a) y = Det(a) z = Relu(a)
}"""
CLEAN = """<ir_version: 8, opset_import: ["" : 12]> g (float[1,3] x) => (float[1,3] y) { y = Relu(x) }"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("several", SEVERAL), ("clean", CLEAN)):
        (tmp_path / f"{name}.onnx").write_bytes(parser.parse_model(text).SerializeToString())
    return tmp_path


def report(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["check", "--isolated", *words])
    return status, capsys.readouterr().out


def test_groups_fold_beyond_three(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder / "several.onnx")
    text = " ".join(report(capsys, path)[1].split())
    assert "error ops/unsupported 4 times" in text
    assert text.count("(Det, tensor ") == 3 and "; + 1 more" in text
    assert " ".join(report(capsys, path, "--all")[1].split()).count("(Det, tensor ") == 4
    markdown = report(capsys, path, "--format", "markdown")[1]
    assert markdown.count("Det is not") >= 3 and "  - and 1 more" in markdown


def test_several_files_have_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = report(capsys, str(folder), "--runtime", "htp", "--quantize")
    assert status == 1
    table, _, rest = text.partition("\n\n")
    assert f"in {folder}/" in table.replace("\n", "")
    assert "does not convert" in table and "whole on htp" in table
    assert "dlclint plan --runtime htp ..." in " ".join(table.split())
    assert "ops/unsupported" in rest
    quiet = report(capsys, str(folder), "-q")[1]
    assert "does not convert" in quiet and "ops/unsupported" not in quiet
    assert "4 errors" in quiet


def test_quiet_prints_the_total_of_one_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = report(capsys, "-q", str(folder / "several.onnx"))
    assert status == 1
    assert "converts  no: Det is not in the supported-ops table" in text
    assert "opset" not in text and "stops conversion" not in text
    assert report(capsys, "-q", "--format", "concise", str(folder))[1].count("\n") == 1


def test_severities_hide_and_decide_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(folder / "several.onnx")
    every = json.loads(report(capsys, path, "--format", "json")[1])
    status, text = report(capsys, path, "--format", "json", "--min-severity", "error")
    errors = json.loads(text)
    assert status == 1
    assert {finding["severity"] for finding in errors["files"][0]["findings"]} == {"error"}
    assert {finding["severity"] for finding in every["files"][0]["findings"]} > {"error"}
    for key in ("verdict", "support"):
        assert errors["files"][0][key] == every["files"][0][key]
    assert errors["counts"] == every["counts"]
    assert report(capsys, path, "--min-severity", "error", "--fail-on", "info")[0] == 1
    assert report(capsys, path, "--min-severity", "error", "--fail-on", "never")[0] == 0


def test_statistics(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = report(capsys, str(folder), "--statistics")
    assert status == 1
    assert ["4", "1", "error", "ops/unsupported"] in [line.split() for line in text.splitlines()]
    rows = json.loads(report(capsys, str(folder), "--statistics", "--format", "json")[1])
    assert rows[0] == {
        "rule": "ops/unsupported",
        "severity": "error",
        "count": 4,
        "files": 1,
        "fixable": {"safe": 0, "unsafe": 0},
    }
    assert main(["check", "--statistics", "--format", "sarif", str(folder)]) == 2


def test_the_folder_that_files_share() -> None:
    assert common_folder(["a/b/c.onnx", "a/b/d.onnx"]) == "a/b/"
    assert common_folder(["a/bc/x.onnx", "a/bd/x.onnx"]) == "a/"
    assert common_folder(["x.onnx", "y.onnx"]) == ""
    assert common_folder(["a/x.onnx"] * 2) == "a/"


def crowded() -> Outcome:
    location = Location("m/a.onnx", node="a node with a name " * 4, node_index=7, op="Conv", tensor="t" * 90)
    findings = tuple(
        Diagnostic(
            "ops/unsupported", Severity.ERROR, "message of many words " * 12, location, help="help " * 30,
            about=About.CONVERSION,
        )
        for _ in range(2)
    )  # fmt: skip
    files = tuple(FileOutcome(f"models/{name}.onnx", "model", Target(), findings) for name in "ab")
    return Outcome("0", files, Severity.ERROR, {})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_no_line_is_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    text = render("check", "rich", crowded(), Terminal())
    lines = re.sub("\x1b\\[[0-9;]*m", "", text).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "message of many words" in text


def run(folder: Path, *words: str, **environment: str) -> bytes:
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT", "HOME") if key in os.environ}
    command = [sys.executable, "-m", "dlclint", "check", "--isolated", *words]
    return subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True).stdout


def test_pipes_without_unicode_are_readable(folder: Path) -> None:
    """A pipe on Windows is cp1252; a serial console has 7 bits."""
    proto = parser.parse_model(SEVERAL)
    proto.graph.node[0].name = "größe_模型"
    (folder / "several.onnx").write_bytes(proto.SerializeToString())
    for encoding in ("cp1252", "ascii"):
        out = run(folder, "several.onnx", PYTHONIOENCODING=encoding)
        shown = out.decode(encoding)
        assert "Det is not in the supported-ops table" in shown
        assert "\\u6a21\\u578b" in shown and "\ufffd" not in shown
    assert "größe_模型" in run(folder, "several.onnx", PYTHONIOENCODING="utf-8").decode("utf-8")


def test_colors_as_asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = replace(crowded())
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    assert "\x1b[" not in render("check", "rich", outcome, None)
    assert "\x1b[" in render("check", "rich", outcome, Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in render("check", "rich", outcome, Terminal())
    monkeypatch.delenv("NO_COLOR")
    assert b"\x1b[" not in run(folder, "several.onnx")
    assert b"\x1b[" in run(folder, "several.onnx", FORCE_COLOR="1", TERM="xterm-256color")
    assert b"\x1b[3" not in run(folder, "several.onnx", FORCE_COLOR="1", NO_COLOR="1", TERM="xterm")
    # 8 colors: nothing but the basic ones is used.
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[38;" not in render("check", "rich", outcome, Terminal())


def test_many_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = parser.parse_model(CLEAN).SerializeToString()
    several = parser.parse_model(SEVERAL).SerializeToString()
    for number in range(MANY + 5):
        (tmp_path / f"{number:03}.onnx").write_bytes(several if number < 3 else clean)
    status, text = report(capsys, str(tmp_path))
    assert status == 1
    assert f"and {MANY + 2} files; {MANY + 2} have neither errors nor warnings" in " ".join(text.split())
    assert text.count("stops conversion\n") == 3 and "040.onnx" not in text
    assert "040.onnx" in report(capsys, str(tmp_path), "--all")[1]
    files = tuple(replace(crowded().files[0], path=f"{number}.onnx") for number in range(MANY + 5))
    text = render("check", "rich", replace(crowded(), files=files), None)
    assert "5 files more with errors or warnings (--all lists them)" in text
