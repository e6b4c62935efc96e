"""Nodes whose layer the chosen runtime lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.layers import Presence, other_voices, verdict_on
from dlclint.diagnostic import About, Confidence, Severity
from dlclint.rule import Finding, ModelContext, rule
from dlclint.target import Runtime
from dlclint_rules import sources
from dlclint_schemas.layers import layer_table

if TYPE_CHECKING:
    pass


@rule(about=About.PRESENCE)
def no_runtime(context: ModelContext) -> Iterator[Finding]:
    """A chosen runtime has no implementation of the layer.

    Why: the layer falls back to another processor if fallback is allowed, and otherwise loading fails. The
    layer table is SNPE's. If none of its rows decides the question, the finding says so. If QNN's table for
    HTP or HTP's own backend supports what the layer table denies, the finding names both.
    What to do: choose another runtime, allow CPU fallback, or rewrite the layer.
    """
    view = context.view
    rows = layer_table().rows
    for runtime in context.target.chosen:
        htp = runtime is Runtime.HTP
        for pattern in view.patterns:
            row = rows[pattern.layer]
            graph = next(graph for graph in view.model.graphs() if graph.path == pattern.path)
            if not row.runtimes[runtime.column]:
                yield Finding(
                    f"{pattern.layer}, which {len(pattern.nodes)} nodes from here form, "
                    f"is not on {runtime.value}",
                    Severity.ERROR,
                    sources.layer_row(f"row {row.number} {row.name}"),
                    help="choose another runtime or allow CPU fallback",
                    node=pattern.members(graph)[0],
                )
        for node in context.view.official_nodes:
            known = node.op_type in context.view.table.rows
            if not known or node.key in view.in_pattern or node.op_type in _JUDGED_ELSEWHERE:
                continue
            verdict = verdict_on(node, runtime)
            if verdict.presence is Presence.YES or node.key in view.shape_arithmetic:
                continue
            no = verdict.presence is Presence.NO
            but, contradicted = other_voices(node, verdict, context.target) if no and htp else ("", False)
            doubtful = verdict.inferred or contradicted
            severity = Severity.INFO if not no else Severity.WARNING if doubtful else Severity.ERROR
            phrase = "is not on" if no else "has no row that settles whether it is on"
            yield Finding(
                f"{node.op_type} {phrase} {runtime.value}: {verdict.reason}{but}",
                severity,
                sources.layer_row(", ".join(verdict.layers) or f"no row for {node.op_type}"),
                Confidence.INFERRED if doubtful else Confidence.DOCUMENTED,
                help="choose another runtime or allow CPU fallback"
                + ("; `dlclint confirm` asks HTP's own backend" if contradicted else "")
                if no
                else "look for it among the layers of the converted DLC"
                + (", or ask HTP's own backend (`dlclint confirm`)" if htp else ""),
                node=node,
                evidence={"runtime": runtime.value},
            )


_JUDGED_ELSEWHERE = frozenset({"Shape", "If", "Erf"})
"""not-foldable, control-flow and pattern-only report these."""
