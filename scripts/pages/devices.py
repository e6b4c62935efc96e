"""The devices of the table, and the SoCs that are known only from measurements."""

from __future__ import annotations

from dlclint.cli.soc import hexagon
from dlclint.socs import all_socs, measured_of, row_of
from dlclint.target import Runtime, Soc
from dlclint_schemas.devices import device_table
from pages._markdown import table


def files() -> dict[str, str]:
    """docs/tables/devices.md."""
    devices = device_table()
    listed = [
        (
            str(row.number),
            soc.name,
            soc.marketing,
            ", ".join(row.also) or "-",
            hexagon(soc),
            ", ".join(runtime.value for runtime in soc.runtimes),
            _fp16(soc),
            _vtcm(soc),
        )
        for soc in all_socs()
        if (row := row_of(soc)) is not None
    ]
    measured = [
        (soc.name, _also(soc), hexagon(soc), _fp16(soc), _vtcm(soc)) for soc in all_socs() if not soc.listed
    ]
    heads = ("no", "SoC", "name", "also called", "Hexagon", "runtimes", "float16 on HTP", "VTCM, MiB")
    text = (
        f"# Devices\n\nSource: {devices.document}; float16 on HTP {devices.measured_document}, "
        "reported from the field for QCM6490, and not documented. `--soc` takes any of these names.\n\n"
        f"{table(heads, listed)}\n## Not in that table\n\n"
        f"Only the Hexagon version and float16 are known, {devices.measured_document}; "
        "VTCM is from executorch 1.5.1.\n\n"
        f"{table(('SoC', 'also called', 'Hexagon', 'float16 on HTP', 'VTCM, MiB'), measured)}"
    )
    return {"docs/tables/devices.md": text}


def _also(soc: Soc) -> str:
    measured = measured_of(soc)
    return "-" if measured is None else ", ".join(measured.also) or "-"


def _vtcm(soc: Soc) -> str:
    return "-" if soc.vtcm_mb is None else str(soc.vtcm_mb)


def _fp16(soc: Soc) -> str:
    if Runtime.HTP not in soc.runtimes:
        return "-"
    return {None: "unknown", True: "yes", False: "no"}[soc.fp16]
