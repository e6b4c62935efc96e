"""A real Dask cluster of several processes: the report of a run without it, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from zoo_models import zoo

from dlclint.cli.main import main
from dlclint.engine import cluster as clusters
from dlclint.engine.cluster import Cluster, ClusterError
from dlclint.engine.entries import unpacked
from dlclint.engine.job import Job
from dlclint.engine.keeping import Asking
from dlclint.engine.results import NAME, Results
from dlclint.report.render import FORMATS

distributed = pytest.importorskip("distributed", reason="dlclint[zoo] is not installed")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are killed by signals")
COUNT = 24


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """A scheduler, and two workers in processes of their own that are replaced when they die."""
    import dask as package

    with (
        package.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=":0", silence_logs=50
        ) as local_cluster,
    ):
        yield local_cluster


@pytest.fixture
def address(dask: Any) -> str:
    return str(dask.scheduler_address).replace("tcp://", "dask://")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a zoo, in which the test stands; the workers do not."""
    zoo(tmp_path / "models", COUNT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*options: str) -> int:
    return main(["check", "--isolated", "--no-cache", "models", *options])


def without_seconds(text: str) -> str:
    return text.rpartition(" (")[0]


def test_the_same_bytes_in_every_format(
    folder: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for name, options in (("here", []), ("there", ["--on", address])):
        reports = [f"--output-format={form}={name}.{form}" for form in FORMATS["check"]]
        assert run(*options, *reports, "--format", "concise") == 1
        said[name] = [(folder / f"{name}.{form}").read_text() for form in FORMATS["check"]]
        said[name][0] = without_seconds(said[name][0])
        said[name].append(capsys.readouterr().out)
    assert said["here"] == said["there"]
    assert run("--format", "json", "--statistics") == 1
    expected = capsys.readouterr().out
    assert run("--format", "json", "--statistics", "--on", address) == 1
    assert capsys.readouterr().out == expected


def kill_one(dask: Any) -> None:
    """End a process in which a worker runs, as a machine that fails does."""
    nanny = next(iter(dask.workers.values()))
    os.kill(nanny.pid, signal.SIGKILL)


def test_workers_that_die_cost_nothing(
    folder: Path, dask: Any, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--format", "json")
    expected = capsys.readouterr().out
    kept = folder / "kept" / NAME
    killed = threading.Event()

    def kill() -> None:
        while not kept.exists() or kept.stat().st_size < 3000:
            time.sleep(0.005)
        kill_one(dask)
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    run("--format", "json", "--on", address, "--results", "kept")
    thread.join()
    assert killed.is_set()
    report = capsys.readouterr().out
    assert report == expected
    paths = [file["path"] for file in json.loads(report)["files"]]
    assert len(paths) == len(set(paths)) == COUNT  # nothing lost, nothing twice


class Poison:
    """Replaces the path of a file: any process but this one that lints it dies."""

    def __init__(self) -> None:
        self.spared = os.getpid()

    def __str__(self) -> str:
        if os.getpid() != self.spared:
            os.kill(os.getpid(), signal.SIGKILL)
        return "poison.onnx"


def jobs_in(folder: Path) -> list[Job]:
    return [Job(path) for path in sorted(folder.glob("*.onnx"))]


def test_a_file_that_kills_its_workers_is_reported_alone(folder: Path, address: str) -> None:
    jobs = jobs_in(folder / "models")[:12]
    jobs[5] = replace(jobs[5], path=Poison())  # type: ignore[arg-type]
    with Results(folder / "kept", jobs, names=False) as results, Cluster(address, 0) as cluster:
        numbers = []
        for number, body in cluster.linted(Asking(jobs, results, cached=False)):
            numbers.append(number)
            assert body is not None
            entry = unpacked(body)
            assert entry is not None
            rules = [finding.rule for finding in entry.outcome.diagnostics]
            assert ("engine/crashed-rule" in rules) == (number == 5)
            if number == 5:
                (finding,) = entry.outcome.diagnostics
                assert finding.message == f"linting failed: the process {clusters._TWICE}"
                assert entry.read is None  # a run that goes on lints it again
    assert sorted(numbers) == list(range(12))


def test_no_more_is_under_way_than_keeps_workers_busy(folder: Path, address: str) -> None:
    """What makes memory flat: results are not waited for by thousands, nor jobs sent before their turn."""
    jobs = jobs_in(folder / "models") * 4
    with Results(folder / "kept", jobs, names=False) as results, Cluster(address, 0) as cluster:
        under_way: set[str] = set()
        most = 0
        submit = cluster.client.submit

        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal most
            future = submit(*arguments, **options)
            under_way.add(future.key)
            future.add_done_callback(lambda one: under_way.discard(one.key))
            most = max(most, len(under_way))
            return future

        cluster.client.submit = counted
        for _ in cluster.linted(Asking(jobs, results, cached=False)):
            pass
    assert 1 <= most <= 2 * clusters._AHEAD


def test_results_of_a_cluster_go_on_without_it(
    folder: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--format", "json", "--on", address, "--results", "kept")
    first = capsys.readouterr().out
    run("--format", "json", "--results", "kept", "--resume")
    told = capsys.readouterr()
    assert told.out == first and told.err == f"dlclint: {COUNT} files of {COUNT} unchanged\n"


def refusal(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run(*options) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_worker_of_another_version(
    folder: Path, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = clusters.__version__
    monkeypatch.setattr(clusters, "__version__", "9.9")
    said = refusal(capsys, "--on", address)
    assert f"has dlclint {mine}, here it is 9.9; install dlclint 9.9 on every worker" in said


def test_a_worker_that_came_later_has_another_version(folder: Path) -> None:
    with pytest.raises(clusters._OtherVersion):
        clusters._lint_lot([], "9.9")
    assert "tcp://w:1 has no dlclint; install dlclint" in str(
        clusters._cannot("tcp://w:1", ModuleNotFoundError("No module named 'dlclint'"))
    )


def test_a_folder_that_workers_do_not_see(
    folder: Path, address: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlclint.engine.keeping.os", SimpleNamespace(getcwd=lambda: "/nosuch"))
    said = refusal(capsys, "--on", address)
    assert "cannot open the folder /nosuch; files at hand must lie where workers find them too" in said


def test_no_process_answers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import dask as package

    with package.config.set({"distributed.comm.timeouts.connect": "500ms"}):
        said = refusal(capsys, "--on", "dask://127.0.0.1:9")
    assert "--on dask://127.0.0.1:9: no Dask scheduler answers there within 0.5 s" in said


def test_a_scheduler_without_workers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import dask as package

    settings = {"distributed.comm.timeouts.connect": "1s"}
    with (
        package.config.set(settings),
        distributed.LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as local_cluster,
    ):
        said = refusal(capsys, "--on", str(local_cluster.scheduler_address).replace("tcp://", "dask://"))
    assert "the scheduler has had no worker for 1 s; start some: dask worker" in said


def test_without_the_extra(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = refusal(capsys, "--on", "dask")
    assert said.endswith("--on dask: it needs Dask, which is not installed: pip install 'dlclint[zoo]'\n")


def test_a_lost_scheduler_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = Cluster("dask://nowhere", 1)

    class Gone:
        status = "closed"

    unreachable.client = Gone()
    monkeypatch.setattr(clusters, "_LOOK", 0.01)
    with pytest.raises(ClusterError, match="the connection to the scheduler was lost"):
        unreachable._arrived(clusters.queue.SimpleQueue())


def test_an_interrupted_local_cluster_leaves_no_worker(folder: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-m", "dlclint", "check", "--isolated", "--no-cache", "models"]
    run = subprocess.Popen(
        [*command, "--on", "dask", "-j", "2", "--results", "kept"],
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    kept = folder / "kept" / NAME
    while run.poll() is None and (not kept.exists() or kept.stat().st_size < 1000):
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)
    assert run.communicate()[1] == ""
    assert run.returncode == 130
    for _ in range(600):
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a process is left")
