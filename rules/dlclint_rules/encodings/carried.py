"""Tensors without an encoding in a model that carries its encodings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dlclint.diagnostic import Confidence, Severity, Source, first_few
from dlclint.encodings.document import Layout
from dlclint.model.op_facts import WEIGHTED_OPS
from dlclint.rule import EncodingsContext, Finding
from dlclint_rules import places
from dlclint_rules.encodings.reporting import QUANTIZATION, at_offset, capped, encodings_rule
from dlclint_schemas.precision import OBSERVED

PARTIAL = Source(QUANTIZATION, "partial overrides")
_NAMED = 4
"""Op types that a message names."""
_LISTED = 10
"""Tensors that the evidence names."""


@encodings_rule()
def float_between(context: EncodingsContext) -> Iterator[Finding]:
    """Ops compute in float between quantized ones.

    Why: inputs, outputs and parameters of one op are either all float or all fixed point, so the tools insert
    a Convert before and after such a part. A chip whose HTP has no float16 cannot run it there at all:
    Qualcomm's backend (QNN 2.51 on x86), given x * Sigmoid(x) with the Sigmoid in float, computes it on
    SM8550 and SM8450 and refuses it on SM7325. The cause is usually an exporter whose list of ops to quantize
    is incomplete. The model still computes correct results, so an accuracy test does not show it. A weight in
    float has the same effect on its Conv, ConvTranspose, Gemm or MatMul, and a bias in float on its Gemm
    (measured in the same way). With a calibration list, snpe-dlc-quant calibrates tensors without one. In a
    file of version 2 a float tensor is a tensor without an entry. If some weights have entries and one
    has none, a note says so.
    What to do: let the quantizer include these ops, so that each has QuantizeLinear and DequantizeLinear
    after it, and each weight its own.
    """
    if context.view is None:
        return
    encoded = frozenset(context.document.tensors.names)
    if context.nodes:
        yield from _parts(context, encoded)
    if context.nodes or _says_weights(context, encoded):
        yield from _weights(context, encoded)


def _parts(context: EncodingsContext, encoded: frozenset[str]) -> Iterator[Finding]:
    # Imported here because an override file alone has no ops.
    from dlclint.analysis.qdq.leaks import Leak, leaks

    assert context.view is not None
    alike: dict[tuple[str, ...], list[Leak]] = {}
    for leak in leaks(context.view, encoded):
        alike.setdefault(tuple(sorted(node.op_type for node in leak.nodes)), []).append(leak)

    def finding(parts: list[Leak]) -> Finding:
        leak = parts[0]
        ops = Counter(node.op_type for node in leak.nodes).most_common()
        texts = (f"{count} {op}" if count > 1 else op for op, count in ops)
        rest = sum(count for _, count in ops[_NAMED:])
        named = first_few(texts, len(ops[:_NAMED]) + rest, _NAMED)
        times = f" in {len(parts)} places, first here," if len(parts) > 1 else ""
        verb = "stay" if len(leak.nodes) > 1 else "stays"
        return Finding(
            f"{named}{times} {verb} float between quantized ops: {leak.makes[0]!r} has no encoding"
            f"{_without_float16(context)}",
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


def _without_float16(context: EncodingsContext) -> str:
    return f"; {context.target.soc} has no float16 on HTP" if context.target.lacks_float16 else ""


def _says_weights(context: EncodingsContext, encoded: frozenset[str]) -> bool:
    """Whether a file is of a version in which a float tensor has no entry, and encodes other weights."""
    document, view = context.document, context.view
    if view is None or not all(section.layout is Layout.FLAT for section in document.sections):
        return False
    return any(
        name in encoded and node.graph.constant(name) is not None
        for node in view.nodes()
        if node.op_type in WEIGHTED_OPS
        for name in node.inputs[:2]
    )


def _weights(context: EncodingsContext, encoded: frozenset[str]) -> Iterator[Finding]:
    # Imported here because an override file alone has no ops.
    from dlclint.analysis.qdq.leaks import bare_weights

    assert context.view is not None
    bare = bare_weights(context.view, encoded)
    if not bare:
        return
    first = bare[0]
    more = f"; {len(bare) - 1} more like it" if len(bare) > 1 else ""
    carried = bool(context.nodes)
    effect = (
        f"{first.node.op_type} computes in float between quantized tensors: {first.name!r} has no encoding"
        if carried
        else f"{first.name!r} has no entry between the quantized tensors of {first.node.op_type}: version 2"
        " uses that for float tensors; a quantizer gives it a separate grid, and with --float_fallback it"
        " stays float"
    )
    finding = Finding(
        f"{effect}{_without_float16(context) if carried else ''}{more}",
        Severity.WARNING if carried else Severity.INFO,
        Source(OBSERVED, "a float weight between quantized tensors") if carried else PARTIAL,
        Confidence.FIELD_REPORTED if carried else Confidence.DOCUMENTED,
        "have the quantizer take the weight too" if carried else "give the weight an entry",
        first.node,
        first.name,
        evidence={"weights": len(bare), "names": [each.name for each in bare[:_LISTED]]},
        related=places.nodes((each.node for each in bare[1:]), "has another one"),
    )
    yield (
        finding
        if carried
        else at_offset(
            context, context.document.sections[0].start, context.document.sections[0].pointer, finding
        )
    )
