"""`dlclint equalize` on models with badly scaled channels: what it gains, what it keeps, how long it takes.

    python benchmarks/equalize.py [--models DIR] [--runs N]

Prints the tables of docs/cle.md, and says which figures are met: seconds of the fastest of N whole processes,
and how many times as long they take as reading and writing the model with the onnx package, run in turn with
them. Needs ONNX Runtime.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from compare import DLCLINT, measure
from scaled import MODELS, ensure

WORST = 5
COPY = "import onnx, sys; onnx.save(onnx.load(sys.argv[1]), sys.argv[2])"
LIMIT = 10.0
"""Seconds for both models together."""


def report(command: list[str]) -> dict[str, Any]:
    """The JSON report of a command that must succeed."""
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """Exit 1 if a figure is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path(__file__).parent / "models")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    failed = False
    total = 0.0
    columns = (
        "model|pairs|seconds (MB)|of onnx.load and save|largest difference|worst SQNR in chain|second run"
    )
    print(f"| {columns.replace('|', ' | ')} |\n|{' --- |' * (columns.count('|') + 1)}")
    tables = []
    for name in MODELS:
        source = ensure(name, given.models)
        with tempfile.TemporaryDirectory(dir=given.models) as folder:
            once, twice = str(Path(folder, "once.onnx")), str(Path(folder, "twice.onnx"))
            command = [DLCLINT, "equalize", str(source), "-o", once]
            copy = [sys.executable, "-c", COPY, str(source), once]
            turns = [(measure(copy), measure(command)) for _ in range(given.runs)]
            seconds = min(sample.seconds for _, sample in turns)
            ratio = statistics.median(ours.seconds / theirs.seconds for theirs, ours in turns)
            megabytes = max(sample.megabytes for _, sample in turns)
            found = report([*command, "--verify", "20"])
            again = report([DLCLINT, "equalize", once, "-o", twice])
            same = not again["changed"] and filecmp.cmp(once, twice, shallow=False)
        layers = sorted(found["layers"], key=lambda row: row["chain_sqnr_before"])
        before, after = (min(row[f"chain_sqnr_{when}"] for row in layers) for when in ("before", "after"))
        largest = found["checked"]["largest_relative"]
        print(
            f"| {name} | {found['pairs']} | {seconds:.1f} ({megabytes:.0f}) | {ratio:.1f} times | "
            f"{largest:.1e} | {before:.1f} -> {after:.1f} dB | {'changes nothing' if same else 'CHANGES'} |"
        )
        total += seconds
        failed |= largest > 1e-4 or after <= before or not same
        tables += [f"\n{name}: the worst {WORST} of {len(layers)} weights, 8 bits per tensor\n"]
        tables += [
            "| convolution | range ratio | SQNR, dB | SQNR in chain, dB |",
            "| --- | --- | --- | --- |",
        ]
        for row in layers[:WORST]:
            cells = (
                f"{row[f'{what}_before']:.{digits}f} -> {row[f'{what}_after']:.{digits}f}"
                for what, digits in (("spread", 0), ("sqnr", 1), ("chain_sqnr", 1))
            )
            tables.append(f"| {row['node']} | {' | '.join(cells)} |")
    print("\n".join(tables))
    print(f"\nboth in {total:.1f} s, limit {LIMIT:.0f} s: {'met' if total <= LIMIT else 'NOT MET'}")
    return 1 if failed or total > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
