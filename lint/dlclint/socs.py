"""From what a person calls a chip to the row of the device table: names, ids, marketing names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from dlclint.target import Runtime, Soc
from dlclint_schemas.devices import DeviceRow, MeasuredSoc, device_table
from dlclint_schemas.limitations import limit_table


class UnknownSoc(Exception):
    """No chip, or several that differ, are called so; `candidates` are names that would do."""

    def __init__(self, message: str, candidates: tuple[str, ...]) -> None:
        super().__init__(message)
        self.candidates = candidates


_PREFIX = re.compile(r"^(?:qualcomm)?(?:snapdragon|sdm?(?=\d))?")


def _key(text: str) -> str:
    """What two spellings of one name have in common: "Snapdragon 8+ Gen 1" and "sd8plusgen1"."""
    squeezed = re.sub(r"[^a-z0-9+]", "", text.lower().replace("plus", "+"))
    shorter = _PREFIX.sub("", squeezed)
    return re.sub(r"(?<=\d)5g$", "", shorter)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


@cache
def all_socs() -> tuple[Soc, ...]:
    """One per row of the device table, then the measured ones that have no row."""
    table = device_table()
    listed = [_listed(row) for row in table.rows]
    named = {name for row in table.rows for name in (*row.socs, *row.also)}
    return (*listed, *(_measured(soc) for name, soc in table.measured.items() if name not in named))


def _listed(row: DeviceRow) -> Soc:
    facts = [device_table().fp16[name] for name in (*row.socs, *row.also) if name in device_table().fp16]
    fact = facts[0] if facts else None
    runtimes = {
        Runtime.CPU: row.cpu,
        Runtime.GPU: row.gpu,
        Runtime.GPU_FLOAT16: row.gpu,
        Runtime.DSP: row.hexagon == 66,
        Runtime.HTP: row.hexagon is not None and row.hexagon >= 68,
        Runtime.AIP: row.aip,
    }
    htp = runtimes[Runtime.HTP]
    return Soc(
        row.soc,
        row.name,
        row.hexagon,
        tuple(runtime for runtime, has in runtimes.items() if has),
        fact.fp16 if fact and htp else None,
        fact.source if fact and htp else "",
    )


def _measured(soc: MeasuredSoc) -> Soc:
    marketing = soc.also[0] if soc.also else ""
    document = device_table().measured_document
    return Soc(soc.soc, marketing, soc.hexagon, (Runtime.HTP,), soc.fp16, document, listed=False)


def row_of(soc: Soc) -> DeviceRow | None:
    """The row of the device table; None for a measured SoC without one."""
    return next((row for row in device_table().rows if row.soc == soc.name), None)


def needs_quantizer(soc: Soc | None) -> bool:
    """Whether the limitations name the SoC as one whose DSP takes no DLC but the quantizer's."""
    return soc is not None and soc.name in limit_table()["LIM017"]["machine"]["soc"]


def _names(soc: Soc) -> tuple[str, ...]:
    row = row_of(soc)
    if row is None:
        return (soc.name, *device_table().measured[soc.name].also)
    return (row.soc, *row.socs, *row.also, row.name)


@cache
def _index() -> tuple[dict[str, list[Soc]], ...]:
    """Socs by key, in three tiers: a name; the number of an SM part; the number of any other."""
    tiers: tuple[dict[str, list[Soc]], ...] = ({}, {}, {})
    for soc in all_socs():
        for name in dict.fromkeys(_names(soc)):
            keys = [(0, _key(name))]
            # The 865 of SM8250 names a part; the 8 of "Snapdragon 8 Elite" names none.
            if name in (soc.name, *_asics(soc)) and len(_digits(name)) > 2:
                keys.append((1 if name.startswith("SM") else 2, _digits(name)))
            for tier, key in keys:
                found = tiers[tier].setdefault(key, [])
                if soc not in found:
                    found.append(soc)
    return tiers


def _asics(soc: Soc) -> tuple[str, ...]:
    row = row_of(soc)
    return () if row is None else (*row.socs, *row.also)


def find_socs(text: str) -> tuple[Soc, ...]:
    """Every chip that a text may mean, by the best kind of match; empty if none."""
    key = _key(text)
    for tier in _index():
        if key in tier:
            return tuple(tier[key])
    return ()


def near_names(text: str) -> tuple[str, ...]:
    """Known names that look like the text, the nearest first, at most three."""
    # Imported here because only a misspelling needs it.
    import difflib

    shown = dict(_spellings())
    return tuple(shown[key] for key in difflib.get_close_matches(_key(text), list(shown), 3, 0.6))


def _spellings() -> Iterator[tuple[str, str]]:
    for soc in all_socs():
        for name in _names(soc):
            yield _key(name), name


def resolve(text: str) -> Soc:
    """The chip that a text names. Rows that differ in nothing but the operating system are one.

    Raises:
        UnknownSoc: none is called so, or several that differ in what a model may run on.
    """
    found = find_socs(text)
    if not found:
        near = near_names(text)
        raise UnknownSoc("no SoC is called so", near)
    first = found[0]
    if any(replace(soc, name="", marketing="") != replace(first, name="", marketing="") for soc in found):
        raise UnknownSoc("several SoCs are called so", tuple(soc.name for soc in found))
    if len(found) == 1:
        return first
    return replace(first, name=", ".join(soc.name for soc in found), marketing="")
