"""How linting many models scales with the workers of a Dask cluster, in what memory, and that none is lost.

    python benchmarks/zoo.py [--count N] [--models DIR] [--only FIGURE]

onnx's own node tests, made by the installed onnx and repeated to N (default 10,000), are linted on a cluster
of this machine: by one worker, by two, by two of which one is killed in the middle, and once more with
nothing changed. A worker is one process with one thread; client and scheduler are this process. Exit 1 if a
figure to reach is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import signal
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from dlclint.contained.watching import resident
from dlclint.engine.cluster import LOCAL, Cluster
from dlclint.engine.job import Job
from dlclint.engine.keeping import Asking
from dlclint.engine.results import Results
from figures import told

HERE = Path(__file__).parent
LINEAR = 0.85
FLAT = 1.10
"""Of the client's memory at a tenth of the run, at its end."""
UNCHANGED = 10.0
"""Seconds for 10,000 files of which none changed."""


@dataclass(frozen=True)
class Run:
    """What a run came to: seconds from the first file to the last result, and memory in bytes."""

    seconds: float
    early: int
    late: int
    times: bytearray
    """How often each job was answered."""
    outcomes: str
    """A hash of all outcomes in the order of the jobs."""
    unchanged: int
    client: float
    """Processor seconds of client and scheduler."""
    workers: float
    """Processor seconds of the workers, and of the processes in which these lint."""


def node_models(folder: Path) -> list[Path]:
    """onnx's node tests as files, made once."""
    if not folder.is_dir():
        # Imported here because it makes every test's data.
        from onnx.backend.test.case.node import collect_testcases

        print("making the node models", flush=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cases = collect_testcases("")
        scratch = Path(tempfile.mkdtemp(dir=folder.parent))
        for case in cases:
            (scratch / f"{re.sub('[^A-Za-z0-9_]', '_', case.name)}.onnx").write_bytes(
                case.model.SerializeToString()
            )
        scratch.rename(folder)
    return sorted(folder.glob("*.onnx"))


def run(jobs: list[Job], workers: int, folder: Path, kill: bool = False, resume: bool = False) -> Run:
    """Lint jobs on a cluster of its own; with `kill` a worker is killed when half is done."""
    times = bytearray(len(jobs))
    early = unchanged = done = 0
    tenth, half = len(jobs) // 10, len(jobs) // 2
    with Results(folder, jobs, resume=resume) as results, Cluster(LOCAL, workers) as cluster:
        pids = list(cluster.client.run(os.getpid).values())
        before = time.process_time(), spent(pids)
        started = time.perf_counter()
        for number, body in cluster.linted(Asking(jobs, results, cached=False)):
            results.keep(number, body)
            times[number] += 1
            unchanged += body is None
            done += 1
            if done == tenth:
                early = resident(os.getpid())
            if kill and done == half:
                os.kill(pids[0], signal.SIGKILL)
        seconds = time.perf_counter() - started
        late = resident(os.getpid())
        client, others = time.process_time() - before[0], spent(pids) - before[1]
    digest = hashlib.sha256()
    for outcome in results.stored:
        digest.update(repr(replace(outcome, pins=())).encode())
    return Run(seconds, early, late, times, digest.hexdigest(), unchanged, client, others)


def spent(pids: list[int]) -> float:
    """Processor seconds so far of processes that live, and of their children's children."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):  # it was killed
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                times = one.cpu_times()
                total += times.user + times.system
    return total


def main() -> int:
    """Print the figures, and which of those to reach are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--models", type=Path, default=HERE / "models" / "nodes")
    parser.add_argument("--only", choices=("scaling", "memory", "killed", "unchanged"))
    args = parser.parse_args()
    args.models.parent.mkdir(parents=True, exist_ok=True)
    paths = node_models(args.models)
    # In an order of its own, so that dear ones do not come at the end, and the same in each run.
    every = [paths[number % len(paths)] for number in range(args.count)]
    random.Random(0).shuffle(every)
    failed = False

    def judge(what: str, met: bool) -> None:
        nonlocal failed
        failed |= not told(what, met)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [Job(path, listed=1000) for path in copies(every, folder / "models")]
        two = run(jobs, 2, folder / "two")
        print(
            f"{len(jobs):,} files on 2 workers: {two.seconds:.1f} s, "
            f"{1000 * two.seconds / len(jobs):.2f} ms a file",
            flush=True,
        )
        if args.only in (None, "scaling"):
            one = run(jobs, 1, folder / "one")
            share = one.seconds / two.seconds / 2
            print(f"{len(jobs):,} files on 1 worker: {one.seconds:.1f} s")
            print(
                f"processor: {1000 * two.workers / len(jobs):.2f} ms a file in workers, "
                f"{1000 * two.client / len(jobs):.2f} ms in client and scheduler: on two processors for all "
                f"at most {two.workers / (two.workers + two.client):.0%} of linear"
            )
            judge(f"{share:.0%} of linear (at least {LINEAR:.0%})", share >= LINEAR)
        if args.only in (None, "scaling", "memory"):
            growth = two.late / two.early
            judge(
                f"memory of client and scheduler: {two.early / 1e6:.0f} MB at 10 %, {two.late / 1e6:.0f} MB "
                f"at the end, {growth:.2f} times (at most {FLAT})",
                growth <= FLAT,
            )
        if args.only in (None, "killed"):
            killed = run(jobs, 2, folder / "killed", kill=True)
            print(f"a worker killed in the middle: {killed.seconds:.1f} s")
            lost = killed.times.count(0)
            twice = sum(count > 1 for count in killed.times)
            same = killed.outcomes == two.outcomes
            judge(
                f"{lost} lost, {twice} twice, results {'the same' if same else 'DIFFER'}",
                not lost and not twice and same,
            )
        if args.only in (None, "unchanged"):
            again = run(jobs, 2, folder / "two", resume=True)
            whole = again.unchanged == len(jobs) and again.outcomes == two.outcomes
            limit = max(1.0, UNCHANGED * len(jobs) / 10_000)
            judge(
                f"unchanged, with --resume: {again.seconds:.1f} s (at most {limit:.0f})",
                whole and again.seconds <= limit,
            )
    return int(failed)


def copies(paths: list[Path], folder: Path) -> list[Path]:
    """A file for each of the paths, with its content on the disk once where that is possible."""
    written = []
    for number, path in enumerate(paths):
        target = folder / f"{number // 1000}" / f"{number:06}.onnx"
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(path)
        except OSError:  # another file system, or as many links as it allows
            target.write_bytes(path.read_bytes())
        written.append(target)
    return written


if __name__ == "__main__":
    sys.exit(main())
