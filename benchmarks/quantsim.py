"""The reference engine of `dlclint simulate` against AIMET's QuantSim, on the same grids and inputs.

    python -m benchmarks.quantsim MODEL ... --aimet DIR [--samples 4] [--bits 8 16]
    python -m benchmarks.quantsim --trained FOLDER NAME ... --aimet DIR

DIR is an environment with aimet-onnx (`python benchmarks/aimet.py --make-aimet` builds one); AIMET is no
dependency. It calibrates the model with its configuration for HTP v73, runs its QuantSim, and exports its
encodings; dlclint reads these and runs the same inputs. Printed: what both leave of each network's worst
output, in dB, and how far they are apart. `--trained` takes the networks and inputs of `benchmarks.trained`
by their names; other models get inputs that are drawn from a seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from benchmarks.trained_networks import NETWORKS

from dlclint.analysis.view import ModelView
from dlclint.encodings.reading import read_encodings
from dlclint.model.reading import read
from dlclint.simulate.assigning import Settings
from dlclint.simulate.inputs.drawn import drawn
from dlclint.simulate.inputs.samples import Sample, Samples
from dlclint.simulate.measuring import Error
from dlclint.simulate.reference import outputs_of
from dlclint.simulate.simulating import Prepared, prepare
from dlclint.target import DlcKind, Runtime, Target

WORKER = Path(__file__).with_name("quantsim_worker.py")
NEAR = 0.5
"""dB that both may be apart."""


def fixed(source: Path, target: Path, sizes: Mapping[str, Sequence[int]]) -> None:
    """A copy with open sizes as said, or 1; initializers are no inputs of it, and its nodes have names."""
    model = onnx.load(source)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        for dim, size in zip(dims, sizes.get(value.name, [1] * len(dims)), strict=True):
            if not dim.dim_value:
                dim.dim_value = size
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


@dataclass
class Subject:
    """A model, the sizes of its inputs where they are open, and what makes samples of it."""

    name: str
    path: Path
    sizes: Mapping[str, Sequence[int]]
    given: Callable[[int], dict[str, np.ndarray]] | None = None

    def samples(self, view: ModelView, count: int) -> Samples:
        """So many samples."""
        if self.given is None:
            return drawn(view.model.graph, count, 0, {})
        arrays = self.given(count)

        def one(place: int) -> Sample:
            return {name: values[place : place + 1] for name, values in arrays.items()}

        return Samples(self.name, tuple(partial(one, place) for place in range(count)))


def subjects(given: argparse.Namespace) -> Iterator[Subject]:
    """The models that are asked for."""
    if given.trained is None:
        yield from (Subject(path.stem, path, {}) for path in map(Path, given.models))
        return
    for name, (file, inputs, words, _) in NETWORKS.items():
        if any(word.lower() in name.lower() for word in given.models):
            sizes = {
                words[at + 1]: list(map(int, words[at + 2].split(","))) for at in range(0, len(words), 3)
            }
            yield Subject(name, given.trained / file, sizes, partial(inputs, given.trained))


def main() -> int:
    """Print the table; exit 1 where both are further apart than `NEAR`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--trained", type=Path, metavar="FOLDER", help="the models are names of its networks")
    parser.add_argument("--aimet", type=Path, required=True, metavar="DIR")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 16])
    given = parser.parse_args()
    python = given.aimet / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    print(
        "| network | activations | AIMET QuantSim | dlclint, its encodings | apart |\n" + "|" + " --- |" * 5
    )
    far = 0
    for subject in subjects(given):
        for bits in given.bits:
            with TemporaryDirectory() as place:
                folder = Path(place)
                model = folder / "fixed.onnx"
                fixed(subject.path, model, subject.sizes)
                view = ModelView(read(model), Target((Runtime.HTP,), kind=DlcKind(True, bits)))
                samples = subject.samples(view, given.samples)
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
                f"| {subject.name} | {bits} bits | {theirs:.2f} dB | {ours:.2f} dB | {apart:.2f} dB |",
                flush=True,
            )
    print(f"\naimet-onnx {version}; {far} further apart than {NEAR:g} dB")
    return int(far > 0)


if __name__ == "__main__":
    sys.exit(main())
