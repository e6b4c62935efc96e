"""`dlclint soc`: Hexagon version, runtimes and precisions of a chip, as the tables have them."""

from __future__ import annotations

import argparse

from dlclint.cli.errors import UsageError
from dlclint.diagnostic import plain
from dlclint.socs import all_socs, find_socs, measured_of, near_names, row_of
from dlclint.target import Runtime, Soc
from dlclint_schemas.devices import device_table

WIDE_WEIGHTS_FROM = 73
"""The first Hexagon version on which HTP takes 16-bit weights.

Source: QNN HTP Backend Op Definition Supplement 2.25, Conv2d.
"""


def show_soc(args: argparse.Namespace) -> int:
    """Print what is known about the chips that a name may mean, or one line per chip.

    Raises:
        UsageError: no chip has that name.
    """
    if not args.name:
        print("\n".join(soc_table()))
        return 0
    name = " ".join(args.name)
    socs = find_socs(name)
    if not socs:
        near = near_names(name)
        did = f"; did you mean {' or '.join(near)}?" if near else "; `dlclint soc` lists them"
        raise UsageError(f"unknown SoC {plain(name)!r}{did}")
    print("\n\n".join("\n".join(soc_lines(soc)) for soc in socs))
    return 0


def soc_table() -> list[str]:
    """One line per chip: ASIC name, marketing name, Hexagon version and runtimes."""
    rows = [("chip", "known as", "hexagon", "runtimes")]
    rows += [
        (soc.name, soc.marketing, hexagon(soc), ", ".join(runtime.value for runtime in soc.runtimes))
        for soc in all_socs()
        if soc.listed
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join((*map(str.ljust, row[:3], widths), row[3])) for row in rows]
    others = [f"{soc.name} {hexagon(soc)}" for soc in all_socs() if not soc.listed]
    table = device_table()
    return [
        *lines,
        f"source: {table.document}",
        "",
        f"not in that table, {table.measured_document}:",
        *(f"  {', '.join(others[start : start + 7])}" for start in range(0, len(others), 7)),
    ]


def hexagon(soc: Soc) -> str:
    """The Hexagon version, such as v75, or - where no Hexagon runtime is offered."""
    return "-" if soc.hexagon is None else f"v{soc.hexagon}"


def soc_lines(soc: Soc) -> list[str]:
    """What is known about one chip, line by line."""
    table = device_table()
    lines = [str(soc), f"  {soc.hexagon_text}"]
    row = row_of(soc)
    measured = measured_of(soc)
    named = measured if row is None else row
    also = () if named is None else named.also
    if also:
        lines.append(f"  also called {', '.join(also)}")
    lines.append(f"  runtimes: {', '.join(runtime.value for runtime in soc.runtimes) or 'none known'}")
    lacking = [runtime.value for runtime in Runtime if soc.lacks(runtime)]
    if lacking:
        lines.append(f"  lacks: {', '.join(lacking)}")
    if not soc.listed:
        unknown = [r.value for r in Runtime if r not in soc.runtimes and not soc.lacks(r)]
        lines.append(f"  unknown, as the device table has no row for it: {', '.join(unknown)}")
    column = "htp" if Runtime.HTP in soc.runtimes else "dsp_v66" if Runtime.DSP in soc.runtimes else ""
    if column:
        lines.append(f"  layer table: column {column} holds for its Hexagon")
    if Runtime.HTP in soc.runtimes and soc.hexagon is not None:
        wide = "taken" if soc.hexagon >= WIDE_WEIGHTS_FROM else f"refused before v{WIDE_WEIGHTS_FROM}"
        lines.append(f"  quantized on htp: 8- and 16-bit activations; 16-bit weights are {wide}")
        known = {None: "unknown for this SoC", True: "taken", False: "refused"}[soc.fp16]
        lines.append(f"  float16 on htp: {known}" + (f" ({soc.fp16_source})" if soc.fp16_source else ""))
        if soc.vtcm_mb is not None:
            lines.append(f"  VTCM: {soc.vtcm_mb} MiB (executorch 1.5.1, qc_schema.py)")
        if measured is not None:
            lines.append(f"  soc_model {measured.id} in QNN's options")
    elif Runtime.DSP in soc.runtimes:
        lines.append("  quantized on dsp: 8-bit activations (v66 is not HTP)")
    if Runtime.AIP in soc.runtimes:
        lines.append("  aip: takes quantized DLCs only; 16-bit activations run on its HTA alone")
    if row is not None:
        lines.append(f"  toolchains: {', '.join(row.toolchains)}")
        lines.append(f"  source: {table.document}, row {row.number}")
    else:
        lines.append(f"  source: {table.measured_document}")
    return lines
