"""What `dlclint_schemas.record` saves in a short run, compared with frozen dataclasses with slots.

    python benchmarks/records.py [--runs N] [--file FILE]

A small model, or another file, is checked in separate processes, alternating between records and dataclasses
that replace them; the figures are processor times, the minimum of N runs of each.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path

MODEL = Path(__file__).parent.parent / "tests/fixtures/batch/not-one/bad_2.onnxtxt"
_RUN = """import sys
sys.argv[1:] = ["check", "--isolated", "--no-cache", sys.argv[1]]
from dlclint.cli.main import main
main()"""
_DATACLASSES = """import dataclasses, dlclint_schemas.record as record
record.record = dataclasses.dataclass(frozen=True, slots=True)
"""


def seconds(model: Path, plain: bool) -> float:
    """Processor seconds of one run, of its children too."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = (_DATACLASSES if plain else "import dlclint_schemas.record\n") + _RUN
    command = [sys.executable, "-c", code, str(model)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode not in (0, 1) or done.stderr:
        raise SystemExit(f"records: {done.stderr or done.stdout}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> int:
    """Print both times and the share that records save."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--file", type=Path, default=MODEL)
    args = parser.parse_args()
    times = [(seconds(args.file, False), seconds(args.file, True)) for _ in range(args.runs)]
    records, dataclasses = (min(each) for each in zip(*times, strict=True))
    print(f"records {records:.3f} s, dataclasses {dataclasses:.3f} s: {1 - records / dataclasses:.1%} saved")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
