"""The cost of a structural check by the size of a model: processor seconds, bytes and requests.

    python benchmarks/scale.py FILE_OR_FOLDER ... [--million]

Each model is linted in this process, warm, without weights: locally for the processor seconds, and over HTTP
on loopback for bytes and requests. `--million` multiplies the medians of the classes of size by the shares
that docs/scale.md assumes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.remote import urls

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "remote"))
from range_server import serving  # the server of the tests

CLASSES = (
    (100e3, "up to 100 kB"),
    (10e6, "to 10 MB"),
    (100e6, "to 100 MB"),
    (1e9, "to 1 GB"),
    (1e13, "above"),
)
SHARES = (0.10, 0.25, 0.35, 0.25, 0.05)
"""Of the models of a hub, by class: an assumption, stated in docs/scale.md."""


@dataclass(frozen=True)
class Cost:
    """The cost of one model."""

    size: int
    seconds: float
    read: int
    requests: int


def cost(path: Path) -> Cost:
    """Measure one model, twice locally (the second time warm) and once over HTTP."""
    size = path.stat().st_size + sum(one.stat().st_size for one in path.parent.glob(f"{path.name}.data"))
    lint_file(Job(path, weights=False))
    started = time.process_time()
    lint_file(Job(path, weights=False))
    seconds = time.process_time() - started
    with serving(path.parent) as served:
        url = f"{served.url}/{path.name}"
        lint_file(Job(Path(urls.path_of(url)), url=url, weights=False))
        return Cost(size, seconds, served.sent, len(served.requests))


def by_class(costs: Sequence[Cost]) -> Iterator[tuple[str, list[Cost]]]:
    """The costs of each class of size, smallest first."""
    classes: dict[str, list[Cost]] = defaultdict(list)
    for one in costs:
        classes[next(name for limit, name in CLASSES if one.size <= limit)].append(one)
    for _, name in CLASSES:
        yield name, classes[name]


def main() -> int:
    """Print medians by size, and the cost of a million models."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE_OR_FOLDER")
    parser.add_argument("--million", action="store_true")
    args = parser.parse_args()
    paths = [
        one for path in args.paths for one in (sorted(path.rglob("*.onnx")) if path.is_dir() else [path])
    ]
    costs = [cost(path) for path in paths]
    print(
        "| size | models | median bytes | processor s | bytes read | requests |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    totals = [0.0, 0.0, 0.0]
    for (name, group), share in zip(by_class(costs), SHARES, strict=True):
        if not group:
            print(f"| {name} | 0 | | | | |")
            continue
        size, seconds, read, requests = (
            statistics.median(getattr(one, field) for one in group)
            for field in ("size", "seconds", "read", "requests")
        )
        print(f"| {name} | {len(group)} | {size:,.0f} | {seconds:.3f} | {read:,.0f} | {requests:.0f} |")
        totals = [
            total + share * value for total, value in zip(totals, (seconds, read, requests), strict=True)
        ]
    if args.million:
        seconds, read, requests = totals
        print(
            f"\na million: {seconds * 1e6 / 3600:,.0f} processor hours, {read * 1e6 / 1e12:.2f} TB, "
            f"{requests:.1f} million requests"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
