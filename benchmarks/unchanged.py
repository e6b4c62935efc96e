"""The time of a repeated run over many models: results come from the cache.

    python -m benchmarks.unchanged [--models N] [--format FORM]

Copies of a small network, each under a different name, are linted once, and then three times more; the best
of these is printed with the limit: 1,000 models in 2 s, 10,000 in 10 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from onnx import parser

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,8,16,16] x, float[1,8,16,16] z) => (float[1,8,16,16] y) {
  a = Relu(x) b = Sigmoid(z) c = Mul(a, b) d = Softplus(c) y = Add(d, x)
}"""
LIMITS = {1000: 2.0, 10_000: 10.0}


def main() -> int:
    """Exit 0 where the limit, if there is one for so many models, is kept."""
    args = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    args.add_argument("--models", type=int, default=1000)
    args.add_argument("--format", default="rich")
    asked = args.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        body = parser.parse_model(MODEL).SerializeToString()
        for number in range(asked.models):
            path = folder / "models" / f"{number // 100}" / f"{number}.onnx"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        time.sleep(3)  # what changed right before may change again unseen, and is hashed once more
        first = run(folder, asked.format)
        best = min(run(folder, asked.format) for _ in range(3))
    limit = LIMITS.get(asked.models)
    told = "" if limit is None else f"; limit {limit:g} s, {'kept' if best <= limit else 'MISSED'}"
    print(f"{asked.models} models: {first:.1f} s at first, {best:.2f} s unchanged ({asked.format}){told}")
    return 0 if limit is None or best <= limit else 1


def run(folder: Path, form: str) -> float:
    """Seconds of one whole process."""
    command = [sys.executable, "-m", "dlclint", "check", "--isolated", "--runtime", "htp", "--format", form]
    environment = {**os.environ, "DLCLINT_CACHE_DIR": str(folder / "cache")}
    started = time.perf_counter()
    done = subprocess.run(
        [*command, str(folder / "models")], env=environment, stdout=subprocess.DEVNULL, check=False
    )
    assert done.returncode in (0, 1), done.returncode
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
