"""Override files: `dlclint check` compared with `json.load` of the standard library, alternating processes.

    python benchmarks/encodings.py [--files DIR] [--runs N] [--count N]

Writes its files first: a million encodings in each layout, per tensor and per channel, without a flaw
and with one entry in a thousand flawed; ten thousand; and a handful. The numbers in them are random,
the shape and the digits are those of AIMET's exports.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import struct
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from compare import DLCLINT, measure
from figures import all_met

HERE = Path(__file__).parent
LOAD = "import json, sys; json.load(open(sys.argv[1], encoding='utf-8'))"
SYMMETRIC = 128
"""Of 8 bits."""


def single(value: float) -> float:
    """As AIMET's numbers: a float32 with all digits of its float64."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def numbers(chance: random.Random, symmetric: bool, flawed: bool) -> tuple[float, int]:
    """A scale and an offset, of the wrong sign where flawed."""
    offset = -SYMMETRIC if symmetric else -chance.randrange(1, 255)
    return single(chance.uniform(1e-4, 0.1)), -offset if flawed else offset


def legacy(count: int, channels: int, every: int) -> dict[str, Any]:
    """A 0.6.1 file of `count` encodings, `channels` for each tensor, one in `every` flawed (0: none)."""
    chance = random.Random(0)
    sections: dict[str, dict[str, Any]] = {"activation_encodings": {}, "param_encodings": {}}
    for tensor in range(count // channels):
        symmetric = channels > 1 or bool(tensor % 2)
        entries = []
        for _ in range(channels):
            scale, offset = numbers(chance, symmetric, bool(every) and tensor % every == every // 2)
            entry = {"bitwidth": 8, "dtype": "int", "is_symmetric": str(symmetric)}
            low = scale * min(offset, -offset)
            entry |= {"max": low + scale * 255, "min": low, "offset": offset, "scale": scale}
            entries.append(entry)
        name = f"features.{tensor}.conv.weight" if symmetric else f"/features.{tensor}/Conv_output_0"
        sections["param_encodings" if symmetric else "activation_encodings"][name] = entries
    return {**sections, "version": "0.6.1"}


def listed(count: int, channels: int, every: int) -> dict[str, Any]:
    """As `legacy`, a 1.0.0 file."""
    sections: dict[str, list[Any]] = {"activation_encodings": [], "param_encodings": []}
    for section, entries in legacy(count, channels, every).items():
        if section not in sections:
            continue
        for name, held in entries.items():
            entry = {
                "bw": 8,
                "dtype": "INT",
                "enc_type": "PER_CHANNEL" if channels > 1 else "PER_TENSOR",
                "is_sym": held[0]["is_symmetric"] == "True",
                "name": name,
                "offset": [each["offset"] for each in held],
                "scale": [each["scale"] for each in held],
            }
            sections[section].append(entry)
    return {**sections, "version": "1.0.0"}


def flat(count: int, channels: int, every: int) -> dict[str, Any]:
    """As `legacy`, a 2.0.0 file."""
    entries = []
    old = listed(count, channels, every)
    for entry in (*old["activation_encodings"], *old["param_encodings"]):
        several = channels > 1
        new = {"name": entry["name"], "output_dtype": "int8" if entry["is_sym"] else "uint8"}
        new["y_scale"] = entry["scale"] if several else entry["scale"][0]
        if several:
            new["axis"] = 0
        if not entry["is_sym"]:
            new["y_zero_point"] = -entry["offset"][0]
        entries.append(new)
    return {"encodings": entries, "version": "2.0.0"}


Make = Callable[[int, int, int], dict[str, Any]]
MILLION: dict[str, tuple[Make, int, int]] = {
    "0.6.1, per tensor": (legacy, 1, 0),
    "0.6.1, per tensor, flawed": (legacy, 1, 1000),
    "0.6.1, 64 channels": (legacy, 64, 0),
    "1.0.0, per tensor": (listed, 1, 0),
    "1.0.0, 64 channels": (listed, 64, 0),
    "2.0.0, per tensor": (flat, 1, 0),
}


def ensure(folder: Path, name: str, make: Make, count: int, channels: int, every: int) -> Path:
    """The file, written if it is not there."""
    path = folder / f"{name.replace(', ', '-').replace(' ', '_')}-{count}.encodings"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        # In a process of its own: children begin with the peak memory of their parent.
        writer = get_context("spawn").Process(target=write, args=(path, make, count, channels, every))
        writer.start()
        writer.join()
    return path


def write(path: Path, make: Make, count: int, channels: int, every: int) -> None:
    """Make a file and write it."""
    with path.open("w", encoding="utf-8") as stream:
        json.dump(make(count, channels, every), stream)


def main() -> int:
    """Measure, print a table and which figures are met; exit 1 if one is not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--files", type=Path, default=HERE / "models" / "encodings")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--count", type=int, default=1_000_000, help="encodings in the large files")
    parser.add_argument("--only", default="", help="only files whose name holds this")
    args = parser.parse_args()
    check = [DLCLINT, "check", "--isolated", "--no-cache", "--format", "concise"]
    load = [sys.executable, "-c", LOAD]
    # An installed package has its bytecode, as the standard library has: one run writes what is missing.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    measure([*check, __file__])
    figures: list[tuple[str, float, float]] = []
    print("| file | MB | json.load, s | dlclint check, s | times | peak MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    cases = [(name, args.count, *case) for name, case in MILLION.items()]
    cases += [(f"{name} (small)", 10_000, *MILLION[name]) for name in MILLION if "flawed" not in name]
    cases.append(("a handful", 10, legacy, 1, 0))
    for name, count, make, channels, every in cases:
        if args.only not in name:
            continue
        path = ensure(args.files, name, make, count, channels, every)
        taken = [(measure([*load, str(path)]), measure([*check, str(path)])) for _ in range(args.runs)]
        base = statistics.median(one.seconds for one, _ in taken)
        own = statistics.median(other.seconds for _, other in taken)
        times = statistics.median(other.seconds / one.seconds for one, other in taken)
        peak = max(other.megabytes for _, other in taken)
        size = path.stat().st_size / 1e6
        print(f"| {name} | {size:.1f} | {base:.2f} | {own:.2f} | {times:.1f} | {peak:.0f} |", flush=True)
        if count == args.count:
            figures.append((f"{name}: times json.load", times, 3))
            figures.append((f"{name}: peak MB", peak, 2000))
        else:
            figures.append((f"{name}: seconds", own, 0.5 if count > 10 else 0.3))
    print()
    return 0 if all_met(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
