"""The reference engine of `dlclint simulate` compared with AIMET's QuantSim, on the same grids and inputs.

    python -m benchmarks.quantsim MODEL ... --aimet DIR [--samples 4] [--bits 8 16]
    python -m benchmarks.quantsim --trained FOLDER NAME ... --aimet DIR

DIR is an environment with aimet-onnx (`python benchmarks/aimet.py --make-aimet` builds one); AIMET is not a
dependency. It calibrates the model with its configuration for HTP v73, runs its QuantSim, and exports its
encodings; dlclint reads these and runs the same inputs. `--trained` takes the networks and inputs of
`benchmarks.trained` by their names; other models get inputs that are drawn from a seed.

The engine applies what AIMET's file says and no more: a tensor without an entry stays float, and so do the
biases, which QuantSim adds in float (its int32 biases are computed in float32 with an offset of 2^31, and
lose their last 7 bits). Printed: how many numbers the worst output has, what both leave of it in dB, how far
they are apart, how far AIMET's values are from dlclint's, and what int32 biases leave, as dlclint has them by
default.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from benchmarks.trained_networks import NETWORKS

from dlclint.analysis.view import ModelView
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.reading import read_encodings
from dlclint.model.reading import read
from dlclint.simulate.assigning import Settings
from dlclint.simulate.inputs.drawn import drawn
from dlclint.simulate.inputs.samples import Sample, Samples
from dlclint.simulate.measuring import Error
from dlclint.simulate.network import Network
from dlclint.simulate.reference import outputs_of
from dlclint.simulate.scheme import Scheme
from dlclint.simulate.simulating import Prepared, prepare
from dlclint.target import DlcKind, Runtime, Target

WORKER = Path(__file__).with_name("quantsim_worker.py")
NEAR = 0.5
"""The largest difference between both, in dB."""


def fixed(source: Path, target: Path, sizes: Mapping[str, Sequence[int]]) -> None:
    """A copy with open sizes as said, or 1; initializers are not inputs of it, and its nodes have names."""
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
        node.name = node.name or f"{node.op_type}_{index}"  # AIMET looks nodes up by name
    onnx.save(model, target)


Outputs = dict[str, np.ndarray]
"""The outputs of all samples, by name, one sample after another along a first axis."""


def sqnrs(expected: Outputs, actual: Outputs) -> dict[str, float]:
    """SQNR of each output in dB, over all samples."""
    kept = {}
    for name, values in expected.items():
        error = Error()
        error.add(values, actual[name].reshape(values.shape))
        kept[name] = error.sqnr
    return kept


def by_aimet(python: Path, model: Path, inputs: Path, bits: int, folder: Path) -> tuple[list[Outputs], str]:
    """The outputs in float and of QuantSim, and AIMET's version; the encodings are in the folder then."""
    command = [str(python), str(WORKER), str(model), str(inputs), str(bits), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"AIMET stopped: {done.stderr.strip().splitlines()[-1]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    sides = []
    for name in ("float", "quantized"):
        with np.load(folder / f"{name}.npz") as loaded:
            sides.append({output: loaded[output] for output in loaded.files})
    return sides, said["version"]


def as_in_file(scheme: Scheme, document: EncodingsDocument, network: Network, bits: int) -> Scheme:
    """The scheme as QuantSim has it: what has no entry stays float, and every bias."""
    named = set(document.tensors.names)
    named |= {name for name, source in network.moved.items() if source in named}
    return replace(
        scheme,
        activations={name: grid for name, grid in scheme.activations.items() if name in named},
        params={name: grid for name, grid in scheme.params.items() if name in named},
        biases={},
        otherwise=bits,
        float_biases=True,
    )


def by_reference(prepared: Prepared, scheme: Scheme) -> Outputs:
    """The outputs of the reference engine."""
    rows = list(outputs_of(prepared.evaluator, scheme, prepared.samples))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def decibels(value: float) -> str:
    """A figure in a cell; all alike is infinitely many decibels."""
    return "the same" if value == float("inf") else f"{value:.2f} dB"


@dataclass
class Subject:
    """A model, the sizes of its inputs where they are open, and what makes samples of it."""

    name: str
    path: Path
    sizes: Mapping[str, Sequence[int]]
    arrays: Callable[[int], dict[str, np.ndarray]] | None = None

    def samples(self, view: ModelView, count: int) -> Samples:
        """So many samples."""
        if self.arrays is None:
            return drawn(view.model.graph, count, 0, {})
        arrays = self.arrays(count)

        def one(place: int) -> Sample:
            return {name: values[place : place + 1] for name, values in arrays.items()}

        return Samples(self.name, tuple(partial(one, place) for place in range(count)))


def subjects(args: argparse.Namespace) -> Iterator[Subject]:
    """The models to compare."""
    if args.trained is None:
        yield from (Subject(path.stem, path, {}) for path in map(Path, args.models))
        return
    for name, (file, inputs, words, _) in NETWORKS.items():
        if any(word.lower() in name.lower() for word in args.models):
            sizes = {
                words[at + 1]: list(map(int, words[at + 2].split(","))) for at in range(0, len(words), 3)
            }
            yield Subject(name, args.trained / file, sizes, partial(inputs, args.trained))


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
    args = parser.parse_args()
    python = args.aimet / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    print(
        "| network | activations | numbers | AIMET QuantSim | dlclint | apart | between | int32 biases |\n"
        + "|"
        + " --- |" * 8
    )
    far = 0
    for subject in subjects(args):
        for bits in args.bits:
            with TemporaryDirectory() as scratch:
                folder = Path(scratch)
                model = folder / "fixed.onnx"
                fixed(subject.path, model, subject.sizes)
                view = ModelView(read(model), Target((Runtime.HTP,), kind=DlcKind(True, bits)))
                samples = subject.samples(view, args.samples)
                rows = list(samples)
                inputs = folder / "inputs.npz"
                np.savez(inputs, **{name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
                (exact, theirs), version = by_aimet(python, model, inputs, bits, folder)
                document = read_encodings(folder / "model.encodings")
                view = ModelView(read(folder / "folded.onnx"), view.target)
                prepared = prepare(view, samples, Settings(bits, 8, 32, True), document)
                alike = as_in_file(prepared.scheme, document, prepared.network, bits)
                ours, usual = (by_reference(prepared, scheme) for scheme in (alike, prepared.scheme))
            of_aimet, of_dlclint = sqnrs(exact, theirs), sqnrs(exact, ours)
            worst = min(of_aimet, key=lambda name: of_aimet[name])
            apart = abs(of_aimet[worst] - of_dlclint[worst])
            far += not apart <= NEAR
            figures = (
                of_aimet[worst],
                of_dlclint[worst],
                apart,
                sqnrs(theirs, ours)[worst],
                sqnrs(exact, usual)[worst],
            )
            cells = [subject.name, f"{bits} bits", f"{exact[worst].size:,}", *map(decibels, figures)]
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\naimet-onnx {version}; {far} further apart than {NEAR:g} dB")
    return int(far > 0)


if __name__ == "__main__":
    sys.exit(main())
