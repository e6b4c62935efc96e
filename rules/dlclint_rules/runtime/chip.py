"""What the chosen SoC does not offer, or asks for."""

from __future__ import annotations

from collections.abc import Iterator

from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.rule import Finding, ModelContext, rule
from dlclint.socs import needs_quantizer, row_of
from dlclint.target import Runtime, Soc
from dlclint_rules import sources
from dlclint_schemas.devices import device_table


def device_row(soc: Soc) -> Source:
    """The row of the device table, or where a SoC without one was measured."""
    row = row_of(soc)
    table = device_table()
    if row is None:
        return Source(table.measured_document) if not soc.listed else Source(table.document, soc.name)
    return Source(table.document, f"row {row.number} {row.soc}")


@rule(about=About.TARGET)
def soc_lacks_runtime(context: ModelContext) -> Iterator[Finding]:
    """The SoC does not have the chosen runtime.

    Why: the runtime cannot be created on the device, whatever the model. Hexagon v66 is the runtime
    `dsp` and no HTP; v68 and later is `htp`; AIP needs the HTA, which some v66 chips have.
    What to do: choose a runtime that the chip has (`dlclint soc NAME`).
    """
    soc = context.target.soc
    if soc is None:
        return
    for runtime in context.target.runtimes:
        if not soc.lacks(runtime):
            continue
        has = [other.value for other in soc.runtimes]
        hexagon = next((r for r in (Runtime.HTP, Runtime.DSP) if r in soc.runtimes), None)
        meant = hexagon if runtime in (Runtime.HTP, Runtime.DSP, Runtime.AIP) else None
        yield Finding(
            f"{soc} has no {runtime.value} runtime: {soc.hexagon_text}, runtimes {', '.join(has)}",
            Severity.ERROR,
            device_row(soc),
            Confidence.DOCUMENTED if soc.listed else Confidence.INFERRED,
            help=f"--runtime {meant.value} is its Hexagon" if meant else "choose a runtime that the chip has",
            evidence={"runtime": runtime.value, "soc": soc.name},
        )


@rule(about=About.TARGET)
def quantizer_mandatory(context: ModelContext) -> Iterator[Finding]:
    """The DSP of this SoC takes no DLC that has not been through the quantizer.

    Why: on Snapdragon 865 the DSP runtime needs a DLC from snpe-dlc-quantize; a float one is not
    quantized when it loads, as other chips do.
    What to do: quantize the DLC; preparing the cache offline is advised as well.
    """
    soc, kind = context.target.soc, context.target.kind
    if not needs_quantizer(soc) or kind.quantize or not kind.stated:
        return
    if Runtime.DSP in context.target.runtimes:
        yield Finding(
            f"dsp on {soc} accepts only a DLC from snpe-dlc-quantize, and this one stays float",
            Severity.ERROR,
            sources.limit("LIM017"),
            help="quantize it (--quantize), and generate the offline cache",
        )
