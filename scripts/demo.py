"""`make demo`: lint a real network for a chip, plan its quantization, then lint and fix a flawed model."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from onnx import parser

FLAWED = """<ir_version: 8, opset_import: ["" : 17]>
flawed (float[N,3,224,224] image) => (float[N,3] result) {
  doubled = Add(image, image)
  erf = Erf(doubled)
  result = Det(erf)
}"""


def run(command: str, path: Path, *options: str) -> int:
    """Run a command of dlclint as a user would, and say what is run."""
    print(f"\n$ dlclint {' '.join((command, *options, path.name))}", flush=True)
    line = [sys.executable, "-m", "dlclint", command, *options, path.name]
    return subprocess.run(line, cwd=path.parent).returncode


def main() -> int:
    """Exit 0 if the good network is clean and the flawed one is fixed as far as it can be."""
    network = Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx"
    statuses = [run("check", network, "--soc", "sm8650", "--runtime", "htp", "--quantize")]
    statuses.append(run("plan", network, "--soc", "sm8650"))
    with tempfile.TemporaryDirectory() as folder:
        flawed = Path(folder, "flawed.onnx")
        onnx.save(parser.parse_model(FLAWED), flawed)
        statuses.append(run("check", flawed))
        statuses.append(run("fix", flawed, "-s", "N", "1", "--diff"))
    # Det is in no table and nothing can fix it: both say so by exit status 1.
    return 0 if statuses == [0, 0, 1, 1] else 1


if __name__ == "__main__":
    sys.exit(main())
