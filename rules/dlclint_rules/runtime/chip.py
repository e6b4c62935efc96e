"""What the chosen SoC or the release of the SDK does not offer, or requires."""

from __future__ import annotations

from collections.abc import Iterator

from dlclint.analysis.releases import form_needs
from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.rule import Finding, ModelContext, rule
from dlclint.socs import needs_quantizer, row_of
from dlclint.target import Runtime, Soc
from dlclint_rules import sources
from dlclint_schemas.devices import device_table
from dlclint_schemas.releases import changes


def device_row(soc: Soc) -> Source:
    """The row of the device table, or the measurement of a SoC without one."""
    row = row_of(soc)
    table = device_table()
    if row is None:
        return Source(table.measured_document) if not soc.listed else Source(table.document, soc.name)
    return Source(table.document, f"row {row.number} {row.soc}")


@rule(about=About.TARGET)
def soc_lacks_runtime(context: ModelContext) -> Iterator[Finding]:
    """The SoC does not have the chosen runtime.

    Why: the runtime cannot be created on the device, whatever the model. Hexagon v66 has the runtime `dsp`
    and no HTP; v68 and later have `htp`; AIP needs the HTA, which some v66 chips have.
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
    """The DSP of this SoC only takes a DLC from the quantizer.

    Why: on Snapdragon 865, the DSP runtime needs a DLC from snpe-dlc-quantize; unlike other chips, it does
    not quantize a float DLC when it loads it.
    What to do: quantize the DLC; preparing the cache offline is recommended as well.
    """
    soc, kind = context.target.soc, context.target.kind
    if not needs_quantizer(soc) or not kind.is_float:
        return
    if Runtime.DSP in context.target.runtimes:
        yield Finding(
            f"dsp on {soc} accepts only a DLC from snpe-dlc-quantize, and this one stays float",
            Severity.ERROR,
            sources.limit("LIM017"),
            help="quantize it (--quantize), and generate the offline cache",
        )


@rule(about=About.FORM)
def release_too_old(context: ModelContext) -> Iterator[Finding]:
    """The release of the SDK does not have a form of an op that a newer one has.

    Why: HTP, the GPU and the converter get new ops, element types and widths in each release; an older
    release refuses the model when it converts or loads it. If the documents combine several releases in one
    entry, the exact release is not known, and the finding is a note. Other rules report ranks
    (`htp/rank-limit-exceeded`), precisions (`runtime/precision`) and opsets (`model/opset-too-new`).
    What to do: use a release that has it, or rewrite the op.
    """
    release = context.target.release
    for change in changes():
        if change.kind in _ELSEWHERE:
            continue
        for need in form_needs(context.view, change):
            lacks = need.lacks(release)
            if lacks is False:
                continue
            sure = sources.READ.get(change.confidence, Confidence.FIELD_REPORTED)
            came = f"one of {change.since_text}" if change.not_before else change.since
            yield Finding(
                f"{need.says}: "
                + (
                    f"SDK {release.name} does not have it, it came with {came}"
                    if lacks
                    else f"it came with one of SDK {change.since_text}, and which is not known"
                ),
                Severity.WARNING if lacks else Severity.INFO,
                Source(change.source, change.says),
                sure if lacks else Confidence.INFERRED,
                help=f"use SDK {change.since} or newer, or rewrite the op",
                node=need.node,
                evidence={"since": change.since, "sdk": release.name, "nodes": need.count},
            )


_ELSEWHERE = ("rank", "precision", "note")
"""Kinds of change that other rules report, or none."""
