"""Peak memory and time of `dlclint fix` on a 2 GB model, compared with a plain copy of the file.

    python benchmarks/fixing.py [--models DIR] [--runs N]

The flaw is an input that nothing reads, so that every weight must reach the output unchanged: copied within
the file, or from external data into a data file next to the output. Outputs are written without verification,
which would load both models into ONNX Runtime.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import onnx

from compare import DLCLINT, Sample, measure
from models import ensure

COPY = "import shutil, sys; [shutil.copy(path, sys.argv[1]) for path in sys.argv[2:]]"
PEAK_MB = 300
"""The memory limit of fixing a 2 GB model."""


def flawed(source: Path, folder: Path) -> Path:
    """The model with an input that nothing reads: the smallest flaw there is."""
    from dlclint.model.draft import open_draft
    from dlclint.model.writing import write_model

    draft = open_draft(source)
    draft.proto.graph.input.append(onnx.helper.make_tensor_value_info("unused", 1, [1]))
    target = folder / "flawed.onnx"
    write_model(draft, target)
    return target


def main() -> int:
    """Exit 1 if a run takes more memory than `PEAK_MB`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path(__file__).parent / "models")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    worst = 0.0
    for name in ("decoder_2gb", "decoder_2gb_external"):
        source = ensure(name, args.models)
        with tempfile.TemporaryDirectory(dir=source.parent) as text:
            folder = Path(text)
            model = flawed(source, folder)
            target = folder / "elsewhere"
            target.mkdir()
            fix = [DLCLINT, "fix", "--isolated", "--no-verify", str(model), "-o", str(target / "out.onnx")]
            fix += ["--select", "model/unused-input"]
            parts = [str(path) for path in folder.glob("flawed.onnx*")]
            copy = [sys.executable, "-c", COPY, str(target), *parts]
            samples: dict[str, list[Sample]] = {"dlclint fix": [], "copy": []}
            for _ in range(args.runs):
                for label, command in (("dlclint fix", fix), ("copy", copy)):
                    samples[label].append(measure(command))
                    written = sum(path.stat().st_size for path in target.iterdir())
                    assert written > 1.9e9, f"{label} wrote {written} bytes"
                    for path in target.iterdir():
                        path.unlink()
            seconds = {
                label: statistics.median(sample.seconds for sample in costs)
                for label, costs in samples.items()
            }
            peak = max(sample.megabytes for sample in samples["dlclint fix"])
            worst = max(worst, peak)
            ratio = seconds["dlclint fix"] / seconds["copy"]
            print(f"{name}: peak {peak:.0f} MB, {seconds['dlclint fix']:.2f} s, {ratio:.1f} times a copy")
    return 1 if worst > PEAK_MB else 0


if __name__ == "__main__":
    sys.exit(main())
