"""From a user's name for a chip to the row of the device table: names, ids, marketing names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from dlclint.target import Runtime, Soc
from dlclint_schemas.devices import HTP_FROM, DeviceRow, MeasuredSoc, device_table
from dlclint_schemas.limitations import socs_that_need_the_quantizer


class UnknownSoc(Exception):
    """No chip, or several different ones, have that name; `candidates` are names that would work."""

    def __init__(self, message: str, candidates: tuple[str, ...]) -> None:
        super().__init__(message)
        self.candidates = candidates


_PREFIX = re.compile(r"^(?:qualcomm|samsung)?(?:snapdragon|dragonwing|sdm?(?=\d))?")
_SUFFIX = re.compile(r"(?:(?<=.)(?:mobile|compute|platform|proxy))+$")
"""Words after a name that do not make it another chip's."""
_PART = re.compile(r"[a-z]{2,4}\d{3,4}[a-z]*")
_BRANDS = frozenset({"qualcomm", "snapdragon", "dragonwing", "sd"})
_NUMBERED = frozenset({"sm", "sdm", "number"})
"""Lines whose parts are also known by their number alone, such as 865."""


def _key(text: str) -> str:
    """The common form of the spellings of one name: "Snapdragon 8+ Gen 1" and "sd8plusgen1"."""
    squeezed = re.sub(r"[^a-z0-9+]", "", text.lower().replace("plus", "+"))
    shorter = _SUFFIX.sub("", _PREFIX.sub("", squeezed))
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
    names = (*row.socs, *row.also)
    measured = _measured_among(names)
    said_of = names if measured is None else (measured.soc, *names)
    fact = next((device_table().fp16[name] for name in said_of if name in device_table().fp16), None)
    runtimes = {
        Runtime.CPU: row.cpu,
        Runtime.GPU: row.gpu,
        Runtime.GPU_FLOAT16: row.gpu,
        Runtime.DSP: row.hexagon == 66,
        Runtime.HTP: row.hexagon is not None and row.hexagon >= HTP_FROM,
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
        vtcm_mb=None if measured is None else measured.vtcm_mb,
    )


def _measured(soc: MeasuredSoc) -> Soc:
    marketing = next((name for name in soc.also if name.startswith("Snapdragon")), "")
    runtimes = (Runtime.HTP,) if soc.is_htp else (Runtime.DSP,) if soc.hexagon == 66 else ()
    fp16 = soc.fp16 if soc.is_htp and soc.compiles else None
    document = device_table().measured_document
    return Soc(
        soc.soc,
        marketing,
        soc.hexagon,
        runtimes,
        fp16,
        document if fp16 is not None else "",
        False,
        soc.vtcm_mb,
    )


def row_of(soc: Soc) -> DeviceRow | None:
    """The row of the device table; None for a measured SoC without one."""
    return next((row for row in device_table().rows if row.soc == soc.name), None)


def measured_of(soc: Soc) -> MeasuredSoc | None:
    """The HTP backend's data on a chip; None where it does not list it."""
    row = row_of(soc)
    return _measured_among((soc.name,) if row is None else (*row.socs, *row.also))


def _measured_among(names: Iterable[str]) -> MeasuredSoc | None:
    measured = device_table().measured
    return next((measured[name] for name in names if name in measured), None)


def needs_quantizer(soc: Soc | None) -> bool:
    """Whether the limitations list the SoC as one whose DSP only takes DLCs of the quantizer."""
    return soc is not None and soc.name in socs_that_need_the_quantizer()


def _names(soc: Soc) -> tuple[str, ...]:
    row = row_of(soc)
    if row is None:
        return (soc.name, *device_table().measured[soc.name].also)
    return (row.soc, *row.socs, *row.also, row.name)


@cache
def _index() -> tuple[dict[str, list[Soc]], ...]:
    """Socs by key, by priority: its own name; another name; the number of an SM part; that of any other."""
    tiers: tuple[dict[str, list[Soc]], ...] = ({}, {}, {}, {})
    for soc in all_socs():
        for name in dict.fromkeys(_names(soc)):
            keys = [(0 if name == soc.name else 1, _key(name))]
            # The 865 of SM8250 is a part number; the 8 of "Snapdragon 8 Elite" is not.
            if name in (soc.name, *_asics(soc)) and len(_digits(name)) > 2:
                keys.append((2 if name.startswith("SM") else 3, _digits(name)))
            for tier, key in keys:
                socs = tiers[tier].setdefault(key, [])
                if soc not in socs:
                    socs.append(soc)
    return tiers


def _asics(soc: Soc) -> tuple[str, ...]:
    row = row_of(soc)
    return () if row is None else (*row.socs, *row.also)


def find_socs(text: str) -> tuple[Soc, ...]:
    """Every chip that a text may mean, by the best kind of match; empty if none.

    A part's trailing P (SA8775P, SXR2230P) is written or left out.
    """
    key = _key(text)
    keys = [key]
    if _PART.fullmatch(key):
        keys.append(key.removesuffix("p") if key.endswith("p") else f"{key}p")
    for spelling in keys:
        for tier in _index():
            if spelling in tier:
                return tuple(tier[spelling])
    return _called_by_all(text)


def _called_by_all(text: str) -> tuple[Soc, ...]:
    """The chips that have each of several names, such as "QCS9075 / IQ-9075"."""
    names = [name for name in re.split(r"[/,]", text) if _key(name)]
    if len(names) < 2:
        return ()
    first, *others = map(find_socs, names)
    return tuple(soc for soc in first if all(soc in socs for socs in others))


def near_names(text: str) -> tuple[str, ...]:
    """Known names of the same product line that are similar to the text, the nearest first, at most three."""
    # Imported here because only a misspelling needs it.
    import difflib

    line = _line(text)
    shown = {key: name for key, name in _spellings() if _is_of(line, _line(name))}
    return tuple(shown[key] for key in difflib.get_close_matches(_key(text), list(shown), 3, 0.6))


def _spellings() -> Iterator[tuple[str, str]]:
    for soc in all_socs():
        for name in _names(soc):
            yield _key(name), name


def _line(name: str) -> str:
    """The product line: the letters of a part number (sm, sa, qcs) or the first word of a marketing name.

    An X Elite is not an 8 Elite, and an SA8775 is not an SM8750.
    """
    words = [word for word in re.findall(r"[a-z]+|\d+", name.lower()) if word not in _BRANDS]
    if not words:
        return ""
    first = words[0]
    return "number" if first.isdigit() and len(first) > 2 else first


def _is_of(line: str, other: str) -> bool:
    return line == other or (line in _NUMBERED and other in _NUMBERED)


def resolve_soc(text: str) -> Soc:
    """The chip that a text names. Rows that differ only in the operating system are one.

    Raises:
        UnknownSoc: none has the name, or several that differ in the runtimes or precisions for a model.
    """
    socs = find_socs(text)
    if not socs:
        near = near_names(text)
        raise UnknownSoc("unknown SoC", near)
    first = socs[0]
    if any(replace(soc, name="", marketing="") != replace(first, name="", marketing="") for soc in socs):
        raise UnknownSoc("several SoCs share that name", tuple(soc.name for soc in socs))
    if len(socs) == 1:
        return first
    return replace(first, name=", ".join(soc.name for soc in socs), marketing="")
