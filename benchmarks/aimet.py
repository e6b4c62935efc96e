"""`dlclint equalize` against AIMET's cross-layer equalization: the same pairs, the same ranges?

    python benchmarks/aimet.py [--aimet DIR] [--make-aimet] [--record] [MODEL ...]

AIMET is in a separate environment (`--make-aimet` builds it). Without models, those of
`benchmarks/equalize.py` are compared. AIMET scales a model once; the paper and dlclint continue until ranges
are stable, so AIMET's scaling is repeated as well, and both its states are compared. `--record` writes what
docs/tables/equalization.md shows.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from dlclint.analysis.cle.absorption import HighBias
from dlclint.analysis.cle.layers import read_layer
from dlclint.analysis.cle.matching import match, norm_behind
from dlclint.analysis.view import ModelView
from dlclint.engine.equalize import Options, Relu6, write_equalized
from dlclint.model.reading import read
from dlclint.target import Target
from dlclint.version import __version__
from scaled import MODELS, ensure

HERE = Path(__file__).parent
RECORD = HERE / "recorded" / "aimet.json"
NEAR = 1e-3
Pairs = set[tuple[str, str]]


def named(source: Path, target: Path) -> None:
    """A copy in which every node has a name, because AIMET looks nodes up by name."""
    model = onnx.load(source)
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    onnx.save(model, target)


def ranges(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """The range of each output channel of every convolution, as the quantizer sees it."""
    view = ModelView(read(path), Target())
    by_name = {}
    for node in view.model.graph.nodes:
        if node.op_type == "Conv":
            weight = read_layer(node, norm_behind(node, view.folded)).weight
            by_name[node.name] = weight.output_ranges(np.ones(weight.cells.inputs))
    return by_name


def pairs_of(path: Path, extended: bool) -> Pairs:
    """The pairs that dlclint finds."""
    view = ModelView(read(path), Target())
    pairs = match(view.model, view.folded, extended).pairs
    return {(pair.first.name, pair.second.name) for pair in pairs}


def largest(ours: Path, theirs: Path, layers: set[str]) -> float:
    """Largest relative difference of a range, over the given convolutions."""
    one, other = ranges(ours), ranges(theirs)
    apart = 0.0
    for name in layers:
        alive = (one[name] > 0) & (other[name] > 0)
        apart = max(apart, float(np.abs(one[name][alive] / other[name][alive] - 1).max(initial=0.0)))
    return apart


def compare(name: str, source: Path, python: Path) -> dict[str, Any] | None:
    """Compare one model, and print pairs that only one of both finds; None if AIMET stops with an error."""
    with tempfile.TemporaryDirectory() as folder:
        model, ours, once, settled = (
            Path(folder, f"{part}.onnx") for part in ("m", "ours", "once", "settled")
        )
        named(source, model)
        done = subprocess.run(
            [python, HERE / "aimet_worker.py", model, once, settled], stdout=subprocess.PIPE, text=True
        )
        if done.returncode:
            return None
        said = json.loads(done.stdout.splitlines()[-1])
        theirs = {(first, second) for first, second in said["pairs"]}
        dlclint_pairs = pairs_of(model, extended=False)
        write_equalized(model, ours, Options(relu6=Relu6.ANYWAY, high_bias=HighBias.KEEP))
        both = dlclint_pairs & theirs
        # A layer's ranges agree only if both scale all of its chain.
        touched = {layer for pair in dlclint_pairs ^ theirs for layer in pair}
        while any(bool(touched & set(pair)) and not set(pair) <= touched for pair in both):
            touched |= {layer for pair in both if touched & set(pair) for layer in pair}
        layers = {layer for pair in both for layer in pair} - touched
        after_once = largest(ours, once, layers) if layers else 0.0
        after_all = largest(ours, settled, layers) if layers else 0.0
        for who, only in (("dlclint", dlclint_pairs - theirs), ("AIMET", theirs - dlclint_pairs)):
            for first, second in sorted(only)[:3]:
                print(f"  only {who}: {first} -> {second}", file=sys.stderr)
        return {
            "name": name,
            "ours": len(dlclint_pairs),
            "theirs": len(theirs),
            "both": len(both),
            "once": after_once,
            "settled": after_all,
            "sweeps": said["sweeps"],
            "layers": len(layers),
            "version": said["version"],
        }


def main() -> int:
    """Exit 1 if ranges differ by more than a thousandth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--aimet", type=Path, default=HERE / "aimet")
    parser.add_argument("--make-aimet", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--built", type=Path, default=HERE / "models", help="where built models lie")
    args = parser.parse_args()
    python = args.aimet / "bin" / "python"
    if args.make_aimet and not python.exists():
        venv.create(args.aimet, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "aimet-onnx"], check=True)
    if not python.exists():
        print("no AIMET: run with --make-aimet", file=sys.stderr)
        return 2
    models = {path.stem: path for path in args.models} or {n: ensure(n, args.built) for n in MODELS}
    rows = []
    for name, path in models.items():
        row = compare(name, path, python)
        if row is None:
            print(f"{name}: AIMET stops with an error", flush=True)
            continue
        rows.append(row)
        print(
            f"{name}: {row['ours']} pairs of dlclint, {row['theirs']} of AIMET, {row['both']} of both; "
            f"ranges of {row['layers']} layers apart by {row['once']:.1e} after one run of AIMET, by "
            f"{row['settled']:.1e} after {row['sweeps']}",
            flush=True,
        )
    if args.record:
        RECORD.parent.mkdir(exist_ok=True)
        said = {"date": datetime.date.today().isoformat(), "version": __version__, "models": rows}
        RECORD.write_text(json.dumps(said, indent=2) + "\n", "utf-8")
    return 0 if len(rows) == len(models) and all(row["settled"] < NEAR for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
