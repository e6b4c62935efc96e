"""The results that `benchmarks/trained.py` recorded for trained networks."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEPARTURES = """
## Where HTP departs from the reference engine

The layer that `dlclint simulate` names if an output differs by more than 1 dB:

{lines}
"""
STEPS = {
    "before": "8 bits",
    "plan": "after `plan`",
    "equalize": "after `equalize`",
    "search": "after the search",
}
PAGE = """# Trained networks in figures

Recorded on {date} by `python -m benchmarks.trained FOLDER --record`: {versions}; Python {python}, SoC {soc},
{inputs} of each network, {cores} cores that others used too. The columns are those of
[trained networks](../trained.md): each figure is the SQNR of the worst output, or part of one, and how often
the best class is the same. *Seconds* are those of the search by the clock, and *processor seconds* what its
processes used.

{table}

{rows}

{summary}
{partings}
Packages: {packages}.
"""


def _recorded(rows: list[dict[str, Any]]) -> list[str]:
    """Which commit measured which rows, with how many samples on HTP, and the load during the search."""
    commits: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        commits.setdefault(row.get("commit", ""), []).append(row)
    lines = []
    for name, measured in commits.items():
        line = f"- Measured by commit {name or 'unknown'}: {', '.join(row['network'] for row in measured)}"
        counts = sorted({row["htp_samples"] for row in measured if "htp_samples" in row})
        if counts:
            line += f"; HTP with {' or '.join(map(str, counts))} samples"
        loads = [row["search"]["load"] for row in measured if "load" in row["search"]]
        if loads:
            line += f"; load average (15 minutes) {min(loads):.0f} to {max(loads):.0f} during the search"
        lines.append(f"{line}.")
    return lines


def _partings(rows: list[dict[str, Any]]) -> str:
    """A section on the layers at which HTP departs from the reference engine; "" if none is recorded."""
    lines = []
    for row in rows:
        for step, words in STEPS.items():
            said = row.get(step, {}).get("htp", {}).get("parting")
            if said:
                lines.append(f"- {row['network']}, {words}: {said}.")
    return DEPARTURES.format(lines="\n".join(lines)) if lines else ""


@cache
def files() -> dict[str, str]:
    """docs/tables/trained.md."""
    sys.path.insert(0, str(ROOT))
    from benchmarks import trained

    said = json.loads(trained.RECORD.read_text("utf-8"))
    counts = {row["inputs"].partition(" ")[0] for row in said["rows"]}
    return {
        "docs/tables/trained.md": PAGE.format(
            date=said["date"],
            versions=", ".join(f"{name} {version}" for name, version in said["versions"].items()),
            python=said["python"],
            soc=said["soc"],
            inputs=f"{' or '.join(sorted(counts))} samples",
            cores=said["cores"],
            table="\n".join(trained.table(said["rows"])),
            rows="\n".join(_recorded(said["rows"])),
            partings=_partings(said["rows"]),
            summary="\n".join(f"- {line}" for line in trained.summary(said["rows"])),
            packages=", ".join(said["packages"]),
        )
    }
