"""The SoC in a question to the backend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlclint.confirm.process import NotAvailable
from dlclint.socs import row_of
from dlclint.target import Soc
from dlclint_schemas.devices import HTP_FROM, MeasuredSoc, device_table
from dlclint_schemas.record import record


@record
class AskedSoc:
    """A number of the backend's option `soc_model`; `note` says which SoC it is for where that is another."""

    id: int
    name: str
    hexagon: int
    note: str = ""


def this_machine(library: str) -> AskedSoc:
    """The entry that replaces a chip for the CPU backend."""
    return AskedSoc(0, library, 0)


def asked_soc(soc: Soc) -> AskedSoc:
    """The backend's own number for a SoC, or for one with the same Hexagon version and precisions.

    Raises:
        NotAvailable: the backend knows no such SoC; it starts at Hexagon v68.
    """
    measured = {name: chip for name, chip in device_table().measured.items() if chip.is_htp and chip.compiles}
    for name in _names(soc):
        if name in measured:
            return _asked(measured[name])
    if soc.hexagon is None or soc.hexagon < HTP_FROM:
        raise NotAvailable(
            f"{soc} has {soc.hexagon_text}, and the backend checks HTP, which is Hexagon v68 and later; "
            "`dlclint check` covers the others"
        )
    # fp16 depends on the SoC: where it is unknown, a SoC that has it leaves the float verdicts to the ops.
    wanted = soc.fp16 is not False
    for other in measured.values():
        if other.hexagon == soc.hexagon and other.fp16 is wanted:
            same = "float16 unknown" if soc.fp16 is None else f"float16 {'taken' if wanted else 'not taken'}"
            note = (
                f"the backend has no number for {soc}; checked as {other.soc}, Hexagon v{soc.hexagon}, {same}"
            )
            return _asked(other, note)
    raise NotAvailable(f"the backend has no number for {soc}, and none for another {soc.hexagon_text}")


def _names(soc: Soc) -> Iterator[str]:
    """Every ASIC name of a SoC; several rows that differ only in unimportant fields are one SoC."""
    for name in soc.name.split(", "):
        yield name
        row = row_of(replace(soc, name=name))
        if row is not None:
            yield from (*row.socs, *row.also)


def _asked(soc: MeasuredSoc, note: str = "") -> AskedSoc:
    assert soc.hexagon is not None  # `asked_soc` excludes others
    return AskedSoc(soc.id, soc.soc, soc.hexagon, note)
