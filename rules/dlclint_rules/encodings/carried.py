"""What a model that carries its encodings leaves without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dlclint.diagnostic import Confidence, Severity, Source
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules import places
from dlclint_rules.encodings.reporting import QUANTIZATION, capped, encodings_rule

_NAMED = 4
"""Op types that a message names."""
_LISTED = 10
"""Tensors that the evidence names."""


@encodings_rule()
def float_between(context: EncodingsContext) -> Iterator[Finding]:
    """Ops of a QDQ model compute in float between quantized ones.

    Why: inputs, outputs and parameters of one op are either all float or all fixed point, so the tools insert
    a Convert before and after such a part. A chip whose HTP has no float16 cannot run it there at all:
    Qualcomm's backend (QNN 2.51 on x86), given x * Sigmoid(x) with the Sigmoid in float, computes it on
    SM8550 and SM8450 and refuses it on SM7325. The cause is usually an exporter whose list of ops to quantize
    is incomplete. The model still computes correct results, so an accuracy test does not show it. With a
    calibration list, snpe-dlc-quant calibrates tensors without an encoding.
    What to do: let the quantizer include these ops, so that each has QuantizeLinear and DequantizeLinear
    after it.
    """
    if not context.nodes or context.view is None:
        return
    # Imported here because an override file alone has no ops between which anything could lie.
    from dlclint.analysis.qdq.leaks import Leak, leaks

    alike: dict[tuple[str, ...], list[Leak]] = {}
    for leak in leaks(context.view, frozenset(context.document.tensors.names)):
        alike.setdefault(tuple(sorted(node.op_type for node in leak.nodes)), []).append(leak)

    def finding(parts: list[Leak]) -> Finding:
        leak = parts[0]
        ops = Counter(node.op_type for node in leak.nodes).most_common()
        named = ", ".join(f"{count} {op}" if count > 1 else op for op, count in ops[:_NAMED])
        named += f" and {sum(count for _, count in ops[_NAMED:])} more" if ops[_NAMED:] else ""
        times = f" in {len(parts)} places, first here," if len(parts) > 1 else ""
        verb = "stay" if len(leak.nodes) > 1 else "stays"
        chip = f"; {context.target.soc} has no float16 on HTP" if context.target.lacks_float16 else ""
        return Finding(
            f"{named}{times} {verb} float between quantized ops: {leak.makes[0]!r} has no encoding{chip}",
            Severity.WARNING,
            Source(QUANTIZATION, "mixed precision"),
            Confidence.INFERRED,
            "have the quantizer take these ops too",
            leak.nodes[0],
            leak.makes[0],
            evidence={
                "places": len(parts),
                "ops": sum(len(part.nodes) for part in parts),
                "makes": [part.makes[0] for part in parts[:_LISTED]],
            },
            related=(
                *places.nodes(leak.nodes[1:], "is float too"),
                *places.destinations(leak.nodes[0].graph, leak.makes[0], "reads it quantized"),
            ),
        )

    yield from capped(context, sorted(alike.values(), key=len, reverse=True), finding, "kinds of parts")
