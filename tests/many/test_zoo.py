"""The report on many models: what it counts is so, and every format has the same."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from onnx import parser
from zoo_models import zoo

from dlclint.cli.main import main
from dlclint.diagnostic import STOPS, About, Diagnostic, FixNote, Location, Safety, Severity
from dlclint.engine.job import Job
from dlclint.engine.results import NAME, results_in
from dlclint.engine.run import lint_file
from dlclint.outcome import Answer, FileOutcome, ModelVerdict
from dlclint.report.render import render
from dlclint.report.zoo_tables import tables
from dlclint.zoo import Zoo, zoo_of

SNAPSHOTS = Path(__file__).parent.parent / "snapshots"
MORE = {
    # stopped by two ops: neither alone would help
    "two": "g (float[1,3,3] x) => (float[1] y, float[1,3,3] z) { y = Det(x) z = Celu(x) }",
    "open": "g (float[N,M,3] x) => (float[N,M,3] y) { y = Relu(x) }",
}


@pytest.fixture(scope="module")
def linted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a zoo and the results of two runs, one of them for two chips."""
    folder = tmp_path_factory.mktemp("zoo")
    zoo(folder / "models", 8)
    for name, body in MORE.items():
        model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]>\n{body}')
        (folder / "models" / f"{name}.onnx").write_bytes(model.SerializeToString())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, options in (("kept", []), ("chips", ["--soc", "sm8650", "--soc", "sm8250", "--quantize"])):
            main(["check", "--isolated", "--no-cache", "--results", name, "models", *options])
    return folder


@pytest.fixture
def kept(linted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder of results, next to the other one in a copy of the zoo in which the test runs."""
    shutil.copytree(linted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return "kept"


def shown(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    capsys.readouterr()
    assert main(["zoo", *options]) == 0
    return capsys.readouterr().out


def parsed(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(shown(capsys, *options, "--format", "json"))
    schema = json.loads(files("dlclint_schemas").joinpath("zoo-v1.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(report)
    return report


@pytest.mark.parametrize("folder", ["kept", "chips"])
def test_snapshots(
    kept: str, folder: str, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    path = SNAPSHOTS / f"zoo.{folder}.txt"
    text = shown(capsys, folder)
    if request.config.getoption("--update-snapshots"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


def test_json_has_what_files_have(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = parsed(capsys, kept)
    outcomes = [outcome for outcome in results_in(Path(kept)) if outcome is not None]
    assert report["models"] == len(outcomes) == 10
    words = [outcome.verdict.converts.word for outcome in outcomes if outcome.verdict is not None]
    assert report["converts"] == {"yes": words.count("yes"), "no": words.count("no"), "unknown": 0}
    for row in report["rules"]:
        counts = [
            sum(
                (finding.rule, finding.severity.value) == (row["rule"], row["severity"])
                for finding in one.diagnostics
            )
            for one in outcomes
        ]
        assert row["findings"] == sum(counts) and row["models"] == sum(map(bool, counts))
    for row in report["ops"]:
        lacking = [
            {blocker.op for blocker in support.blockers}
            for one in outcomes
            if one.support is not None
            for support in one.support.rows
            if support.runtime.value == row["runtime"]
        ]
        assert row["models"] == sum(row["op"] in ops for ops in lacking)
        assert row["alone"] <= sum({row["op"]} == ops for ops in lacking)
    chips = parsed(capsys, "chips")["chips"]
    assert [row["soc"] for row in chips] == ["SM8250", "SM8650"] and {row["models"] for row in chips} == {10}


def test_one_fix_helps_as_many_models_as_are_stopped_by_nothing_else(
    kept: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen from the other side: what is left of a model's errors when a kind is taken away."""
    outcomes = [outcome for outcome in results_in(Path(kept)) if outcome is not None]
    rows = parsed(capsys, kept)["fixes"]
    assert {(row["rule"], row["op"]) for row in rows} >= {
        ("ops/unsupported", "Det"),
        ("ops/unsupported", "Celu"),
    }
    for row in rows:
        helped = 0
        for outcome in outcomes:
            stops = [
                finding
                for finding in outcome.diagnostics
                if finding.about in STOPS and finding.severity is Severity.ERROR
            ]
            left = [
                finding
                for finding in stops
                if (finding.rule, finding.location.op) != (row["rule"], row["op"])
            ]
            helped += bool(stops) and not left
        assert row["alone"] == helped
    det = next(row for row in rows if row["op"] == "Det")
    assert (det["models"], det["alone"]) == (3, 2)  # two.onnx has another op that stops it


def test_a_fix_is_as_safe_as_its_least_safe(tmp_path: Path) -> None:
    def outcome(name: str, safeties: list[Safety | None]) -> FileOutcome:
        findings = [
            Diagnostic(
                "family/rule",
                Severity.ERROR,
                "",
                Location(name, node_index=number),
                about=About.CONVERSION,
                fix=None if safety is None else FixNote("", safety),
            )
            for number, safety in enumerate(safeties)
        ]
        verdict = ModelVerdict("", Answer("no", "", "family/rule"), (), Answer("unknown", ""), ())
        return FileOutcome(name, "model", Job(Path(name)).target, tuple(findings), verdict=verdict)

    def word(*models: list[Safety | None]) -> str:
        (row,) = zoo_of("", (outcome(str(number), one) for number, one in enumerate(models))).fixes
        return row.fix

    safe, unsafe, display = Safety.SAFE, Safety.UNSAFE, Safety.DISPLAY
    assert word([safe], [safe, safe]) == "safe"
    assert word([safe], [unsafe]) == word([safe, unsafe]) == "unsafe"
    assert word([safe], [None]) == word([display]) == word([]) == ""


def test_parquet_has_the_rows_of_the_tables(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip(
        "pyarrow.parquet",
        reason="dlclint[zoo] is not installed, or does not go with NumPy",
        exc_type=ImportError,
    )
    for _ in range(2):  # the second replaces the first
        shown(capsys, "chips", "--format", "parquet", "-o", "zoo.parquet")
    table = parquet.read_table("zoo.parquet")
    report = parsed(capsys, "chips")
    rows = [
        {"table": name, **row}
        for name in ("runtimes", "fixes", "ops", "rules", "chips")
        for row in report[name]
    ]
    read = [{key: value for key, value in row.items() if value is not None} for row in table.to_pylist()]
    assert read == [{key: value for key, value in row.items() if value is not None} for row in rows]
    assert table.schema.metadata[b"converts no"] == str(report["converts"]["no"]).encode()


def test_folders_are_summed_up_and_a_model_counts_once(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Parts of a matrix of CI jobs have the result of the whole, and a part that ran twice counts once."""
    for part in ("1/2", "2/2"):
        main(["check", "--isolated", "--no-cache", "models", "--shard", part, "--results", f"part{part[0]}"])
    whole = parsed(capsys, kept)
    assert parsed(capsys, "part1", "part2") == whole
    assert parsed(capsys, kept, "part2", "part1") == whole
    assert parsed(capsys, kept, "chips")["models"] == 20  # for another target


def test_results_of_another_version(
    kept: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unpacked(body: bytes) -> None:
        return None

    monkeypatch.setattr("dlclint.engine.results.unpacked", unpacked)
    assert main(["zoo", kept]) == 2
    assert "kept holds 10 results of another version of dlclint" in capsys.readouterr().err


def test_an_unfinished_run(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(kept) / NAME
    path.write_bytes(path.read_bytes()[:-100])
    assert parsed(capsys, kept)["models"] == 9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nosuch"], "nosuch: it holds no results; make some with dlclint check --results"),
        (["models"], "models: it holds no results"),
        (["other"], f"other: its file {NAME} holds something else"),
        (["kept", "--format", "parquet"], "--format parquet goes to a file; name one with -o"),
        (["kept", "-o", f"kept/{NAME}"], f"kept/{NAME} is an input"),
        (["kept", "--format", "parquet", "-o", "models/0000.onnx"], "models/0000.onnx is a model"),
        (["kept", "-o", "nosuch/zoo.txt"], "cannot write nosuch/zoo.txt"),
    ],
)
def test_what_is_invalid(
    kept: str, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    Path("other").mkdir()
    (Path("other") / NAME).write_bytes(b"something else")
    capsys.readouterr()
    assert main(["zoo", *options]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_without_pyarrow(
    kept: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "dlclint.report.parquet.zoo", raising=False)
    capsys.readouterr()
    assert main(["zoo", kept, "--format", "parquet", "-o", "zoo.parquet"]) == 2
    assert capsys.readouterr().err.endswith("not installed: pip install 'dlclint[zoo]'\n")
    assert not Path("zoo.parquet").exists()


def test_a_pyarrow_that_cannot_be_loaded(
    kept: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As pyarrow 22 with NumPy 1.24."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "pyarrow.py").write_text("raise ImportError('pyarrow needs NumPy 2')", "utf-8")
    monkeypatch.syspath_prepend(tmp_path / "broken")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "dlclint.report.parquet.zoo", raising=False)
    capsys.readouterr()
    assert main(["zoo", kept, "--format", "parquet", "-o", "zoo.parquet"]) == 2
    error = "dlclint: error: --format parquet: pyarrow cannot be loaded: pyarrow needs NumPy 2\n"
    assert capsys.readouterr().err == error


def test_nothing_is_known_of_what_failed() -> None:
    """A crash is not an answer, and a model whose findings were not requested is counted by its verdict."""
    good = lint_file(
        Job(Path(__file__).parent.parent / "fixtures" / "model" / "custom-op" / "good_relu.onnxtxt")
    )
    summary: Zoo = zoo_of("", [good, replace(good, verdict=None)])
    assert (summary.models, summary.converts, summary.stopped, summary.unknown) == (2, 1, 0, 1)


class Cells(HTMLParser):
    """The texts of a page's cells, and whatever its tags are."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self._open = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "td":
            self.cells.append("")
        self._open = tag == "td" or (self._open and tag != "td")

    def handle_endtag(self, tag: str) -> None:
        self._open = self._open and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._open:
            self.cells[-1] += data


def test_the_page_has_every_row_and_no_markup_of_a_model(kept: str) -> None:
    outcomes = [outcome for outcome in results_in(Path(kept)) if outcome is not None]
    hostile = '<img src=x onerror="alert(1)">'
    flawed = next(one for one in outcomes if one.verdict is not None and one.verdict.converts.word == "no")
    findings = tuple(
        replace(finding, location=replace(finding.location, op=hostile), help=hostile)
        for finding in flawed.diagnostics
    )
    report = zoo_of("1", [*outcomes, replace(flawed, diagnostics=findings)])
    page = Cells()
    page.feed(render("zoo", "html", report, None))
    assert page.cells == [cell for table in tables(report) for row in table.rows for cell in row]
    assert hostile in page.cells and "img" not in page.tags
