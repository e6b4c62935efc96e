"""What the weight rules cost on the 1.99 GB model: whole processes, interleaved, in one run.

    python benchmarks/weights.py [--models DIR] [--runs N]

The structural check of the same model with the same options, less the rules that read weights, is what they
are compared with; the least that reading weights can cost, their minimum and maximum, is printed as well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from compare import DLCLINT, HERE, Sample, measure
from figures import all_met
from models import ensure

CHECK = [DLCLINT, "check", "--isolated", "--no-cache", "--quantize", "--runtime", "htp"]
LEAST = """
import sys
from pathlib import Path
from dlclint.model.reading import read
for graph in read(Path(sys.argv[1])).graphs():
    for tensor in graph.initializers.values():
        for chunk in tensor.chunks():
            chunk.min(), chunk.max()
"""
ONE_CORE = [
    *(sys.executable, "-c"),
    "import os, sys; os.sched_setaffinity(0, {0}); os.execv(sys.argv[1], sys.argv[1:])",
]
"""Runs a command on one core: what threads save is the difference."""
COMMANDS = {
    "structural check": [*CHECK, "--ignore", "quantization,model/non-finite-weights"],
    "all weight rules": CHECK,
    "the same, one core": [*ONE_CORE, *CHECK],
    "the same, 4-bit weights": [*CHECK, "--weights-bitwidth", "4"],
    "minimum and maximum alone": [sys.executable, "-c", LEAST],
    "plan with overrides": [
        *(DLCLINT, "plan", "--isolated", "--runtime", "htp", "-o", "/dev/null"),
        *("--estimated-activations", "--emit-overrides"),
    ],
}
FIGURES = {"seconds": 1.5, "megabytes": 300.0}


def main() -> int:
    """Print one table per model, then whether the figures are met; exit 1 if one is not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--models", type=Path, default=HERE / "models")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    met = True
    for name in ("decoder_2gb", "decoder_2gb_external"):
        path = ensure(name, args.models)
        taken: dict[str, list[Sample]] = {label: [] for label in COMMANDS}
        for _ in range(args.runs):
            for label, command in COMMANDS.items():
                out = [str(args.models / "overrides.json")] if command[-1] == "--emit-overrides" else []
                taken[label].append(measure([*command, *out, str(path)]))
        print(f"\n| {name} | seconds | processor seconds | peak MB |\n| --- | --- | --- | --- |")
        for label, samples in taken.items():
            wall, used = (
                statistics.median(getattr(sample, field) for sample in samples)
                for field in ("seconds", "processor")
            )
            print(f"| {label} | {wall:.2f} | {used:.2f} | {max(s.megabytes for s in samples):.0f} |")
        base, rules = taken["structural check"], taken["all weight rules"]
        pairs = list(zip(base, rules, strict=True))
        more = statistics.median(b.seconds - a.seconds for a, b in pairs)
        peak = max(sample.megabytes for sample in rules)
        label = f"{name}, all weight rules"
        met &= all_met(
            [
                (f"{label}, seconds more", more, FIGURES["seconds"]),
                (f"{label}, peak MB", peak, FIGURES["megabytes"]),
            ]
        )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
