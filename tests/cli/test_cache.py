"""Results of earlier runs: never another result than without them, and nothing read where nothing changed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from dlclint.cli.main import main
from dlclint.engine import cache as caching
from dlclint.engine import entries as keeping
from dlclint.engine import run as running
from dlclint.engine.cache import Cache
from dlclint.engine.entries import entry_of
from dlclint.engine.job import Job
from dlclint.outcome import FileOutcome

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,3] x) => (float[1] y) { y = Det(x) }"""
OTHER = MODEL.replace("y = Det(x)", "y = Sum(x)")
CLEAN = MODEL.replace("float[1] y", "float[1,3,3] y").replace("Det", "Relu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(caching.FOLDER, str(tmp_path / "cache"))
    write(tmp_path / "m.onnx", MODEL)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_bytes(parser.parse_model(text).SerializeToString())
    old = time.time_ns() - 10_000_000_000
    os.utime(path, ns=(old, old))


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "cache").rglob("*.entry"))


def outcome_of(job: Job, cache: Cache) -> FileOutcome:
    (outcome,) = running.run([job], 1, cache)
    return outcome


@pytest.fixture
def cache(folder: Path) -> Cache:
    return Cache(folder / "cache")


@pytest.fixture
def linted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are linted and not taken from the cache, in this process."""
    seen: list[Path] = []

    def lint(jobs: list[Job], workers: int) -> object:
        for job in jobs:
            seen.append(job.path)
            yield running.lint_file(job)

    monkeypatch.setattr(running, "_linted", lint)
    return seen


def test_the_same_report_without_reading(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["check", "--isolated", "--runtime", "htp", "--quantize", str(folder / "m.onnx")]
    reports = {}
    for form in ("rich", "concise", "json", "sarif", "github", "gitlab", "junit", "markdown"):
        said = []
        for extra in (["--no-cache"], [], []):
            assert main([*options, "--format", form, *extra]) == 1
            text = capsys.readouterr().out
            said.append(text.rpartition(" (")[0] if form == "rich" else text)
        reports[form] = said
    assert all(len(set(said)) == 1 for said in reports.values())
    assert len(entries(folder)) == 1


def test_an_unchanged_file_is_not_opened(
    folder: Path, cache: Cache, linted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(folder / "m.onnx")
    first = outcome_of(job, cache)
    monkeypatch.setattr(keeping, "state_of", lambda path: pytest.fail(f"{path} was read"))
    assert outcome_of(job, cache) == first
    assert linted == [folder / "m.onnx"]


def test_content_decides_where_the_time_differs(folder: Path, cache: Cache, linted: list[Path]) -> None:
    path = folder / "m.onnx"
    job = Job(path)
    first = outcome_of(job, cache)
    os.utime(path)
    assert outcome_of(job, cache) == first
    write(path, OTHER)
    second = outcome_of(job, cache)
    assert [finding.rule for finding in second.diagnostics] != [finding.rule for finding in first.diagnostics]
    assert len(linted) == 2


def test_a_change_within_the_resolution_of_times_is_seen(
    folder: Path, cache: Cache, linted: list[Path]
) -> None:
    """Two models of the same size, written in the same instant according to the time stamp."""
    path = folder / "m.onnx"
    job = Job(path)
    path.write_bytes(parser.parse_model(MODEL).SerializeToString())
    stamp = path.stat().st_mtime_ns
    outcome_of(job, cache)
    path.write_bytes(parser.parse_model(MODEL.replace("Det", "Abs")).SerializeToString())
    os.utime(path, ns=(stamp, stamp))
    assert outcome_of(job, cache).diagnostics == running.lint_file(job).diagnostics
    assert len(linted) == 2


def test_every_option_counts(folder: Path, cache: Cache, linted: list[Path]) -> None:
    job = Job(folder / "m.onnx")
    for other in (
        job,
        Job(job.path, listed=5),
        Job(job.path, select=("ops",)),
        Job(job.path, ignore=("ops",)),
    ):
        outcome_of(other, cache)
    assert len(linted) == 4 == len(entries(folder))


def test_the_code_of_rules_counts(folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(folder / "m.onnx")
    outcome_of(job, cache)
    assert cache.find(job) is not None
    monkeypatch.setattr(keeping, "code_fingerprint", lambda: "of another version")
    assert cache.find(job) is None
    assert len(keeping._code("dlclint_rules")) > 20


def external(path: Path, value: float) -> None:
    data = np.full((3, 3), value, np.float32)
    tensor = numpy_helper.from_array(data, "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    shape = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [shape("x", 1, [1, 3])], [shape("y", 1, [1, 3])], initializer=[tensor]
    )
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        ).SerializeToString()
    )
    (path.parent / "w.bin").write_bytes(data.tobytes())


def test_external_data_count(folder: Path, cache: Cache, linted: list[Path]) -> None:
    path = folder / "e.onnx"
    external(path, 1.0)
    job = Job(path)
    assert outcome_of(job, cache).diagnostics == outcome_of(job, cache).diagnostics
    assert len(linted) == 1
    (folder / "w.bin").write_bytes(np.full((3, 3), np.nan, np.float32).tobytes())
    assert "model/non-finite-weights" in {finding.rule for finding in outcome_of(job, cache).diagnostics}
    (folder / "w.bin").unlink()
    assert "model/external-data-missing" in {finding.rule for finding in outcome_of(job, cache).diagnostics}
    external(path, 1.0)  # what was not there and now is
    assert "model/external-data-missing" not in {
        finding.rule for finding in outcome_of(job, cache).diagnostics
    }
    assert len(linted) == 4


def test_an_override_file_counts(folder: Path, cache: Cache, linted: list[Path]) -> None:
    overrides = folder / "m.encodings"
    overrides.write_text('{"activation_encodings": {}, "param_encodings": {}}')
    jobs = (
        Job(folder / "m.onnx", overrides=overrides),
        Job(overrides, kind="encodings", model=folder / "m.onnx"),
    )
    for job in (*jobs, *jobs):
        outcome_of(job, cache)
    assert len(linted) == 2
    overrides.write_text('{"activation_encodings": {"nowhere": [{}]}, "param_encodings": {}}')
    assert "encodings/unknown-tensor" in {finding.rule for finding in outcome_of(jobs[1], cache).diagnostics}
    outcome_of(jobs[0], cache)
    assert len(linted) == 4
    write(folder / "m.onnx", CLEAN)
    outcome_of(jobs[1], cache)
    assert len(linted) == 5


class Evil:
    """What a pickle could have called."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("called",)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "foreign", "evil", "other record"])
def test_no_entry_is_trusted(
    damage: str, folder: Path, cache: Cache, linted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    job = Job(folder / "m.onnx")
    first = outcome_of(job, cache)
    (entry,) = entries(folder)
    text = entry.read_bytes()

    def sealed(value: object) -> bytes:
        body = pickle.dumps(value)
        return caching._FORM + caching.hashlib.sha256(body).digest() + body

    entry.write_bytes(
        {
            "cut": text[:-7],
            "flipped": text[:-7] + bytes([text[-7] ^ 1]) + text[-6:],
            "empty": b"",
            "foreign": b"x" * 1000,
            "evil": sealed(Evil()),
            "other record": sealed(first),
        }[damage]
    )
    assert outcome_of(job, cache) == first
    assert not (folder / "called").exists()
    assert len(linted) == 2
    assert outcome_of(job, cache) == first and len(linted) == 2  # written again


def test_what_did_not_finish_is_not_kept(folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(folder / "m.onnx")
    outcome = running.lint_file(job)
    cache.keep(job, entry_of(job, replace(outcome, read=None), time.time_ns()))
    crashed = running.lint_file(Job(folder / "m.onnx"))
    monkeypatch.setattr(keeping, "CRASHED", crashed.diagnostics[0].rule)
    cache.keep(job, entry_of(job, outcome, time.time_ns()))
    monkeypatch.undo()
    changed = (folder / "m.onnx").stat().st_mtime_ns
    cache.keep(job, entry_of(job, outcome, changed - 1))  # changed since the run began
    assert entries(folder) == []


def test_folders_of_others_are_left_alone(
    folder: Path, cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cache").mkdir()
    (folder / "cache" / "mine").write_text("kept")
    outcome_of(Job(folder / "m.onnx"), cache)
    assert main(["cache", "clean"]) == 0
    assert (folder / "cache" / "mine").read_text() == "kept"
    assert [path.name for path in (folder / "cache").iterdir()] == ["mine"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_folder_that_others_can_write_is_not_read(folder: Path, cache: Cache, linted: list[Path]) -> None:
    outcome_of(Job(folder / "m.onnx"), cache)
    (folder / "cache").chmod(0o777)
    assert Cache(folder / "cache").find(Job(folder / "m.onnx")) is None


def test_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["check", "--isolated", "--format", "json", str(folder / "m.onnx")])
    assert len(entries(folder)) == 1
    capsys.readouterr()
    assert main(["cache", "dir"]) == 0 and capsys.readouterr().out.strip() == str(folder / "cache")
    assert main(["cache", "clean"]) == 0 and "removed 1 result" in capsys.readouterr().out
    assert not (folder / "cache").exists()
    main(["check", "--isolated", "--no-cache", str(folder / "m.onnx")])
    assert not (folder / "cache").exists()
    monkeypatch.setenv(caching.FOLDER, "")
    assert main(["cache", "dir"]) == 2


def test_runs_side_by_side(folder: Path) -> None:
    for number in range(6):
        write(folder / f"{number}.onnx", MODEL)
    command = [sys.executable, "-m", "dlclint", "check", "--isolated", "--format", "json", str(folder)]
    for _ in range(2):
        runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        reports = [json.loads(run.communicate()[0]) for run in runs]
        assert reports[0] == reports[1] == reports[2]
        assert len(reports[0]["files"]) == 7
    assert len(entries(folder)) == 7
    left = {path.suffix for path in (folder / "cache").rglob("*") if path.is_file()}
    assert left == {".entry", ".TAG"}


def test_a_folder_that_cannot_be_written_costs_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv(caching.FOLDER, str(folder / "file" / "cache"))
    assert main(["check", "--isolated", str(folder / "m.onnx")]) == 1
    assert capsys.readouterr().err == ""
