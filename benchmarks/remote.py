"""The cost of a structural check over HTTP: bytes, requests, round trips and seconds, and of a local one.

    python benchmarks/remote.py [--models DIR] [--latency SECONDS] [--runs N] [--only MODEL] [FILE ...]

A server on this machine answers ranges, several of them in one answer, each answer after the latency. Local
and remote runs are interleaved. Exit 1 if a figure to reach is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from compare import DLCLINT, HERE, Sample, measure
from figures import all_met
from models import MODELS, ensure

sys.path.insert(0, str(HERE.parent / "tests" / "remote"))
from range_server import serving  # the server of the tests

TRIPS = 8
LARGEST = "decoder_2gb"


@dataclass(frozen=True)
class Cost:
    """Medians of a model: local, remote without and with latency."""

    size: int
    here: Sample
    near: Sample
    far: Sample
    requests: int
    sent: int


def cost(path: Path, latency: float, runs: int) -> Cost:
    """Measure one model; external data are next to it."""
    samples: dict[str, list[Sample]] = {"here": [], "near": [], "far": []}
    with serving(path.parent) as served:
        url = f"{served.url}/{path.name}"
        for _ in range(runs):
            samples["here"].append(measure([DLCLINT, "check", "--isolated", "--no-weights", str(path)]))
            for name, seconds in (("near", 0.0), ("far", latency)):
                served.latency = seconds
                served.requests.clear()
                served.sent = 0
                samples[name].append(measure([DLCLINT, "check", "--isolated", "--no-weights", url]))
        medians = {name: _median(taken) for name, taken in samples.items()}
        return Cost(
            path.stat().st_size,
            medians["here"],
            medians["near"],
            medians["far"],
            len(served.requests),
            served.sent,
        )


def _median(samples: list[Sample]) -> Sample:
    if any(sample.ended for sample in samples):
        raise SystemExit("a run was ended by a signal")
    return Sample(
        *(
            statistics.median(getattr(sample, name) for sample in samples)
            for name in ("seconds", "megabytes")
        ),
        "",
    )


def main() -> int:
    """Print the table, and which of the figures to reach are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--models", type=Path, default=HERE / "models")
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=MODELS, action="append")
    args = parser.parse_args()
    named = args.only or ([] if args.files else ["resnet50", "bert_base", LARGEST])
    paths = [*args.files, *(ensure(name, args.models) for name in named)]
    late = f"{1000 * args.latency:.0f} ms"
    print(
        f"| model | bytes | read | share | requests | s at hand | s over HTTP | s at {late} |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    figures: list[tuple[str, float, float]] = []
    for path in paths:
        one = cost(path, args.latency, args.runs)
        print(
            f"| {path.name} | {one.size:,} | {one.sent:,} | {one.sent / one.size:.2%} | {one.requests} "
            f"| {one.here.seconds:.2f} | {one.near.seconds:.2f} | {one.far.seconds:.2f} |",
            flush=True,
        )
        if path.stem == LARGEST:
            bound = 1.5 * one.here.seconds + args.latency * TRIPS
            figures += [
                ("1.99 GB: MB read", one.sent / 1e6, 20),
                ("1.99 GB: requests", one.requests, 60),
                ("1.99 GB: share of the bytes", one.sent / one.size, 0.02),
                (f"1.99 GB: seconds at {late}", one.far.seconds, bound),
            ]
    print()
    return 0 if all_met(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
