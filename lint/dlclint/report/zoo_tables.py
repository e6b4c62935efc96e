"""The tables of the report on many models, as formats for people show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from dlclint.diagnostic import counted
from dlclint.zoo import OpCount, Zoo
from dlclint_schemas.record import record

_FIX = {"safe": "dlclint fix", "unsafe": "dlclint fix --unsafe", "": "by hand"}


@record
class ZooTable:
    """A table: its title, its columns, and those of them that hold numbers."""

    title: str
    head: tuple[str, ...]
    numbers: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]


def zoo_headline(zoo: Zoo) -> str:
    """The verdicts on all models, in a line."""
    unknown = f", of {zoo.unknown} nothing is known" if zoo.unknown else ""
    return f"{counted(zoo.models, 'model')}: {zoo.converts} convert, {zoo.stopped} do not{unknown}"


def best_fix(zoo: Zoo) -> str:
    """The fix that helps most, in a line; "" where no single fix helps."""
    if not zoo.fixes or not zoo.fixes[0].alone:
        return ""
    best = zoo.fixes[0]
    flaw = f"{best.rule} at {best.op}" if best.op else best.rule
    return f"fixing {flaw} helps most: {counted(best.alone, 'more model')} would convert"


def tables(zoo: Zoo) -> Iterator[ZooTable]:
    """The tables that have rows, the most useful first."""
    runtimes = sorted({row.runtime for row in zoo.ops})
    every = (
        ZooTable(
            "of those that convert",
            ("runtime", "whole", "in parts", "no"),
            (1, 2, 3),
            tuple((row.runtime, str(row.whole), str(row.split), str(row.no)) for row in zoo.runtimes),
        ),
        ZooTable(
            "what stops conversion, and how many models would convert if it alone were fixed",
            ("models", "would convert", "rule", "op", "fix", "what to do"),
            (0, 1),
            tuple(
                (str(row.models), str(row.alone), row.rule, row.op or "-", _FIX[row.fix], row.help)
                for row in zoo.fixes
            ),
        ),
        ZooTable(
            "what runtimes lack: models, and in brackets those that lack nothing else",
            ("op", *runtimes),
            tuple(range(1, len(runtimes) + 1)),
            tuple(_ops(zoo.ops, runtimes)),
        ),
        ZooTable(
            "rules that find something",
            ("models", "findings", "severity", "rule"),
            (0, 1),
            tuple((str(row.models), str(row.findings), row.severity.value, row.rule) for row in zoo.rules),
        ),
        ZooTable(
            "chips",
            ("chip", "models", "do not convert", "whole on no runtime", "accuracy at risk", "errors"),
            (1, 2, 3, 4, 5),
            tuple(
                (row.soc, *map(str, (row.models, row.stopped, row.refused, row.at_risk, row.errors)))
                for row in zoo.chips
            ),
        ),
    )
    return (table for table in every if table.rows)


def _ops(rows: Iterable[OpCount], runtimes: list[str]) -> Iterator[tuple[str, ...]]:
    """One row for each op; it has the place of its first."""
    positions = {op: number for number, op in reversed(list(enumerate(row.op for row in rows)))}
    for op, group in groupby(sorted(rows, key=lambda row: positions[row.op]), key=lambda row: row.op):
        cells = {row.runtime: f"{row.models} ({row.alone})" for row in group}
        yield (op, *(cells.get(name, "") for name in runtimes))
