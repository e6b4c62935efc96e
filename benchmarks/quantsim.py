"""The reference engine of `dlclint simulate` against AIMET's QuantSim, on the same grids and inputs.

    python -m benchmarks.quantsim MODEL ... --aimet DIR [--samples 4] [--bits 8 16]

DIR is an environment with aimet-onnx (`python benchmarks/aimet.py --make-aimet` builds one); AIMET is no
dependency. It calibrates the model with its configuration for HTP v73, runs its QuantSim, and exports its
encodings; dlclint reads these and runs the same inputs. Printed: what both leave of each network's worst
output, in dB, and how far they are apart. Inputs are drawn from a seed, for only the difference counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from dlclint.analysis.view import ModelView
from dlclint.encodings.reading import read_encodings
from dlclint.model.reading import read
from dlclint.simulate.assigning import Settings
from dlclint.simulate.inputs.drawn import drawn
from dlclint.simulate.measuring import Error
from dlclint.simulate.reference import outputs_of
from dlclint.simulate.simulating import Prepared, prepare
from dlclint.target import DlcKind, Runtime, Target

WORKER = Path(__file__).with_name("quantsim_worker.py")
NEAR = 0.5
"""dB that both may be apart."""


def fixed(source: Path, target: Path) -> None:
    """A copy whose open sizes are 1, whose initializers are no inputs, and whose nodes have names."""
    model = onnx.load(source)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in inputs:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.dim_value:
                dim.dim_value = 1
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"  # by which AIMET finds it
    onnx.save(model, target)


def worst(expected: list[dict[str, np.ndarray]], found: list[dict[str, np.ndarray]]) -> float:
    """SQNR of the worst output over all samples."""
    errors: dict[str, Error] = {}
    for one, two in zip(expected, found, strict=True):
        for name, values in one.items():
            errors.setdefault(name, Error()).add(values, two[name])
    return min(error.sqnr for error in errors.values())


def by_aimet(python: Path, model: Path, inputs: Path, bits: int, folder: Path) -> tuple[float, str]:
    """What QuantSim leaves, and AIMET's version; the encodings lie in the folder afterwards."""
    command = [str(python), str(WORKER), str(model), str(inputs), str(bits), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"AIMET stopped: {done.stderr.strip().splitlines()[-1]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    sides = []
    for name in ("float", "quantized"):
        with np.load(folder / f"{name}.npz") as loaded:
            sides.append([{key: loaded[key] for key in loaded.files}])
    return worst(*sides), said["version"]


def by_reference(prepared: Prepared) -> float:
    """What the reference engine leaves."""
    evaluator, samples = prepared.evaluator, prepared.samples
    exact, found = (list(outputs_of(evaluator, scheme, samples)) for scheme in (None, prepared.scheme))
    return worst(exact, found)


def main() -> int:
    """Print the table; exit 1 where both are further apart than `NEAR`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--aimet", type=Path, required=True, metavar="DIR")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 16])
    given = parser.parse_args()
    python = given.aimet / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    print(
        "| network | activations | AIMET QuantSim | dlclint, its encodings | apart |\n" + "|" + " --- |" * 5
    )
    far = 0
    for source in given.models:
        for bits in given.bits:
            with TemporaryDirectory() as place:
                folder = Path(place)
                model = folder / "fixed.onnx"
                fixed(source, model)
                view = ModelView(read(model), Target((Runtime.HTP,), kind=DlcKind(True, bits)))
                samples = drawn(view.model.graph, given.samples, 0, {})
                rows = list(samples)
                inputs = folder / "inputs.npz"
                np.savez(inputs, **{name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
                theirs, version = by_aimet(python, model, inputs, bits, folder)
                document = read_encodings(folder / "model.encodings")
                view = ModelView(read(folder / "folded.onnx"), view.target)
                ours = by_reference(prepare(view, samples, Settings(bits, 8, 32, True), document))
            apart = abs(ours - theirs)
            far += not apart <= NEAR
            print(
                f"| {source.stem} | {bits} bits | {theirs:.2f} dB | {ours:.2f} dB | {apart:.2f} dB |",
                flush=True,
            )
    print(f"\naimet-onnx {version}; {far} further apart than {NEAR:g} dB")
    return int(far > 0)


if __name__ == "__main__":
    sys.exit(main())
