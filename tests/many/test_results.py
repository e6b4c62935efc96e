"""Results that are kept as they arrive: a run resumes from them, and never reports another result."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from zoo_models import BODIES, zoo

from dlclint.cli.main import main
from dlclint.engine import entries
from dlclint.engine.results import NAME

COUNT = 8


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a zoo, in which the test stands."""
    zoo(tmp_path / "models", COUNT)
    for path in (tmp_path / "models").iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*options: str, models: str = "models", expected: int = 1) -> None:
    assert main(["check", "--isolated", "--no-cache", "-j", "2", models, *options]) == expected


def plain(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """The JSON report of a run that keeps nothing."""
    capsys.readouterr()
    run("--format", "json", *options)
    return capsys.readouterr().out


def resumed(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """How many files were unchanged, and the JSON report."""
    capsys.readouterr()
    run("--format", "json", "--results", "kept", "--resume", *options)
    told = capsys.readouterr()
    assert told.err.startswith("dlclint: ") and told.err.endswith("unchanged\n")
    return int(told.err.split()[1]), told.out


def test_a_run_that_is_whole_is_not_done_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = plain(capsys)
    run("--format", "json", "--results", "kept")
    assert capsys.readouterr().out == expected
    before = (folder / "kept" / NAME).read_bytes()
    assert resumed(capsys) == (COUNT, expected)
    assert (folder / "kept" / NAME).read_bytes() == before


@pytest.mark.parametrize("left", [0.0, 0.5, 0.999])
def test_a_run_that_was_killed_goes_on(folder: Path, capsys: pytest.CaptureFixture[str], left: float) -> None:
    """What is left of the file ends anywhere, in the middle of a result too."""
    expected = plain(capsys)
    run("--results", "kept", "-q")
    whole = (folder / "kept" / NAME).read_bytes()
    (folder / "kept" / NAME).write_bytes(whole[: len(whole) - int(len(whole) * (1 - left))])
    if left == 0.0:
        (folder / "kept" / NAME).unlink()
    kept, report = resumed(capsys)
    assert report == expected
    assert abs(kept - left * COUNT) <= 1.5 and kept < COUNT
    assert resumed(capsys) == (COUNT, expected)


def test_a_flipped_bit_costs_a_run_and_no_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = plain(capsys)
    run("--results", "kept", "-q")
    path = folder / "kept" / NAME
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    kept, report = resumed(capsys)
    assert kept < COUNT and report == expected


def test_what_changed_is_done_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--results", "kept", "-q")
    changed = folder / "models" / "0000.onnx"
    body = (folder / "models" / "0001.onnx").read_bytes()
    changed.write_bytes(body)
    (folder / "models" / "0002.onnx").touch()  # another time and the same content
    assert resumed(capsys) == (COUNT - 1, plain(capsys))


def test_what_is_new_or_gone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder holds what the last run came to, and nothing else."""
    run("--results", "kept", "-q")
    size = (folder / "kept" / NAME).stat().st_size
    for number in range(0, COUNT, 2):
        (folder / "models" / f"{number:04}.onnx").unlink()
    zoo(folder / "models" / "more", 1)
    kept, report = resumed(capsys)
    assert (kept, report) == (COUNT // 2, plain(capsys))
    assert (folder / "kept" / NAME).stat().st_size < size


def test_other_options_and_versions_are_done_again(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--results", "kept", "-q")
    options = ("--runtime", "htp", "--quantize")
    assert resumed(capsys, *options) == (0, plain(capsys, *options))
    monkeypatch.setattr(entries, "code_fingerprint", lambda: "of another version")
    assert resumed(capsys, *options)[0] == 0


def test_what_crashed_is_done_again(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death may be of this machine alone."""
    with monkeypatch.context() as patch:
        patch.setattr(entries, "CRASHED", "ops/unsupported")
        run("--results", "kept", "-q")
    kinds = [BODIES[number % len(BODIES)] for number in range(COUNT)]
    assert resumed(capsys)[0] == sum("Det" not in body for body in kinds)


@pytest.mark.parametrize("content", [b"something else", b"dlclint results 2\n"])
def test_a_file_of_another_program_is_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (folder / "kept").mkdir()
    (folder / "kept" / NAME).write_bytes(content)
    run("--results", "kept", "--resume", expected=2)
    assert "holds something else" in capsys.readouterr().err
    assert (folder / "kept" / NAME).read_bytes() == content


def test_results_are_not_overwritten_unasked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--results", "kept", "-q")
    capsys.readouterr()
    run("--results", "kept", expected=2)
    assert "--results kept: it holds results; continue them with --resume" in capsys.readouterr().err


def test_two_runs_do_not_meet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--results", "kept", "-q")
    with (folder / "kept" / NAME).open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        run("--results", "kept", "--resume", expected=2)
    assert "another run is writing to it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resume"], "--resume goes with --results"),
        (["--results", "models/0000.onnx"], "--results models/0000.onnx: "),
        (["--on", "ray"], "--on ray: give dask for a local cluster, or dask://HOST:PORT"),
        (["--on", "dask://"], "--on dask://: give dask"),
        (["--on", "dask", "--confirm", "--soc", "sm8650"], "leave out --on"),
        (["--on", "dask://host:1"], "--jobs goes with --on dask"),
    ],
)
def test_options_that_are_invalid(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    run(*options, expected=2)
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_a_baseline_and_a_severity(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is done with results after linting is done with those on disk."""
    main(["check", "--isolated", "--no-cache", "models/0001.onnx", "--write-baseline"])
    options = ("--baseline", "dlclint-baseline.json", "--min-severity", "warning")
    expected = plain(capsys, *options)
    assert resumed(capsys, *options) == (0, expected)
    assert '"baselined"' in expected
