"""`make demo`: lint a real network for HTP, then a small flawed model."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import parser

FLAWED = """<ir_version: 8, opset_import: ["" : 17]>
flawed (float[N,3,224,224] image) => (float[N,3,224,224] result) {
  doubled = Add(image, image)
  erf = Erf(doubled)
  result = Det(erf)
}"""


def check(path: Path, *options: str) -> int:
    """Run `dlclint check` as a user would, and say what is run."""
    print(f"\n$ dlclint check {' '.join(options)} {path.name}", flush=True)
    return subprocess.run([sys.executable, "-m", "dlclint", "check", *options, str(path)]).returncode


def main() -> int:
    """Exit 0 if the good network is clean and the flawed one is not."""
    network = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
    clean = check(network, "--runtime", "htp", "--quantize")
    with tempfile.TemporaryDirectory() as folder:
        flawed = Path(folder, "flawed.onnx")
        onnx.save(parser.parse_model(FLAWED), flawed)
        found = check(flawed)
    return 0 if (clean, found) == (0, 1) else 1


if __name__ == "__main__":
    sys.exit(main())
