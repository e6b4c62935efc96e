"""Format `html` of `dlclint simulate`: the quality of each output, and the layers that reduce it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TextIO

from dlclint.report.html.network import NetworkDrawing, Texts
from dlclint.report.html.report import report_page
from dlclint.report.html.sheets import Sheet, Shown, Table, drawing_of
from dlclint.report.simulate_words import (
    APART_COLUMNS,
    ENGINES,
    OUTPUT_COLUMNS,
    RANDOM,
    SEARCH_COLUMNS,
    apart_cells,
    apart_notes,
    headline,
    measured_on,
    output_cells,
    part,
    search_rows,
    search_text,
    sqnr_text,
    with_unit,
)
from dlclint.simulate.outcome import EngineResult, LayerError, SimulateOutcome, Simulation

_WORDS = {
    "title": "Layers",
    "item": "layer",
    "rule": "op",
    "levels": {"error": "below 10 dB", "warning": "10 to 20 dB", "info": "20 dB or more"},
}
"""The headings of the list of findings where it lists layers, by the error that they add."""
_LEVELS = ((10.0, "error", "below 10 dB"), (20.0, "warning", "10 to 20 dB"), (30.0, "info", "20 to 30 dB"))
_FINE = ("info", "30 dB or more")


def render(outcome: SimulateOutcome, stream: TextIO | None) -> str:
    """The page."""
    texts = Texts()
    sheets = [_sheet(file, texts) for file in outcome.files]
    said = "; ".join(headline(engine) for file in outcome.files for engine in file.engines)
    return report_page(
        "dlclint simulate", "What quantization costs", said, ("measured", "inputs"), sheets, texts
    )


def _sheet(file: Simulation, texts: Texts) -> Sheet:
    network, notes = drawing_of(file.drawing)
    engines = [engine for engine in file.engines if engine.layers]
    layers = engines[0].layers if engines else ()
    data: dict[str, Any] = {"words": _WORDS, "findings": [_entry(row, network, texts) for row in layers]}
    charts: dict[str, Any] = {}
    if network is not None:
        bits = {
            position: f"a{row.bits}" if row.bits is not None else "float"
            for row in layers
            if (position := network.of_tensor(row.tensor)) is not None
        }
        data["network"] = network.data(texts, bits)
        charts = network.charts(texts)
    charts["engines"] = [
        {"engine": engine.engine, "layers": [_layer(row, network, texts) for row in engine.layers]}
        for engine in engines
    ]
    data["charts"] = charts
    said = "; ".join(headline(engine) for engine in file.engines)
    where = f"; for {file.soc}" if file.soc else ""
    grids = f"; grids from {file.encodings}" if file.encodings else ""
    return Sheet(
        file.path,
        f"{file.widths}{where}{grids}; {measured_on(file)}" if not file.unasked else "",
        tuple(_answers(file)),
        (),
        tuple(_tables(file)),
        (
            *([RANDOM] if file.random else []),
            *(note for engine in file.engines for note in engine.notes),
            *apart_notes(file),
            *file.notes,
            *notes,
        ),
        (said or file.unasked, measured_on(file)),
        data,
    )


def _answers(file: Simulation) -> Iterator[Shown]:
    if file.unasked:
        yield Shown("Measured", "no", (file.unasked,), "bad")
    for engine in file.engines:
        if engine.failure:
            yield Shown(engine.engine, "not measured", (engine.failure,), "bad")
            continue
        agreement = engine.agreement
        same = [] if agreement is None else [f"best class the same in {100 * agreement:.1f} %"]
        worst = "nothing" if engine.worst is None else with_unit(engine.worst)
        lost = [part(part_row) for row in engine.outputs for part_row in row.parts if part_row.lost]
        lines = (*same, *lost, ENGINES[engine.engine], *([RANDOM] if file.random else []))
        yield Shown(f"Worst output, {engine.engine}", worst, lines, "bad" if lost else "")
    if file.search is not None:
        search_outcome = file.search
        word = "reached" if search_outcome.reached else "not reached"
        yield Shown(
            f"Target {search_outcome.target}",
            word,
            (search_text(search_outcome),),
            "good" if search_outcome.reached else "bad",
        )


def _tables(file: Simulation) -> Iterator[Table]:
    for engine in file.engines:
        if engine.outputs:
            yield Table(f"Outputs, {engine.engine}", (*OUTPUT_COLUMNS, "parts"), tuple(_outputs(engine)))
    if file.search is not None:
        yield Table(f"Search for {file.search.target}", SEARCH_COLUMNS, tuple(search_rows(file.search)))
    if file.apart:
        rows = tuple(
            (*apart_cells(departure), f"{departure.op} {departure.tensor}") for departure in file.apart
        )
        head = (*APART_COLUMNS, "layer")
        yield Table("Layers that HTP computes otherwise, on what it gave them itself", head, rows)


def _outputs(engine: EngineResult) -> Iterator[tuple[str, ...]]:
    for row in engine.outputs:
        yield *output_cells(row), "; ".join(part(part_row) for part_row in row.parts)


def _entry(row: LayerError, network: NetworkDrawing | None, texts: Texts) -> list[Any]:
    """A layer as the list of findings shows it."""
    value = row.arrived if row.alone is None else row.alone
    level, stage = next(((level, says) for most, level, says in _LEVELS if value < most), _FINE)
    alone = "" if row.alone is None else f"alone {with_unit(row.alone)}, "
    bits = "in float" if row.bits is None else f"{row.bits} bits"
    message = f"{alone}arrived {with_unit(row.arrived)}, {bits}"
    return [
        texts(row.op),
        texts(level),
        texts(stage),
        texts("; ".join((message, *row.causes))),
        texts(row.tensor),
        texts(""),
        texts(""),
        None if network is None else network.of_tensor(row.tensor),
        None,
        texts(""),
        [],
    ]


def _layer(row: LayerError, network: NetworkDrawing | None, texts: Texts) -> list[Any]:
    return [
        None if network is None else network.of_tensor(row.tensor),
        texts(f"{row.op} {row.tensor}"),
        row.bits,
        None if row.alone is None else _db(row.alone),
        _db(row.arrived),
        row.low,
        row.high,
        [texts(cause) for cause in row.causes],
    ]


def _db(value: float) -> float | str:
    return round(value, 3) if math.isfinite(value) else sqnr_text(value)
