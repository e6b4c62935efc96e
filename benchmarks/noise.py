"""Which rules have the most findings, and examples of each to read.

    python -m benchmarks.noise [FOLDER ...] [--sample N] [--rules N] [--instances N] [--seed S]
                               [--list FILE] [--listed FILE] [--read FILE]

Every model below the folders (of each folder `--sample` by chance) is linted for SM8550 three times: as an
8-bit DLC, as a float one, and with nothing said. Printed are the rules with the most findings. `--read`
writes for each of them findings to be read: one model after the other in an order by chance gives one, until
there are `--instances`; the same sentence about the same model counts once. `--list` writes every finding,
`--listed` takes those of earlier runs in. docs/noise.md says what was found when they were read.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.agreement import models_in

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.socs import resolve_soc
from dlclint.target import DlcKind, Target

LARGEST = 60_000_000
"""Bytes of a model that is linted."""
KINDS = {
    "8-bit": DlcKind(True, stated=True),
    "float": DlcKind(quantize=False, stated=True),
    "unsaid": DlcKind(),
}


@dataclass(frozen=True)
class Finding:
    """One finding in one of the three runs."""

    rule: str
    model: str
    kind: str
    severity: str
    node: str
    message: str
    help: str
    fixable: bool


def findings(paths: Iterable[Path]) -> Iterator[Finding]:
    """All findings of all models, for each kind of DLC."""
    soc = resolve_soc("SM8550")
    for path in paths:
        shown = "/".join(path.parts[-2:])
        for kind, asked in KINDS.items():
            for diagnostic in lint_file(Job(path, Target(soc=soc, kind=asked))).diagnostics:
                yield Finding(
                    diagnostic.rule,
                    shown,
                    kind,
                    diagnostic.severity.value,
                    diagnostic.location.op,
                    diagnostic.message,
                    diagnostic.help or "",
                    diagnostic.fix is not None,
                )


def to_read(found: Iterable[Finding], most: int, seed: int) -> list[Finding]:
    """At most so many different findings, distributed over the models."""
    by_model: dict[str, dict[tuple[str, str], Finding]] = defaultdict(dict)
    for finding in found:
        by_model[finding.model].setdefault((finding.message, finding.severity), finding)
    chance = random.Random(seed)
    models = sorted(by_model)
    chance.shuffle(models)
    left = {model: chance.sample(list(by_model[model].values()), len(by_model[model])) for model in models}
    taken: list[Finding] = []
    while len(taken) < most and any(left.values()):
        taken += [rest.pop() for rest in left.values() if rest][: most - len(taken)]
    return taken


def main(arguments: list[str]) -> int:
    """Print the most frequent rules."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--sample", type=int, metavar="N", help="models of each folder")
    parser.add_argument("--rules", type=int, default=15, metavar="N", help="most frequent rules")
    parser.add_argument("--instances", type=int, default=50, metavar="N", help="of each rule, to read")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--list", type=Path, metavar="FILE", help="every finding, one JSON object a line")
    parser.add_argument("--listed", type=Path, nargs="*", default=[], metavar="FILE", help="kept findings")
    parser.add_argument("--read", type=Path, metavar="FILE", help="the instances to read, as text")
    args = parser.parse_args(arguments)
    chance = random.Random(args.seed)
    paths: list[Path] = []
    for folder in args.folders:
        there = [path for path in models_in(folder) if path.stat().st_size < LARGEST]
        paths += sorted(chance.sample(there, min(len(there), args.sample or len(there))))
    results = list(findings(paths))
    for file in args.listed:
        results += [Finding(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
    if args.list:
        args.list.write_text("".join(json.dumps(asdict(f)) + "\n" for f in results), "utf-8")
    counts = Counter(f.rule for f in results)
    print(f"{len({f.model for f in results})} models with {len(results)} findings")
    lines: list[str] = []
    for rule, count in counts.most_common(args.rules):
        of_rule = [f for f in results if f.rule == rule]
        chosen = to_read(of_rule, args.instances, args.seed)
        print(f"{rule}: {count} in {len({f.model for f in of_rule})} models, {len(chosen)} to read")
        lines += ["", f"== {rule}"]
        for f in chosen:
            lines += [f"{f.model} ({f.kind}) {f.severity} {f.node}: {f.message}", f"    help: {f.help}"]
    if args.read:
        args.read.write_text("\n".join(lines) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
