"""What `benchmarks/trained.py` recorded of trained networks."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = """# Trained networks in figures

Recorded on {date} by `python -m benchmarks.trained FOLDER --record`: {versions}; Python {python}, SoC {soc},
{inputs} of each network (HTP: one or two), {cores} cores that others used too. The columns are those of
[trained networks](../trained.md): each figure is the SQNR of the worst output, or part of one, and how often
the best class is the same. *Seconds* are those of the search by the clock.

{table}

{summary}

Packages: {packages}.
"""


@cache
def files() -> dict[str, str]:
    """docs/tables/trained.md."""
    sys.path.insert(0, str(ROOT))
    from benchmarks import trained

    said = json.loads(trained.RECORD.read_text("utf-8"))
    counts = {item["inputs"].partition(" ")[0] for item in said["rows"]}
    return {
        "docs/tables/trained.md": PAGE.format(
            date=said["date"],
            versions=", ".join(f"{name} {version}" for name, version in said["versions"].items()),
            python=said["python"],
            soc=said["soc"],
            inputs=f"{' or '.join(sorted(counts))} samples",
            cores=said["cores"],
            table="\n".join(trained.table(said["rows"])),
            summary="\n".join(f"- {line}" for line in trained.summary(said["rows"])),
            packages=", ".join(said["packages"]),
        )
    }
