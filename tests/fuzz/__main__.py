"""`python -m tests.fuzz`: run inputs, report what is wrong, minimize it into the corpus."""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from difflib import unified_diff
from pathlib import Path
from typing import Any

from . import server
from .case import SIDECAR, Case, load, store
from .judge import SECONDS, Flaw
from .minimize import flaws_of, minimized
from .surfaces import SURFACES, SWEEPS, build

CORPUS = Path(__file__).parent / "corpus"
_MINIMIZING = 60.0
"""Seconds for one finding."""


def main() -> int:
    """Run the command; 1 where something is wrong."""
    args = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    args.add_argument("--surface", choices=[*SURFACES, *SWEEPS, "all"], default="all")
    args.add_argument("--inputs", type=int, default=1000, help="of each surface")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--first", type=int, default=0, help="number of the first input, to go on with a run")
    args.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args.add_argument("--corpus", type=Path, default=CORPUS, help="where minimized inputs are written")
    args.add_argument("--no-minimize", action="store_true")
    args.add_argument("--replay", nargs="*", type=Path, help="run these .case.json (none: the corpus)")
    args.add_argument("--summary", nargs="+", type=Path, help="add up what runs printed, run nothing")
    args.add_argument("--show", type=int, metavar="N", help="write input N of the surface here, run nothing")
    values = args.parse_args()
    values.jobs = max(1, values.jobs)
    if values.summary is not None:
        return summary(values.summary)
    if values.replay is not None:
        return replay(values.replay or sorted(values.corpus.glob(f"*{SIDECAR}")))
    if values.show is not None:
        print(store(build(values.surface, values.seed, values.show), Path.cwd(), "shown", "as built"))
        return 0
    wrong = False
    for surface in (*SURFACES, *SWEEPS) if values.surface == "all" else (values.surface,):
        wrong |= fuzz(surface, values)
    return int(wrong)


def replay(sidecars: list[Path]) -> int:
    """Run stored cases; one line of JSON for each."""
    server.warm()
    wrong = False
    for path in sidecars:
        flaws: list[Any] = []
        server.serve([(0, load(path))], lambda event, collected=flaws: collected.extend(event["flaws"]))
        wrong |= bool(flaws)
        print(json.dumps({"case": path.name, "flaws": flaws}), flush=True)
    return int(wrong)


def summary(files: list[Path]) -> int:
    """Print the inputs, repeats and flaws of each surface over the reports of several runs."""
    inputs, repeated, flaws = Counter[str](), Counter[str](), Counter[str]()
    causes: dict[str, Counter[str]] = {}
    for report in (json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()):
        surface = report["surface"]
        inputs[surface] += report["inputs"]
        repeated[surface] += report["repeated"]
        flaws[surface] += sum(report["flaws"].values())
        causes.setdefault(surface, Counter()).update(report["causes"])
    print(f"{'surface':12} {'inputs':>9} {'run twice':>9} {'flaws':>6}")
    for surface, count in (*inputs.items(), ("all", inputs.total())):
        twice = repeated.total() if surface == "all" else repeated[surface]
        wrong = flaws.total() if surface == "all" else flaws[surface]
        print(f"{surface:12} {count:>9} {twice:>9} {wrong:>6}")
        for cause, number in causes.get(surface, Counter[str]()).most_common():
            _tell(f"  {number} {cause}")
    return int(bool(flaws.total()))


def fuzz(surface: str, values: argparse.Namespace) -> bool:
    """Run a surface; whether something is wrong."""
    started = time.monotonic()
    counts: Counter[str] = Counter()
    first_of: dict[str, tuple[int, Flaw]] = {}
    earlier: dict[int, tuple[str, str]] = {}
    seen: set[str] = set()
    ran = repeated = 0
    for event in _events(surface, values):
        index = event["index"]
        if index in earlier:
            repeated += 1
            digest, said = earlier.pop(index)
            if event["digest"] != digest and event["digest"] and digest:
                event["flaws"].append(["differs", _command(build(surface, values.seed, index)), ""])
                _tell(
                    "\n".join(unified_diff(said.splitlines(), event["said"].splitlines(), lineterm="", n=1))
                )
        elif index >= 0:
            ran += 1
            if _is_repeated(index - values.first, values.jobs):
                earlier[index] = event["digest"], event["said"]
        flaws = [Flaw(*parts) for parts in event["flaws"]]
        counts.update(flaw.key for flaw in flaws)
        new = [flaw for flaw in flaws if flaw.key not in seen]
        seen.update(flaw.key for flaw in new)
        for flaw in new:
            _tell(f"{surface} {values.seed} {index}: {flaw.key}")
        if new:  # a flaw of a step that several rules ask for shows in each of them: one is enough
            first_of[new[0].key] = (index, new[0])
    spent = time.monotonic() - started
    unconfirmed = 0
    if first_of and not values.no_minimize:
        server.warm()
        for index, flaw in first_of.values():
            unconfirmed += not _keep(build(surface, values.seed, index), flaw, values.corpus, surface)
    kinds = Counter[str]()
    for key, count in counts.items():
        kinds[key.partition(":")[0]] += count
    report = {
        "surface": surface,
        "seed": values.seed,
        "first": values.first,
        "inputs": ran,
        "repeated": repeated,
        "seconds": round(spent, 1),
        "per second": round(ran / spent, 1),
        "flaws": dict(kinds),
        "causes": dict(counts.most_common()),
        "not seen again": unconfirmed,
    }
    print(json.dumps(report), flush=True)
    return bool(counts)


def _is_repeated(offset: int, jobs: int) -> bool:
    return offset % (jobs * server.REPEATED) < jobs


def _command(case: Case) -> str:
    return " ".join(word for word in case.arguments if not word.startswith("m."))


def _events(surface: str, values: argparse.Namespace) -> Any:
    """The events of all processes, each with a hash seed of its own, as they come."""
    jobs = values.jobs
    first, stop = values.first, values.first + values.inputs
    tasks = []
    for job in range(jobs):
        ranges = [f"near:{first + job}:{stop}:{jobs}"]
        if jobs > 1:
            ranges.append(f"far:{first + (job + 1) % jobs}:{stop}:{jobs * server.REPEATED}")
        tasks.append([ranges])
    if jobs == 1:
        tasks[0].append([f"far:{first}:{stop}:{server.REPEATED}"])
    events: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def follow(number: int, parts: list[list[str]]) -> None:
        for part, ranges in enumerate(parts):
            command = [sys.executable, "-m", f"{__package__}.server", surface, str(values.seed), *ranges]
            single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            environment = {**os.environ, **single, "PYTHONHASHSEED": str(10 * number + part + 1)}
            with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    events.put(json.loads(line))
            if process.returncode:
                _tell(f"a server of {surface} ended with {process.returncode}")
                events.put({"index": -1, "digest": "", "flaws": [["harness", "a server died", ""]]})
        events.put(None)

    for number, parts in enumerate(tasks):
        threading.Thread(target=follow, args=(number, parts), daemon=True).start()
    left = jobs
    while left:
        event = events.get()
        if event is None:
            left -= 1
        else:
            yield event


def _keep(case: Case, flaw: Flaw, folder: Path, surface: str) -> bool:
    """Minimize a case into a folder; whether the flaw shows again when it is run alone."""
    if flaw.kind in ("differs", "harness"):
        store(case, folder, _slug(surface, flaw), flaw.key)
        return True
    seconds = SECONDS
    if flaw.key not in flaws_of(case, seconds):
        _tell(f"not seen again alone: {flaw.key}")
        return False
    small = minimized(case, lambda candidate: flaw.key in flaws_of(candidate, seconds), _MINIMIZING)
    path = store(small, folder, _slug(surface, flaw), flaw.key)
    _tell(f"kept as {path}")
    return True


def _slug(surface: str, flaw: Flaw) -> str:
    text = re.sub(r"[^a-z0-9]+", "-", flaw.key.lower()).strip("-")
    return f"{surface}-{text[:70].strip('-')}"


def _tell(text: str) -> None:
    print(text.encode("ascii", "backslashreplace").decode("ascii"), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
