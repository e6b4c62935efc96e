"""Format `concise` of a simulation: one line for each output, one for each layer with a known cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from dlclint.report.simulate_words import RANDOM, largest, part, search_text, with_unit
from dlclint.simulate.outcome import EngineResult, SimulateOutcome, Simulation


def render(outcome: SimulateOutcome, stream: TextIO | None) -> str:
    """The report, one line per fact."""
    return "".join(f"{line}\n" for file in outcome.files for line in _file(file))


def _file(file: Simulation) -> Iterator[str]:
    if file.unasked:
        yield f"{file.path}: not measured: {file.unasked}"
        return
    if file.random:
        yield f"{file.path}: {RANDOM}"
    if file.search is not None:
        yield f"{file.path}: search for {file.search.target}: {search_text(file.search)}"
        yield from (f"{file.path}: search: {note}" for note in file.search.notes)
    for engine in file.engines:
        yield from (f"{file.path}: {engine.engine}: {line}" for line in _engine(engine))


def _engine(engine: EngineResult) -> Iterator[str]:
    if engine.failure:
        yield f"not measured: {engine.failure}"
    for row in engine.outputs:
        agreement = "" if row.agreement is None else f", best class same {100 * row.agreement:.1f} %"
        yield (
            f"output {row.tensor}: {with_unit(row.sqnr)}, cosine {row.cosine:.5f}, largest error"
            f" {largest(row)}{agreement}"
        )
        yield from (f"output {row.tensor}: {part(part_row)}" for part_row in row.parts)
    for layer in engine.layers:
        alone = "" if layer.alone is None else f"{with_unit(layer.alone)} alone, "
        for cause in layer.causes:
            yield f"{layer.op} {layer.tensor}: {alone}{with_unit(layer.arrived)} arrived: {cause}"
    if engine.in_float:
        yield f"computed in float: {', '.join(engine.in_float)}"
