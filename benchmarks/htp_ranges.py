"""Single quantized ops in one range after the other: what HTP keeps, and what the documents do.

    python -m benchmarks.htp_ranges [--soc SM8550 ...] [OP ...]

An op of one input gets 256 values from one end of a range to the other; input and output get exactly the
ranges of their values at 8 and at 16 bits. Printed for each: the SQNR of the output by the reference engine
and on Qualcomm's HTP backend. measured_ranges.json comes from here. It needs the extras `verify` and `qnn`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from dlclint.encodings import grid

POSITIVE = (
    (1e-4, 1e-2),
    (0.01, 0.1),
    (0.05, 0.5),
    (0.1, 1),
    (0.5, 2),
    (1, 4),
    (10, 40),
    (100, 400),
    (1e-3, 4),
)
BOTH = ((-0.01, 0.01), (-0.1, 0.1), (-1, 1), (-4, 4), (-8, 8), (-30, 30), (0, 0.1), (0, 6), (5, 10), (-20, 0))
Numbers = np.ndarray[Any, np.dtype[Any]]
OPS: dict[str, tuple[Callable[[Numbers], Numbers], tuple[tuple[float, float], ...]]] = {
    "Reciprocal": (np.reciprocal, POSITIVE),
    "Log": (np.log, POSITIVE),
    "Sqrt": (np.sqrt, POSITIVE),
    "Exp": (np.exp, tuple(ends for ends in BOTH if ends[1] <= 10)),
    "Sigmoid": (lambda x: 1 / (1 + np.exp(-x)), BOTH),
    "Tanh": (np.tanh, BOTH),
    "Sin": (np.sin, BOTH),
    "Cos": (np.cos, BOTH),
    "Abs": (np.abs, BOTH),
    "Neg": (np.negative, BOTH),
    "HardSwish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), BOTH),
    "HardSigmoid": (lambda x: np.clip(0.2 * x + 0.5, 0, 1), BOTH),
    "Elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), BOTH),
}
FAR = 6.0
"""Decibels below the documents from which a row is marked, if it also keeps less than 35 dB."""


def entry(values: Numbers, bits: int) -> list[dict[str, object]]:
    """An entry of 0.6.1 with the range of values."""
    encoding = grid.fit(values.min(), values.max(), bits)
    numbers = {"min": encoding.minimum, "max": encoding.maximum, "scale": encoding.scale}
    text = {"bitwidth": bits, "dtype": "int", "is_symmetric": "False", "offset": int(encoding.offset)}
    return [{**text, **{key: float(number) for key, number in numbers.items()}}]


def kept(folder: Path, op: str, ends: tuple[float, float], bits: int, soc: str) -> list[float]:
    """The SQNR of the reference engine and of HTP, in dB."""
    x = np.linspace(*ends, 256, dtype=np.float32)[None]
    shape = list(x.shape)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], name="op")], "g", values[:1], values[1:])
    imports = [helper.make_opsetid("", 14)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), folder / "m.onnx")
    np.save(folder / "x.npy", x)
    entries = {"x": entry(x, bits), "y": entry(OPS[op][0](x), bits)}
    sections = {"activation_encodings": entries, "param_encodings": {}, "version": "0.6.1"}
    (folder / "m.encodings").write_text(json.dumps(sections))
    command = [sys.executable, "-m", "dlclint", "simulate", "m.onnx", "--inputs", "x.npy", "--soc", soc]
    command += ["--encodings", "m.encodings", "--engine", "both", "--format", "json"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        raise SystemExit(run.stderr)
    (report,) = json.loads(run.stdout)["files"]
    return [engine["outputs"][0]["sqnr"] for engine in report["engines"]]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.htp_ranges", description=__doc__)
    parser.add_argument("ops", nargs="*", choices=[*OPS, []], default=[*OPS], metavar="OP")
    parser.add_argument("--soc", nargs="+", default=["SM8550"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for soc in args.soc:
            for op in args.ops:
                for ends in OPS[op][1]:
                    for bits in (8, 16):
                        reference, htp = kept(Path(folder), op, ends, bits, soc)
                        mark = "  <" if htp < reference - FAR and htp < 35 else ""
                        row = f"{soc} {op} {ends[0]:g} to {ends[1]:g}, {bits} bits"
                        print(f"{row}: documents {reference:.1f} dB, HTP {htp:.1f} dB{mark}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
