"""`dlclint equalize`: what it preserves, how long it takes and how much memory, for whole processes.

    python benchmarks/equalize.py [--models DIR] [--runs N] [--only NAME] [--record]

Networks with badly scaled channels are equalized and compared with the originals on 20 random inputs (needs
ONNX Runtime). Convolutional models of 2 GB are equalized with their weights in the file and next to it; each
time a plain copy of the same files, flushed to the disk, and one reading of them are measured as well. Says
which figures are met; `--record` writes what docs/tables/equalization.md shows.
"""

from __future__ import annotations

import argparse
import datetime
import filecmp
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import scaled
from compare import DLCLINT, Sample, measure
from dlclint.version import __version__
from figures import all_met

RECORD = Path(__file__).parent / "recorded" / "equalize.json"
COPY = "import onnx, sys; onnx.save(onnx.load(sys.argv[1]), sys.argv[2])"
COPY_AND_READ = """
import os, shutil, sys
for path in sys.argv[2:]:
    copy = shutil.copy(path, sys.argv[1])
    handle = os.open(copy, os.O_RDWR)
    os.fsync(handle)
    os.close(handle)
    with open(path, "rb", buffering=0) as stream:
        buffer = bytearray(1 << 20)
        while stream.readinto(buffer):
            pass
"""
WHOLE = {
    "wide_resnet_2gb": ["--extended"],
    "wide_resnet_2gb_external": ["--extended"],
    "wide_vgg_2gb": ["--extended"],
}
VERIFIED = "wide_resnet_2gb"
SECONDS, MEGABYTES, DIFFERENCE = 10.0, 300.0, 1e-4
"""For both networks together; for 2 GB; on 20 random inputs."""


def report(command: list[str]) -> dict[str, Any]:
    """The JSON report of a command that must succeed."""
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=True)
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def in_turn(
    ours: list[str], theirs: list[str], runs: int, cleanup: Callable[[], None]
) -> tuple[list[Sample], list[Sample]]:
    """Both commands measured in turn."""
    taken: tuple[list[Sample], list[Sample]] = [], []
    for _ in range(runs):
        for samples, command in zip(taken, (ours, theirs), strict=True):
            samples.append(measure(command))
            if samples[-1].ended:
                raise SystemExit(f"{command} ended by {samples[-1].ended}")
            cleanup()
    return taken


def network(name: str, folder: Path, runs: int) -> dict[str, Any]:
    """A network with badly scaled channels: speed, what it computes, and a second run."""
    source = scaled.ensure(name, folder)
    with tempfile.TemporaryDirectory(dir=folder) as text:
        once, twice = str(Path(text, "once.onnx")), str(Path(text, "twice.onnx"))
        command = [DLCLINT, "equalize", str(source), "-o", once]
        ours, theirs = in_turn(command, [sys.executable, "-c", COPY, str(source), twice], runs, lambda: None)
        outcome = report([*command, "--verify", "20"])
        again = report([DLCLINT, "equalize", once, "-o", twice])
        same = not again["changed"] and filecmp.cmp(once, twice, shallow=False)
    return summary(ours, theirs) | {
        "name": name,
        "pairs": outcome["pairs"],
        "difference": outcome["checked"]["largest_relative"],
        "settled": same,
    }


def large(name: str, folder: Path, runs: int) -> dict[str, Any]:
    """A model of 2 GB: speed and memory, and for one of them with the comparison too."""
    source = models.ensure(name, folder)
    parts = [str(path) for path in sorted(folder.glob(f"{name}.onnx*"))]
    with tempfile.TemporaryDirectory(dir=folder) as text:
        target = Path(text)

        def cleanup() -> None:
            written = sum(path.stat().st_size for path in target.iterdir())
            assert written > 1.9e9, f"{name}: {written} bytes were written"
            for path in target.iterdir():
                path.unlink()

        command = [DLCLINT, "equalize", str(source), "-o", str(target / "o.onnx"), *WHOLE[name]]
        ours, theirs = in_turn(command, [sys.executable, "-c", COPY_AND_READ, text, *parts], runs, cleanup)
        outcome = report(command)
        verified = measure([*command, "--verify", "2"]) if name == VERIFIED else None
    return summary(ours, theirs) | {
        "name": name,
        "pairs": outcome["pairs"],
        "chains": len({row["chain"] for row in outcome["layers"]}),
        "verified_megabytes": None if verified is None else round(verified.megabytes),
    }


def summary(ours: list[Sample], theirs: list[Sample]) -> dict[str, Any]:
    """Seconds, processor seconds and megabytes of both."""
    return {
        "seconds": round(min(sample.seconds for sample in ours), 2),
        "processor": round(min(sample.processor for sample in ours), 2),
        "megabytes": round(max(sample.megabytes for sample in ours)),
        "ratio": round(
            statistics.median(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True)), 1
        ),
    }


def main() -> int:
    """Exit 1 if a figure is not met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--models", type=Path, default=Path(__file__).parent / "models")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=(*scaled.MODELS, *WHOLE), action="append")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    chosen = args.only or (*scaled.MODELS, *WHOLE)
    networks = [network(name, args.models, args.runs) for name in scaled.MODELS if name in chosen]
    for row in networks:
        print(
            f"{row['name']}: {row['pairs']} pairs, {row['seconds']} s ({row['processor']} s of processor), "
            f"{row['megabytes']} MB, {row['ratio']} times onnx.load and save, largest difference "
            f"{row['difference']:.1e}, a second run {'changes nothing' if row['settled'] else 'CHANGES'}",
            flush=True,
        )
    whole = []
    for name in (name for name in WHOLE if name in chosen):
        row = large(name, args.models, args.runs)
        whole.append(row)
        beside = f"; {row['verified_megabytes']} MB with --verify" if row["verified_megabytes"] else ""
        print(
            f"{name}: {row['pairs']} pairs, {row['chains']} chains, {row['seconds']} s ({row['processor']} s "
            f"of processor), {row['megabytes']} MB, {row['ratio']} times copying and reading{beside}",
            flush=True,
        )
    if args.record:
        RECORD.parent.mkdir(exist_ok=True)
        said = {
            "date": datetime.date.today().isoformat(),
            "version": __version__,
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "networks": networks,
            "large": whole,
        }
        RECORD.write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    figures = [
        ("both networks, seconds", sum(row["seconds"] for row in networks), SECONDS),
        ("largest difference", max((row["difference"] for row in networks), default=0.0), DIFFERENCE),
        ("2 GB, megabytes", max((row["megabytes"] for row in whole), default=0.0), MEGABYTES),
    ]
    met = all_met(figures)
    return 0 if met and all(row["settled"] for row in networks) else 1


if __name__ == "__main__":
    sys.exit(main())
