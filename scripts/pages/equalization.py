"""The coverage and gain of cross-layer equalization, computed again, and recorded benchmarks."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import onnx

from dlclint.analysis.cle.matching import match
from dlclint.analysis.view import ModelView
from dlclint.engine.equalize import Options, write_equalized
from dlclint.model.reading import read
from dlclint.target import Target
from pages._markdown import table

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NETWORKS = {
    "ResNet-50": "resnet50",
    "ShuffleNet": "shufflenet",
    "VGG-19": "vgg19",
    "Inception v1": "inception_v1",
    "Inception v2": "inception_v2",
    "SqueezeNet": "squeezenet",
}
WORST = 5

PAIRS = """
## What the quantizer supports

The table lists the pairs in the light networks of the onnx package (structure only), with and without batch
normalization, the pairs of `dlclint equalize --extended`, and the ops that follow the convolutions without a
pair.

"""
GAINS = """
## What it gains

The networks have seeded weights, batch normalization, and channels whose scales differ by a factor of about a
hundred inside each block (`benchmarks/scaled.py`). They are built and equalized again whenever this page is
generated. The table lists the {worst} worst weights at 8 bits per tensor. *Range ratio* is the ratio of the
widest to the narrowest output channel, and *SQNR* is the signal-to-quantization-noise ratio of the complete
weight. *In chain* weights every channel by the energy that its neighbors' weights give it, because a small
channel matters if the next convolution multiplies it. Both are predicted from the weights; the tests compare
them with the measured error.
"""
SPEED = """
## What it costs

Recorded on {date} by `python benchmarks/equalize.py --record` (dlclint {version}, {cores} cores under a load
average of {load}, complete processes, alternating with the processes of the comparison). *Processor* is the
sum of seconds over all cores. The difference is relative to the size of the output, the largest on 20 random
inputs.

"""
LARGE = """
Models of 2 GB with `--extended`, with their weights in the model or in a separate file, compared with copying
the same files to the disk and reading them once. With `--verify`, ONNX Runtime loads both models, one after
the other.

"""
AIMET = """
## Comparison with AIMET

Recorded on {date} by `python benchmarks/aimet.py --record` (dlclint {version}, aimet-onnx {aimet}): the
pairs, and the largest relative difference of an output channel's range after one run of AIMET, and after
repeated runs until it settles.

"""


@cache
def files() -> dict[str, str]:
    """docs/tables/equalization.md."""
    parts = (*_pairs(), *_gains(), *_speed(), *_aimet())
    return {"docs/tables/equalization.md": "# Equalization in figures\n" + "".join(parts)}


def _pairs() -> Iterator[str]:
    rows = []
    for title, name in NETWORKS.items():
        view = ModelView(read(LIGHT / f"light_{name}.onnx"), Target())
        matching = match(view.model, view.folded)
        more = match(view.model, view.folded, extended=True)
        whole = sum(pair.is_whole for pair in matching.pairs)
        outside = Counter(stop.at for stop in matching.outside()).most_common()
        numbers = (len(matching.convolutions), whole, len(matching.pairs) - whole, len(more.pairs))
        rows.append((title, *map(str, numbers), ", ".join(f"{at} {count}" for at, count in outside) or "-"))
    yield PAIRS
    head = (
        "network",
        "convolutions",
        "pairs, whole",
        "pairs, bare",
        "--extended",
        "what keeps the others out",
    )
    yield table(head, rows)


def _gains() -> Iterator[str]:
    sys.path.insert(0, str(BENCHMARKS))
    import scaled

    yield GAINS.format(worst=WORST)
    for name, make in scaled.MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "source.onnx")
            source.write_bytes(make().SerializeToString())
            outcome = write_equalized(source, Path(folder, "equalized.onnx"), Options())
        worst = sorted(outcome.layers, key=lambda row: row.chain_sqnr_before)[:WORST]
        rows = (
            (
                row.node,
                f"{row.spread_before:.0f} -> {row.spread_after:.0f}",
                f"{row.sqnr_before:.1f} -> {row.sqnr_after:.1f}",
                f"{row.chain_sqnr_before:.1f} -> {row.chain_sqnr_after:.1f}",
            )
            for row in worst
        )
        yield f"\n{name}: {outcome.pairs} pairs, {len(outcome.layers)} weights\n\n"
        yield table(("convolution", "range ratio", "SQNR, dB", "SQNR in chain, dB"), rows)


def _speed() -> Iterator[str]:
    said = _recorded("equalize")
    yield SPEED.format(**said)
    yield table(
        (
            "network",
            "seconds",
            "processor",
            "MB",
            "times onnx.load and save",
            "largest difference",
            "second run",
        ),
        (
            (
                row["name"],
                *_figures(row),
                f"{row['difference']:.1e}",
                "changes nothing" if row["settled"] else "changes the model",
            )
            for row in said["networks"]
        ),
    )
    yield LARGE
    yield table(
        (
            "model",
            "pairs",
            "chains",
            "seconds",
            "processor",
            "MB",
            "times copying and reading",
            "MB with --verify",
        ),
        (
            (
                row["name"],
                str(row["pairs"]),
                str(row["chains"]),
                *_figures(row),
                str(row["verified_megabytes"] or "-"),
            )
            for row in said["large"]
        ),
    )


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    return f"{row['seconds']:.1f}", f"{row['processor']:.1f}", str(row["megabytes"]), f"{row['ratio']:.1f}"


def _aimet() -> Iterator[str]:
    said = _recorded("aimet")
    versions = ", ".join(sorted({row["version"] for row in said["models"]}))
    yield AIMET.format(aimet=versions, **said)
    yield table(
        ("model", "pairs, dlclint", "pairs, AIMET", "both", "apart, AIMET once", "apart, settled", "layers"),
        (
            (
                row["name"],
                str(row["ours"]),
                str(row["theirs"]),
                str(row["both"]),
                f"{row['once']:.1e}" if row["layers"] else "-",
                f"{row['settled']:.1e} ({row['sweeps']} runs)" if row["layers"] else "-",
                str(row["layers"]),
            )
            for row in said["models"]
        ),
    )


def _recorded(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((BENCHMARKS / "recorded" / f"{name}.json").read_text("utf-8"))
    return data
