"""Where execution leaves the chosen runtime."""

from __future__ import annotations

from collections.abc import Iterator

from dlclint.diagnostic import About, Confidence, Severity, counted, size_text
from dlclint.rule import Finding, ModelContext, rule
from dlclint.target import Runtime
from dlclint_rules import sources
from dlclint_rules.causes import anywhere


@rule(
    about=About.TARGET,
    follows=anywhere(
        "ops/no-runtime",
        "runtime/layer-limit",
        "runtime/precision",
        "runtime/element-type",
        "runtime/parameter",
    ),
)
def partition(context: ModelContext) -> Iterator[Finding]:
    """Execution changes between the runtime and the CPU.

    Why: layers that the runtime does not support fall back to the CPU (if fallback is on; otherwise the
    network does not load). Every change of processor waits, and copies the tensors that are still needed. The
    count is the minimum that the data flow allows; a runtime that follows the layer order may have more.
    What to do: replace the op that causes most borders (`dlclint ops OP`), or move such ops to the ends of
    the network, where one border is enough.
    """
    for runtime in context.target.chosen:
        if runtime is Runtime.CPU:
            continue
        subnets = context.view.partition(runtime)
        if not subnets.cuts:
            continue
        on = sum(subnet.on_runtime for subnet in subnets.subnets)
        unknown = max(border.unknown for border in subnets.borders)
        size = f"{'at least ' * bool(unknown)}{size_text(subnets.bytes)} cross in all"
        size = size if subnets.bytes else "how much crosses is unknown"
        worst = subnets.costliest
        least = f"; without {worst.op} {counted(worst.borders, 'change', 'fewer')}" if worst else ""
        yield Finding(
            f"{runtime.value}: execution changes processor {counted(subnets.cuts, 'time')}, "
            f"{counted(len(subnets.subnets), 'subnet')}, {on} of them on {runtime.value}; {size}{least}",
            Severity.WARNING,
            sources.layer_row(f"column {runtime.column}"),
            Confidence.INFERRED,
            help=f"replace {worst.op}, or allow CPU fallback" if worst else "allow CPU fallback",
            evidence={
                "cuts": subnets.cuts,
                "subnets": len(subnets.subnets),
                "bytes": subnets.bytes,
                **({"op": worst.op, "op_nodes": worst.nodes, "op_borders": worst.borders} if worst else {}),
            },
        )
