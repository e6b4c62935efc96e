"""How a run ends: closed streams, signals, limits, and errors of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlclint.cli import main as command_line
from dlclint.cli.errors import UsageError
from dlclint.cli.main import main
from dlclint.contained.worker import _reply

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell is needed")

MODEL = Path(__file__).parents[1] / "fixtures" / "model" / "custom-op" / "good_relu.onnxtxt"
DLCLINT = f"{sys.executable} -m dlclint"


def shell(command: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        ["sh", "-c", command], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize(
    "arguments",
    (
        *("check MODEL", "plan --runtime htp MODEL", "fix MODEL -o out.onnx", "rule model/invalid", "--help"),
        "check not-there.onnx",  # for which a worker starts before anything is looked at
    ),
)
def test_a_closed_output_is_one_line_before_any_work(arguments: str, tmp_path: Path) -> None:
    done = shell(f"{DLCLINT} {arguments.replace('MODEL', str(MODEL))} >&-", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "dlclint: error: cannot read or write standard output: it is closed\n"
    assert not list(tmp_path.iterdir())


def test_a_closed_output_is_not_missed_where_the_report_goes_to_a_file(tmp_path: Path) -> None:
    done = shell(f"{DLCLINT} check --isolated {MODEL} -o report.txt >&-", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "report.txt").read_text()


def test_with_closed_errors_nothing_is_printed_in_their_place() -> None:
    done = shell(f"{DLCLINT} check --isolated missing.onnx 2>&-")
    assert (done.returncode, done.stdout) == (2, "")
    done = shell(f"{DLCLINT} check --isolated --format concise {MODEL} 2>&-")
    assert done.returncode == 0
    assert done.stdout.endswith("in 1 file\n")


def test_without_any_stream_the_status_reports() -> None:
    assert shell(f"{DLCLINT} check --isolated {MODEL} <&- >&- 2>&-").returncode == 2


def test_a_reader_that_goes_away_is_silent() -> None:
    done = shell(f"({DLCLINT} rule; echo $? >&2) | true")
    assert done.stderr in ("141\n", "0\n")  # 0 where all was written before the reader went


@pytest.mark.parametrize(("number", "status"), ((signal.SIGINT, 130), (signal.SIGTERM, 143)))
def test_a_signal_ends_the_run_and_its_processes_silently(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    # A pipe holds the run up where it is known to be at work: reading its configuration.
    os.mkfifo(tmp_path / "dlclint.toml")
    command = [sys.executable, "-m", "dlclint", "check", "--config", "dlclint.toml", str(MODEL)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 30
        writer = -1
        while writer < 0 and time.monotonic() < deadline:
            try:
                writer = os.open(tmp_path / "dlclint.toml", os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # no process reads yet
                time.sleep(0.01)
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
        os.close(writer)
    assert (process.returncode, output, errors) == (status, "", "")


def test_an_error_of_ours_is_not_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(run: str, *arguments: object, **options: object) -> int:
        raise KeyError("a\x1b[31mb")

    monkeypatch.setattr(command_line, "run_apart", fail)
    assert main(["check", str(MODEL)]) == 70
    shown = capsys.readouterr().err
    assert shown.startswith("dlclint: internal error: KeyError")
    assert "report it" in shown
    assert shown.count("\n") == 1
    assert "\x1b" not in shown
    monkeypatch.setenv("DLCLINT_DEBUG", "1")
    assert main(["check", str(MODEL)]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_an_error_is_sent_without_what_led_to_it() -> None:
    """Which libraries that make tracebacks picklable would send too, however deep it is."""

    def fails() -> None:
        try:
            raise RecursionError
        except RecursionError as error:
            raise UsageError("deep") from error

    reply = _reply(fails, ())
    assert isinstance(reply.error, UsageError) and "in fails" in reply.trace
    assert (reply.error.__traceback__, reply.error.__cause__, reply.error.__context__) == (None, None, None)


def test_deep_configuration_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dlclint.toml").write_text("a=" + "[" * 3000)
    assert main(["check", str(MODEL)]) == 2
    shown = capsys.readouterr().err
    assert shown.endswith("dlclint.toml nests deeper than it can be read\n")
    assert shown.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="no other system keeps the limit")
@pytest.mark.parametrize("kibibytes", (60_000, 100_000, 150_000))
def test_too_little_memory_is_one_line(kibibytes: int) -> None:
    done = shell(f"ulimit -v {kibibytes}; exec {DLCLINT} check --isolated {MODEL}")
    if done.returncode == 0:
        pytest.skip("it is enough here")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dlclint: error: ")
    assert "ulimit -v" in done.stderr
    assert done.stderr.count("\n") == 1
