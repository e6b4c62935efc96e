"""The device table (80-63442-2 Rev BL, Overview: 45 rows), other names, and measurements by SoC."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.record import record
from dlclint_schemas.resource import citation, load

HTP_FROM = 68
"""The first Hexagon version that is HTP (80-63442-2 Rev BL, Overview)."""


@record
class DeviceRow:
    """One row: `name` and `soc` as printed, `socs` the ASIC names in it.

    `hexagon` is the Hexagon version, such as 66 or 75; None where the table has N/A, so that no Hexagon
    runtime is offered. `also` are names in other documents and in common use.
    """

    number: int
    name: str
    soc: str
    socs: tuple[str, ...]
    also: tuple[str, ...]
    hexagon: int | None
    cpu: bool
    gpu: bool
    aip: bool
    systems: tuple[str, ...]
    toolchains: tuple[str, ...]


@record
class MeasuredSoc:
    """A SoC that the HTP backend names: Hexagon version, and whether a float model compiles for it.

    `id` is its number in the backend's option `soc_model`. `hexagon` is None where the backend names no
    version; HTP starts at 68. `vtcm_mb` is its tightly coupled memory in MiB, None where it is unknown.
    """

    soc: str
    id: int
    also: tuple[str, ...]
    hexagon: int | None
    fp16: bool
    vtcm_mb: int | None
    compiles: bool
    """Whether anything compiles for it; the backend names some chips that it does not support otherwise."""

    @property
    def is_htp(self) -> bool:
        """Whether it has HTP."""
        return self.hexagon is not None and self.hexagon >= HTP_FROM


@record
class Fp16Fact:
    """Whether HTP of a SoC supports float16, and the source."""

    fp16: bool
    source: str


@record
class DeviceTable:
    """The rows in the table's order, and the measured SoCs by name."""

    rows: tuple[DeviceRow, ...]
    document: str
    measured: Mapping[str, MeasuredSoc]
    measured_document: str
    fp16: Mapping[str, Fp16Fact]
    """By ASIC name; missing ones are unknown."""


@cache
def device_table() -> DeviceTable:
    """The table, read once."""
    data, measured, names = load("snpe_devices"), load("measured_socs"), load("soc_names")
    also: dict[str, tuple[str, ...]] = {}
    for alias in names["names"]:
        also[alias["soc"]] = (*also.get(alias["soc"], ()), alias["name"])
    said = str(measured["source"]["document"])
    fp16 = {alias["soc"]: Fp16Fact(alias["fp16"], alias["source"]) for alias in names["fp16_reports"]}
    fp16 |= {alias["soc"]: Fp16Fact(alias["fp16"], said) for alias in measured["socs"]}
    return DeviceTable(
        tuple(_row(number, row, also) for number, row in enumerate(data["devices"], 1)),
        citation(data["source"]),
        MappingProxyType(
            {
                alias["soc"]: MeasuredSoc(
                    alias["soc"],
                    alias["id"],
                    also.get(alias["soc"], ()),
                    alias["hexagon"],
                    alias["fp16"],
                    alias.get("vtcm_mb"),
                    alias.get("compiles", True),
                )
                for alias in measured["socs"]
            }
        ),
        said,
        MappingProxyType(fp16),
    )


def _row(number: int, row: dict[str, Any], also: Mapping[str, tuple[str, ...]]) -> DeviceRow:
    first, *rest = row["soc"].split("/")
    # "SM4350/6325" omits the second prefix.
    prefix = first.rstrip("0123456789")
    socs = (first, *(part if part[0].isalpha() else prefix + part for part in rest))
    arch = row["dsp_arch"]
    return DeviceRow(
        number,
        row["name"],
        row["soc"],
        socs,
        also.get(row["soc"], ()),
        int(arch[1:]) if arch else None,
        row["cpu"],
        row["gpu"],
        row["aip"],
        tuple(row["os"]),
        tuple(row["toolchains"]),
    )
