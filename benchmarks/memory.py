"""The memory that `dlclint simulate` needs for a large model and many inputs.

    python -m benchmarks.memory [--megabytes 500] [--inputs 100] [--most 4] [-- OPTION ...]
    python -m benchmarks.memory --model FILE --npz FILE [--inputs 100]

A decoder of random weights in float32 is made, of the given size, with its inputs, and given to
`dlclint simulate`; options behind `--` go to that command too. `--model` takes another model, and `--npz` its
inputs. Printed are seconds and the largest resident memory that the process and those it starts had together
(measured 20 times a second), and whether that is below `--most` GiB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
from benchmarks.figures import told
from onnx import TensorProto, helper, numpy_helper

from dlclint.contained.watching import resident

WIDTH, HEADS, TOKENS, WORDS = 1024, 16, 32, 1000


def decoder(target: Path, megabytes: int) -> None:
    """Decoder layers (attention, then a feed-forward part of four times the width) behind an embedding."""
    random = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    stored: list[onnx.TensorProto] = []

    def store(name: str, values: np.ndarray) -> str:
        stored.append(numpy_helper.from_array(values, name))
        return name

    def op(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def linear(data: str, name: str, rows: int, columns: int) -> str:
        weight = random.standard_normal((rows, columns), np.float32) / np.float32(np.sqrt(rows))
        product = op("MatMul", [data, store(f"{name}_w", weight)], f"{name}_product")
        return op("Add", [product, store(f"{name}_b", np.zeros(columns, np.float32))], name)

    def norm(data: str, name: str) -> str:
        scale, shift = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
        return op("LayerNormalization", [data, store(f"{name}_g", scale), store(f"{name}_s", shift)], name)

    store("heads", np.array([1, TOKENS, HEADS, WIDTH // HEADS], np.int64))
    store("joined", np.array([1, TOKENS, WIDTH], np.int64))
    store("root", np.float32(np.sqrt(WIDTH / HEADS)))
    mask = np.triu(np.full((TOKENS, TOKENS), -100.0, np.float32), 1)
    store("mask", mask.reshape(1, 1, TOKENS, TOKENS))
    table = store("words", random.standard_normal((WORDS, WIDTH), np.float32))
    here = op("Gather", [table, "tokens"], "embedded")
    layers = max(1, round(megabytes * 1e6 / (12 * WIDTH * WIDTH * 4)))
    for layer in range(layers):
        normed = norm(here, f"n{layer}")
        sides = []
        for side in ("q", "k", "v"):
            projected = linear(normed, f"{side}{layer}", WIDTH, WIDTH)
            projected = op("Reshape", [projected, "heads"], f"{side}{layer}_split")
            perm = [0, 2, 3, 1] if side == "k" else [0, 2, 1, 3]
            sides.append(op("Transpose", [projected], f"{side}{layer}_turned", perm=perm))
        products = op("Div", [op("MatMul", sides[:2], f"p{layer}"), "root"], f"d{layer}")
        shares = op("Softmax", [op("Add", [products, "mask"], f"m{layer}")], f"s{layer}", axis=-1)
        mixed = op(
            "Transpose", [op("MatMul", [shares, sides[2]], f"x{layer}")], f"t{layer}", perm=[0, 2, 1, 3]
        )
        out = linear(op("Reshape", [mixed, "joined"], f"j{layer}"), f"o{layer}", WIDTH, WIDTH)
        here = op("Add", [here, out], f"a{layer}")
        wide = op("Relu", [linear(norm(here, f"f{layer}"), f"u{layer}", WIDTH, 4 * WIDTH)], f"r{layer}")
        here = op("Add", [here, linear(wide, f"w{layer}", 4 * WIDTH, WIDTH)], f"y{layer}")
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, TOKENS])
    projected = helper.make_tensor_value_info(here, TensorProto.FLOAT, [1, TOKENS, WIDTH])
    graph = helper.make_graph(nodes, "decoder", [tokens], [projected], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), target)


def held(pid: int) -> int:
    """Bytes of resident memory of a process and of those that it started."""
    try:
        family = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:  # it ended
        return 0
    return sum(map(resident, (pid, *(process.pid for process in family))))


def main() -> int:
    """Exit 1 where the command fails or needs more."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--npz", type=Path)
    parser.add_argument("--most", type=float, default=4.0, metavar="GIB")
    parser.add_argument("options", nargs="*", metavar="OPTION")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, inputs = args.model, args.npz
        if model is None:
            model, inputs = Path(folder) / "decoder.onnx", Path(folder) / "inputs.npz"
            decoder(model, args.megabytes)
            np.savez(inputs, tokens=np.random.default_rng(1).integers(0, WORDS, (args.inputs, TOKENS)))
        size = model.stat().st_size
        words = [sys.executable, "-m", "dlclint", "simulate", str(model), "--inputs", str(inputs)]
        words += ["--samples", str(args.inputs), "--isolated", "--format", "concise", *args.options]
        began, most = time.perf_counter(), 0
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        while process.poll() is None:
            most = max(most, held(process.pid))
            time.sleep(0.05)
        seconds = time.perf_counter() - began
        assert process.stdout is not None
        said = process.stdout.read().splitlines()
    print("\n".join(line for line in said if ": output " in line or "search" in line))
    if process.returncode == 2:
        return 1
    return int(
        not told(
            f"{size / 1e6:,.0f} MB, {args.inputs} inputs: {most / 2**30:.2f} GiB in {seconds:.0f} s, at most"
            f" {args.most:g} GiB",
            most <= args.most * 2**30,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
