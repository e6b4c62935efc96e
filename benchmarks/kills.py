"""SIGKILL at random moments of fix, equalize and encodings: what is lost, and what is left behind.

    python benchmarks/kills.py [--kills 200] [--seed 0] [--command NAME ...]

Prints one line a command, and ends with status 1 where an input was lost or changed, an output was not whole,
or a temporary file stayed after the next run.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

COMMANDS = {
    "fix": ("fix", "--isolated", "in.onnx", "-o", "out.onnx"),
    "fix --in-place": ("fix", "--isolated", "in.onnx", "--in-place"),
    "equalize": ("equalize", "in.onnx", "-o", "out/out.onnx"),
    "encodings": ("encodings", "convert", "in.encodings", "--to", "1.0.0", "-o", "out.encodings"),
    "fix encodings": ("fix", "--isolated", "flawed.encodings", "--in-place"),
}
CHANGES = {"fix --in-place": "in.onnx", "fix encodings": "flawed.encodings"}
"""The input that a command replaces."""


def prepare(folder: Path) -> None:
    """A chain of convolutions with external data, an override file, and one with a flaw in each entry."""
    chance = np.random.default_rng(0)
    nodes, weights = [], []
    for i in range(6):
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}", f"b{i}"], [f"c{i}"], name="same"))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"], name=f"relu{i}"))
        values = chance.standard_normal((256, 256, 1, 1)) * chance.uniform(0.1, 10, (256, 1, 1, 1))
        weights.append(numpy_helper.from_array(values.astype(np.float32), f"w{i}"))
        weights.append(numpy_helper.from_array(chance.standard_normal(256).astype(np.float32), f"b{i}"))
    ends = [helper.make_tensor_value_info(name, 1, [1, 256, 8, 8]) for name in ("x0", "x6")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.save(model, folder / "in.onnx", save_as_external_data=True, location="in.data")
    _write_overrides(folder / "in.encodings", 20_000, {})
    _write_overrides(folder / "flawed.encodings", 2_000, {"offset": 128})
    (folder / "out").mkdir()


def _write_overrides(path: Path, count: int, flaw: dict[str, float]) -> None:
    entry = {"bitwidth": 8, "max": 1.0, "min": 0.0, "offset": 0, "scale": 1 / 255, "is_symmetric": "False"}
    entries = {f"t{i}": [{**entry, **flaw}] for i in range(count)}
    text = json.dumps({"activation_encodings": entries, "param_encodings": {}, "version": "0.6.1"}, indent=1)
    path.write_text(text, "utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(command: tuple[str, ...], folder: Path, seconds: float | None = None) -> bool:
    """Run a command, and kill it after so many seconds; returns whether it was killed."""
    process = subprocess.Popen(
        (sys.executable, "-m", "dlclint", *command),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def one(command: tuple[str, ...], changes: str, seconds: float) -> tuple[bool, int, int, int]:
    """Whether it was killed, and how many files were lost, were left by it, and stayed after the next run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        before = contents(folder)
        killed = run(command, folder, seconds)
        after = contents(folder)
        lost = sum(after.get(path) != body for path, body in before.items() if path != changes)
        lost += bool(changes) and changes not in after
        left = sum("dlclint-" in path for path in after)
        for output in ("out.onnx", "out/out.onnx", *([changes] if changes.endswith(".onnx") else ())):
            if output in after:
                try:
                    onnx.checker.check_model(str(folder / output))
                except Exception:
                    lost += 1
        run(command, folder)
        end = contents(folder)
        named = {"out.onnx", "out/out.onnx", "out.encodings"} | set(before)
        used = {
            str((folder / path).parent.relative_to(folder) / entry.value)
            for path in end
            if path.endswith(".onnx") and "dlclint-" not in path
            for tensor in onnx.load(folder / path, load_external_data=False).graph.initializer
            for entry in tensor.external_data
            if entry.key == "location"
        }
        return killed, lost, left, len(set(end) - named - used)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", action="append", choices=COMMANDS, help="repeatable (default: all)")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    totals = [0, 0]
    for name in args.command or COMMANDS:
        command = COMMANDS[name]
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder))
            start = time.perf_counter()
            run(command, Path(folder))
            whole = time.perf_counter() - start
        kills = lost = left = stayed = 0
        for _ in range(4 * args.kills):
            if kills >= args.kills / len(COMMANDS):
                break
            # The second half, as before that nothing is written yet.
            counts = one(command, CHANGES.get(name, ""), whole * chance.uniform(0.4, 1.05))
            if not counts[0]:
                whole *= 0.9  # it finishes sooner than when it was measured
            kills, lost, left, stayed = (
                kills + counts[0],
                lost + counts[1],
                left + counts[2],
                stayed + counts[3],
            )
        totals = [totals[0] + lost, totals[1] + stayed]
        print(
            f"{name:16} {kills:4} kills: {lost} lost, {left} left behind, {stayed} after the next run",
            flush=True,
        )
    return int(any(totals))


if __name__ == "__main__":
    sys.exit(main())
