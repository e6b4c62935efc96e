"""Change named places of the code one at a time, and report which changes no test notices.

    python scripts/mutants.py [NAME ...]

The mutants are in .ci/mutants.toml, each with the tests that must notice it. A mutant is a copy of the three
packages that the tests import instead, so that no file of the checkout changes. The last line is the score.
Exit 1 if a mutant survives, 2 if one cannot be made. `.ci/mutation` changes whole modules at random.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
FOLDERS = ("lint", "rules", "schemas")


def mutated(text: str, before: str, after: str) -> str:
    """A module with one place changed.

    Raises:
        ValueError: the text to replace does not occur, or occurs twice.
    """
    if text.count(before) != 1:
        raise ValueError(f"{before!r} is there {text.count(before)} times")
    return text.replace(before, after)


def fails(tests: list[str], mutant: dict[str, Any] | None = None) -> bool:
    """Whether some tests fail on a copy of the code, with a mutant in it or as it is."""
    with tempfile.TemporaryDirectory(prefix="dlclint-mutant-") as name:
        copy = Path(name)
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant is not None:
            path = copy / mutant["file"]
            path.write_text(mutated(path.read_text("utf-8"), mutant["before"], mutant["after"]), "utf-8")
        paths = os.pathsep.join(str(copy / folder) for folder in FOLDERS)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise ValueError(f"pytest ended with status {done.returncode}: {done.stdout[-500:]}")
    return done.returncode == 1


def main(arguments: list[str] | None = None) -> int:
    """Run the mutants that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args(arguments)
    mutants = tomllib.loads((ROOT / ".ci" / "mutants.toml").read_text("utf-8"))["mutant"]
    chosen = [mutant for mutant in mutants if not args.names or mutant["name"] in args.names]
    killed = 0
    sound: set[tuple[str, ...]] = set()
    for mutant in chosen:
        tests = mutant["tests"]
        try:
            if tuple(tests) not in sound and fails(tests):
                raise ValueError(f"{' '.join(tests)} fail without it")
            sound.add(tuple(tests))
            dies = fails(tests, mutant)
        except ValueError as error:
            print(f"{mutant['name']}: {error}", file=sys.stderr)
            return 2
        killed += dies
        print(f"{'killed' if dies else 'SURVIVES'}: {mutant['name']}", flush=True)
    print(f"score: {killed} of {len(chosen)} mutants killed")
    return 0 if chosen and killed == len(chosen) else 1


if __name__ == "__main__":
    raise SystemExit(main())
