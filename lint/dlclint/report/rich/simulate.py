"""Format `rich` of a simulation: per engine the outputs, then the layers that add most, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dlclint.report.rich.console import paper, printed
from dlclint.report.simulate_words import (
    APART_COLUMNS,
    ENGINES,
    OUTPUT_COLUMNS,
    RANDOM,
    SEARCH_COLUMNS,
    WORST,
    apart_cells,
    apart_notes,
    headline,
    measured_on,
    output_cells,
    part,
    search_rows,
    search_text,
    sqnr_text,
)
from dlclint.simulate.outcome import EngineResult, LayerError, SearchOutcome, SimulateOutcome, Simulation

_COLUMNS = ("alone", "arrived", "bits", "op", "tensor", "cause")


def render(outcome: SimulateOutcome, stream: TextIO | None) -> str:
    """The report; colored only if the stream is a terminal (NO_COLOR and FORCE_COLOR apply)."""
    console = paper(stream)
    for file in outcome.files:
        _file(console, file)
    return printed(console, stream)


def _line(console: Console, text: str, style: str = "", indent: int = 2) -> None:
    console.print(Padding(Text(text, style), (0, 0, 0, indent)))


def _file(console: Console, file: Simulation) -> None:
    console.print(Text(file.path, "bold"))
    if file.unasked:
        _line(console, f"not measured: {file.unasked}", "bold red")
        console.print()
        return
    _line(console, file.widths + (f"; for {file.soc}" if file.soc else ""))
    if file.encodings:
        _line(console, f"grids from {file.encodings}")
    _line(console, measured_on(file))
    if file.random:
        _line(console, RANDOM, "bold yellow")
    if file.search is not None:
        _search(console, file.search)
    for engine in file.engines:
        _engine(console, engine)
    if file.apart:
        console.print()
        _line(console, "layers that HTP computes otherwise, on what it gave them itself", "bold")
        rows = [(*apart_cells(departure), departure.op, departure.tensor) for departure in file.apart]
        _table(console, (*APART_COLUMNS, "op", "tensor"), rows)
        for text in apart_notes(file):
            _line(console, f"note: {text}", "italic")
    for note in file.notes:
        _line(console, f"note: {note}", "italic")
    console.print()
    said = "; ".join(
        (engine.failure and f"{engine.engine}: not measured") or headline(engine) for engine in file.engines
    )
    console.print(Text(f"{said} ({file.seconds:.1f} s)", "bold" if file.measured else "bold red"))


def _search(console: Console, search: SearchOutcome) -> None:
    console.print()
    _line(console, f"search for {search.target}: {search_text(search)}", "bold")
    _table(console, SEARCH_COLUMNS, search_rows(search))
    for note in search.notes:
        _line(console, f"note: {note}", "italic")


def _engine(console: Console, engine: EngineResult) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in engine.versions.items())
    console.print()
    _line(
        console, f"{engine.engine}: {ENGINES[engine.engine]}" + (f"; {versions}" if versions else ""), "bold"
    )
    if engine.failure:
        _line(console, f"not measured: {engine.failure}", "bold red")
        return
    _table(console, OUTPUT_COLUMNS, [output_cells(row) for row in engine.outputs])
    for row in engine.outputs:
        for part_row in row.parts:
            _line(console, part(part_row), "red" if part_row.lost else "dim", 4)
    _layers(console, engine)
    if engine.in_float:
        _line(console, f"computed in float: {', '.join(engine.in_float)}", "yellow")
    for note in engine.notes:
        _line(console, f"note: {note}", "italic")


def _layers(console: Console, engine: EngineResult) -> None:
    shown = [row for row in engine.layers if row.causes or row.bits is not None][:WORST]
    if not shown:
        return
    console.print()
    if any(row.alone is not None for row in shown):
        title = "layers that add the most error (SQNR in dB: added alone, and as it arrives)"
    else:
        title = "layers at which the most error has arrived (SQNR in dB)"
    _line(console, title, "bold")
    cells = [_layer(row) for row in shown]
    # A column that holds nothing is left out.
    kept = [column for column in range(len(_COLUMNS)) if any(row[column] for row in cells)]
    _table(
        console, [_COLUMNS[index] for index in kept], [[row[position] for position in kept] for row in cells]
    )


def _layer(row: LayerError) -> tuple[str, ...]:
    bits = "float" if row.bits is None else str(row.bits)
    alone = "" if row.alone is None else sqnr_text(row.alone)
    return alone, sqnr_text(row.arrived), bits, row.op, row.tensor, "; ".join(row.causes)


def _table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(Padding(table, (0, 0, 0, 2)))
