"""The results that `benchmarks/trained.py` recorded for trained networks: a page, and the README's table."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- trained: begin -->\n", "<!-- trained: end -->"
SHORT = """
`dlclint simulate --target` finds the cheapest change that reaches a target. The table shows trained networks
of public packages on {date} (onnxruntime {onnxruntime}): the SQNR of the worst output or part of an output,
and how often the best class is the same, by the documents (the reference engine) and on Qualcomm's HTP
backend. The target of the search is 3 dB below all activations at 16 bits, or 1 % of agreement below.
docs/tables/trained.md also has `plan` and `equalize`.

{table}

"""
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


def _short(said: dict[str, Any]) -> str:
    """The README with its table of 8 bits and the search."""
    from benchmarks.trained import said as cell

    heads = ["network", "8 bits", "on HTP", "all 16 bits", "search", "on HTP", "at 16 bits"]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for row in said["rows"]:
        before, search = row["before"], row["search"]
        cells = [row["network"], *(cell(before.get(engine, {})) for engine in ("reference", "htp"))]
        cells += [cell(search.get(figure, {})) for figure in ("all_16", "reference", "htp")]
        cells.append(f"{100 * search['share']:.0f} %")
        lines.append(f"| {' | '.join(cells)} |")
    text = SHORT.format(
        date=said["date"], onnxruntime=said["versions"]["onnxruntime"], table="\n".join(lines)
    )
    readme = (ROOT / "README.md").read_text("utf-8")
    start, end = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    return readme[:start] + text + readme[end:]


@cache
def files() -> dict[str, str]:
    """docs/tables/trained.md and README.md."""
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
        ),
        "README.md": _short(said),
    }
