"""`make demo`: lint an encoder for a chip, plan its quantization, then lint and fix a flawed model."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import onnx

from pages._networks import flawed, transformer


def run(command: str, path: Path, *options: str) -> int:
    """Run a command of dlclint as a user would, and print it."""
    print(f"\n$ dlclint {' '.join((command, *options, path.name))}", flush=True)
    line = [sys.executable, "-m", "dlclint", command, *options, path.name]
    return subprocess.run(line, cwd=path.parent).returncode


def main() -> int:
    """Exit 0 if the good network has no error and the flawed one is fixed as far as it can be."""
    with tempfile.TemporaryDirectory() as folder:
        network, flaws = Path(folder, "encoder.onnx"), Path(folder, "flawed.onnx")
        onnx.save(transformer(), network)
        onnx.save(flawed(), flaws)
        statuses = [run("check", network, "--soc", "sm8650", "--runtime", "htp", "--quantize")]
        statuses.append(run("plan", network, "--soc", "sm8650"))
        statuses.append(run("check", flaws, "--soc", "sm8650"))
        statuses.append(run("fix", flaws, "-s", "N", "1", "--diff"))
    # Det is in no table and nothing can fix it: both report that by exit status 1.
    return 0 if statuses == [0, 0, 1, 1] else 1


if __name__ == "__main__":
    sys.exit(main())
