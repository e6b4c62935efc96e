"""How well estimated ranges of activations cover the values of ONNX Runtime on random normalized inputs.

    python benchmarks/ranges.py [--runs N] [MODEL ...]

Without models: the light networks of the onnx package. Float inputs are drawn normal, with mean 0 and
deviation 1; integer ones, evenly below what the tables that they index allow. Each model is evaluated as it
is, and once more with `--input-moments NAME 0 1` for every float input, which is then true. Prints, by what
the estimates rest on, how many there are, the ratio of estimated to measured width, and the share of values
inside.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from dlclint.analysis.activations.estimate import Basis
from dlclint.analysis.plan.figures import carried
from dlclint.analysis.view import ModelView
from dlclint.model.dimensions import Dimensions
from dlclint.model.reading import read
from dlclint.model.types import is_float
from dlclint.target import DlcKind, Target

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
AT_ONCE = 64
"""Activations that are kept in memory together."""
Rows = dict[Basis, list[tuple[float, float]]]


def feeds(view: ModelView, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """An input of each kind; dimensions left open are 1."""
    graph = view.model.graph
    feed = {}
    for name in graph.inputs:
        kind = graph.type_of(name)
        assert kind is not None
        shape = [dim if isinstance(dim, int) else 1 for dim in kind.shape or ()]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.data_type)
        if is_float(kind.data_type):
            feed[name] = generator.normal(size=shape).astype(dtype)
        else:
            limits = [
                table.shape[0]
                for node in graph.consumers(name)
                if node.op_type == "Gather" and (table := graph.constant(node.input(0))) is not None
            ]
            feed[name] = generator.integers(0, min(limits, default=2), shape).astype(dtype)
    return feed


def measured(path: Path, names: list[str], feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The values of tensors, read as outputs of the model."""
    proto = onnx.load(path)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, feed), strict=True))


def judge(path: Path, runs: int, moments: bool) -> tuple[int, int, Rows]:
    """The number of activations, how many are estimated, and ratio and share by basis."""
    plain = ModelView(read(path, Dimensions()), Target(kind=DlcKind(quantize=True)))
    graph = plain.model.graph
    floats = [n for n in graph.inputs if (kind := graph.type_of(n)) is not None and is_float(kind.data_type)]
    said = tuple((name, 0.0, 1.0) for name in floats) if moments else ()
    view = plain.aimed(Target(kind=DlcKind(quantize=True), input_moments=said))
    total = [name for name, _ in carried(view)]
    known = [name for name in total if name in view.activations]
    rows: Rows = defaultdict(list)
    for start in range(0, len(known), AT_ONCE):
        names = known[start : start + AT_ONCE]
        draws = [measured(path, names, feeds(view, np.random.default_rng(seed))) for seed in range(runs)]
        for name in names:
            values = np.concatenate([draw[name].reshape(-1) for draw in draws]).astype(np.float64)
            estimate = view.activations[name]
            slack = 1e-6 * max(1.0, abs(estimate.minimum), abs(estimate.maximum))
            inside = (values >= estimate.minimum - slack) & (values <= estimate.maximum + slack)
            width = float(np.ptp(values))
            if width > 0.0 and np.isfinite(width):
                ratio = (estimate.maximum - estimate.minimum) / width
                rows[estimate.basis].append((ratio, float(inside.mean())))
    return len(total), len(known), rows


def main() -> int:
    """Print a table; exit 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, default=sorted(LIGHT.glob("*.onnx")))
    parser.add_argument("--runs", type=int, default=2)
    args = parser.parse_args()
    print(
        "| model | inputs said | estimated | basis | tensors | width: least, median, most"
        " | inside: least, median |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for path in args.models:
        for moments in (False, True):
            total, known, rows = judge(path, args.runs, moments)
            for basis in sorted(rows):
                ratios, shares = zip(*rows[basis], strict=True)
                print(
                    f"| {path.stem} | {'0 1' if moments else 'no'} | {known} of {total} | {basis.words}"
                    f" | {len(ratios)}"
                    f" | {min(ratios):.2g}, {statistics.median(ratios):.2g}, {max(ratios):.2g}"
                    f" | {min(shares):.1%}, {statistics.median(shares):.1%} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
