"""The results of a simulation, in the words that all formats share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dlclint.diagnostic import counted, first_few, size_text
from dlclint.simulate.outcome import (
    Departure,
    EngineResult,
    OutputRow,
    PartRow,
    SearchOutcome,
    Simulation,
)

RANDOM = "random inputs, so these are not figures of accuracy: give real ones with --inputs"
ENGINES = {
    "reference": "the documented arithmetic on the CPU (simulated)",
    "htp": "Qualcomm's HTP backend on x86 (measured)",
}
WORST = 10
"""Layers in reports for people; reports for programs have all."""
OUTPUT_COLUMNS = ("output", "SQNR dB", "cosine", "largest error", "best class same")
SEARCH_COLUMNS = ("", "SQNR dB", "best class same", "DLC grows", "at 16 bits", "change")
APART_COLUMNS = ("reference dB", "htp dB", "layer dB", "asked alone", "values off")


def sqnr_text(value: float) -> str:
    """An SQNR in dB; in words where nothing remains, or nothing differs."""
    if value == math.inf:
        return "exact"
    return "lost" if value == -math.inf else f"{value:.1f}"


def with_unit(value: float) -> str:
    """An SQNR with its unit, where it is a number."""
    return f"{sqnr_text(value)} dB" if math.isfinite(value) else sqnr_text(value)


def headline(engine: EngineResult) -> str:
    """The worst output of an engine in one clause."""
    worst, agreement = engine.worst, engine.agreement
    if worst is None:
        return f"{engine.engine}: nothing measured"
    said = f"{engine.engine}: {with_unit(worst)}"
    where = worst_name(engine)
    if where:
        said += f" of {where}"
    elif len(engine.outputs) > 1:
        said += f" at the worst of {counted(len(engine.outputs), 'output')}"
    return said if agreement is None else f"{said}, best class the same in {100 * agreement:.1f} %"


def search_text(search: SearchOutcome) -> str:
    """The result of a search, in one clause."""
    share = f"with {100 * search.share:.0f} % of the activations at 16 bits" if search.share else "at 8 bits"
    agreement = "" if search.agreement is None else f", best class the same in {100 * search.agreement:.1f} %"
    verdict = "reached" if search.reached else "not reached"
    return f"{verdict}; {with_unit(search.sqnr)}{agreement} {share}{_lost(search.lost)}"


def _lost(parts: Sequence[str]) -> str:
    """The parts of outputs that are lost, after the text on the outputs."""
    return f"; lost: {', '.join(parts)}" if parts else ""


def apart_notes(file: Simulation) -> list[str]:
    """The meaning of layers at which the backend departs."""
    spoiled = [each for each in file.apart if each.spoiled]
    itself = [departure for departure in file.apart if departure.alone is not None and not departure.spoiled]
    notes = []
    if itself:
        first = itself[0]
        notes.append(
            f"{first.op} {first.tensor} computes something else even alone, which no document states for HTP"
        )
    if spoiled:
        first = spoiled[0]
        notes.append(
            f"{first.op} {first.tensor} is right alone and wrong in the whole graph, in"
            f" {100 * first.off:.2g} % of its values: no grid is to blame, and a device may do better"
        )
    return notes


def measured_on(file: Simulation) -> str:
    """What was measured, in one clause."""
    return f"{counted(file.samples, 'sample')} of {file.inputs}" if file.samples > 1 else file.inputs


def largest(row: OutputRow) -> str:
    """The largest error next to the largest value."""
    return f"{row.largest:.3g} of {row.magnitude:.3g}"


def part(row: PartRow) -> str:
    """The quality of a part of an output with parts of different ranges."""
    who = f"{first_few(row.tensors, len(row.tensors))} (up to {row.magnitude:.3g})"
    before = "" if row.before is None else f", {with_unit(row.before)} before"
    if row.zero:
        return f"{who}: every value becomes 0 on the grid of {row.join}{before}"
    kept = f"{who}: {with_unit(row.sqnr)} on the grid of {row.join}{before}"
    return f"{kept}, lost" if row.lost else kept


def worst_name(engine: EngineResult) -> str:
    """Where the lowest SQNR of an engine is, if not of a whole output; else ""."""
    rows = [(part.sqnr, part, row) for row in engine.outputs for part in row.parts if part.sqnr < row.sqnr]
    if not rows or engine.worst is None:
        return ""
    value, part, row = min(rows, key=lambda row: row[0])
    return f"{first_few(part.tensors, len(part.tensors))} in {row.tensor}" if value <= engine.worst else ""


def output_cells(row: OutputRow) -> tuple[str, ...]:
    """A row under `OUTPUT_COLUMNS`."""
    return row.tensor, sqnr_text(row.sqnr), f"{row.cosine:.5f}", largest(row), _share(row.agreement)


def search_rows(search: SearchOutcome) -> list[tuple[str, ...]]:
    """The rows under `SEARCH_COLUMNS`."""
    return [
        (
            "kept" if row.kept else "",
            sqnr_text(row.sqnr),
            _share(row.agreement),
            size_text(row.size) if row.size else "",
            f"{100 * row.share:.0f} %" if row.share else "",
            row.change + _lost(row.lost),
        )
        for row in search.rows
    ]


def apart_cells(departure: Departure) -> tuple[str, ...]:
    """A row under `APART_COLUMNS`; the op and the tensor follow it."""
    alone = "" if departure.alone is None else sqnr_text(departure.alone)
    measured = (sqnr_text(departure.reference), sqnr_text(departure.htp), sqnr_text(departure.between))
    return *measured, alone, f"{100 * departure.off:.2g} %"


def _share(agreement: float | None) -> str:
    return "" if agreement is None else f"{100 * agreement:.1f} %"
