"""The limitations table, entry by entry: the data state the limit, `breaches` finds violations.

An entry is checked here if its kind has a handler. docs/tables/limits.md states what checks each entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.rule import Finding, ModelContext, rule
from dlclint.target import Runtime
from dlclint_rules.runtime.breaches import HANDLERS, Breach
from dlclint_schemas.limitations import limit_table

CHECKED_BY = {
    "LIM001": "shapes/input-rank",
    "LIM002": "batch/detector-batch",
    "LIM003": "batch/not-one",
    "LIM004": "model/opset-too-new",
    "LIM005": "ops/not-foldable",
    "LIM008": "quantization/fp16-overflow",
    "LIM017": "runtime/quantizer-mandatory",
    "LIM018": "batch/hta-input",
    "LIM021": "runtime/dlc-kind",
    "LIM022": "runtime/precision",
}
"""Entries that a separate rule checks, for the page of limits."""


@rule(about=About.FORM)
def layer_limit(context: ModelContext) -> Iterator[Finding]:
    """The model exceeds a documented limit of the runtime.

    Why: the limitations page lists, by runtime and layer, what is refused and what is not optimized. A
    refused layer is an error. Slower layers are one warning per model, with the number of nodes.
    MaxPerGPUSize is only given for Adreno 330, 430 and 530; dlclint uses the largest, and the finding is
    inferred.
    What to do: change the layer as the limit says, or choose another runtime; docs/tables/limits.md lists
    every entry and the rule that checks it.
    """
    runtimes: tuple[Runtime | None, ...] = context.target.chosen or (None,)
    for id, entry in limit_table().items():
        if not evaluated(id):
            continue
        concerned = [runtime for runtime in runtimes if _concerns(entry, runtime)]
        if not concerned:
            continue
        handler = HANDLERS[entry["machine"]["kind"]]
        breaches = {
            (b.node.key if b.node is not None else None, b.tensor): b
            for runtime in concerned
            for b in handler(context, runtime or Runtime.CPU, entry["machine"])
        }
        if breaches:
            yield from _findings(id, entry, list(breaches.values()))


def evaluated(id: str) -> bool:
    """Whether this rule checks an entry."""
    return limit_table()[id].get("machine", {}).get("kind") in HANDLERS


def _concerns(entry: Mapping[str, Any], runtime: Runtime | None) -> bool:
    """Whether an entry applies to a runtime; those without a runtime apply to every model.

    The page has no section on HTP, and its DSP entries apply to v66; AIP runs on HTA and that DSP.
    """
    named = entry.get("runtimes")
    if named is None:
        return True
    if runtime is None:
        return False
    rows = {runtime.dlc_row} if runtime is not Runtime.HTP else set()
    return bool(rows & set(named)) or (runtime is Runtime.AIP and "dsp" in named)


def _findings(id: str, entry: Mapping[str, Any], breaches: list[Breach]) -> Iterator[Finding]:
    effect, machine = entry["effect"], entry["machine"]
    on_dsp_instead = "falls_back_to" in machine
    refused = effect == "unsupported" and not on_dsp_instead
    inferred = bool(machine.get("constants")) or "reading" in machine
    severity = Severity.ERROR if refused and not inferred else Severity.WARNING
    severity = Severity.INFO if effect == "accuracy" or "note_only" in machine else severity
    shown = breaches if refused else breaches[:1]
    for breach in shown:
        numbers = ", ".join(_number(name, value) for name, value in breach.numbers.items())
        more = f" ({len(breaches)} nodes)" if len(shown) < len(breaches) else ""
        subject = breach.node.op_type if breach.node is not None else f"input {breach.tensor!r}"
        yield Finding(
            f"{subject}{more}: {entry['limit']}" + (f" Here {numbers}." if numbers else ""),
            severity,
            Source(f"{entry['document']}, {entry['title']}", f"{id} {entry.get('layer', entry['scope'])}"),
            Confidence.INFERRED if inferred else Confidence.DOCUMENTED,
            help=_HELP["hta" if on_dsp_instead else effect],
            node=breach.node,
            tensor=breach.tensor,
            evidence={"limit": id, "nodes": len(breaches), **breach.numbers},
            related=breach.related,
        )


def _number(name: str, value: object) -> str:
    return f"{value!r} is not constant" if name == "not_constant" else f"{name} {_shown(value)}"


def _shown(value: object) -> str:
    texts = isinstance(value, list) and all(isinstance(element, str) for element in value)
    return " ".join(value) if isinstance(value, list) and texts else str(value)


_HELP = {
    "hta": "nothing if the DSP may run it in the HTA's place; else change the layer",
    "unsupported": "change the layer so that the limit holds, or choose another runtime",
    "performance": "it works, slower: change the layer if it matters, or choose another runtime",
    "accuracy": "compare the results with the source framework's",
}
