"""Effects of 16-bit activations on scales, slopes and second inputs, before there is any file."""

from __future__ import annotations

from collections.abc import Iterator

from dlclint.analysis.side_inputs import SideInput, computed_products, side_inputs, takes_wide
from dlclint.diagnostic import About, Confidence, Severity, Source, counted
from dlclint.model.graph import Node
from dlclint.model.op_facts import Role
from dlclint.rule import Finding, ModelContext, rule
from dlclint.target import Runtime
from dlclint_rules import places, sources
from dlclint_schemas.precision import OBSERVED
from dlclint_schemas.side_inputs import INT16, UINT16, UINT16_SYMMETRIC, second_input, side_input_forms


@rule(about=About.TARGET)
def side_input(context: ModelContext) -> Iterator[Finding]:
    """With 16-bit activations, HTP does not fully support a scale, a slope or a second input.

    Why: quantizers give the scale of a normalization and the slope of a PRelu the width of the activations.
    LayerNorm supports a 16-bit scale only from Hexagon v73 on and only with the zero point in the middle
    ("incorrect Value 68, expected >= 73"); PRelu supports no unsigned 16-bit slope at all. If both inputs of
    a MatMul are computed, the second is cut to 8 bits, unless it is symmetric, the chip has v73, and the
    converter gets the option `--use_dynamic_16_bit_weights` (off by default). Einsum at 16 bits needs v73.
    What to do: give scales and slopes 8 bits with an override file; `dlclint plan --emit-overrides` writes
    those entries. Such an entry resolves this finding.
    """
    kind, target = context.target.kind, context.target
    if not kind.quantize or kind.act_bitwidth != 16 or Runtime.HTP not in target.considered:
        return
    hexagon = None if target.soc is None else target.soc.hexagon
    if hexagon is not None and hexagon < 68:
        return
    yield from _parameters(context, hexagon)
    yield from _products(context, hexagon)


def _parameters(context: ModelContext, hexagon: int | None) -> Iterator[Finding]:
    by_op: dict[str, list[SideInput]] = {}
    for side in side_inputs(context.view):
        entry = context.view.encodings.get(side.name)
        if entry is None or entry.bitwidth == 16:
            by_op.setdefault(side.op, []).append(side)
    for op, sides in by_op.items():
        forms = {
            form: side_input_forms().get((op, 16, form), 68) for form in (UINT16, UINT16_SYMMETRIC, INT16)
        }
        taken = [form for form, since in forms.items() if since is not None and since <= (hexagon or 68)]
        if takes_wide(op, hexagon):
            continue
        since = forms[UINT16_SYMMETRIC]
        later = f"; symmetric 16 bits from Hexagon v{since} on" if since is not None and since > 68 else ""
        first = sides[0]
        stops = not taken and context.target.kind.weights_bitwidth == 16 and hexagon is not None
        yield Finding(
            f"{first.words} ({counted(len(sides), 'tensor')}, such as {first.name!r}) gets 16 bits from"
            f" quantizers with 16-bit activations, which HTP does not take as they are{later}",
            _severity(stops, first, taken, hexagon),
            Source("pytorch/executorch#17296; qualcomm/ai-hub-models#331", OBSERVED),
            Confidence.FIELD_REPORTED,
            "give them 8 bits, asymmetric, by an override file (dlclint plan --emit-overrides writes it)",
            first.node,
            first.name,
            evidence={"op": op, "tensors": [side.name for side in sides][:20], "count": len(sides)},
        )


def _severity(stops: bool, side: SideInput, taken: list[str], hexagon: int | None) -> Severity:
    """The severity of a 16-bit form: where the chip supports one for a scale, the quantizer may choose it."""
    if stops:
        return Severity.ERROR
    is_found = side.role is Role.GAMMA and bool(taken) and hexagon is not None
    return Severity.INFO if is_found else Severity.WARNING


def _products(context: ModelContext, hexagon: int | None) -> Iterator[Finding]:
    left = second_input()
    keeps = hexagon is None or hexagon >= left.kept_since
    by_op: dict[str, list[Node]] = {}
    for node in computed_products(context.view):
        entry = context.view.encodings.get(node.input(1))
        if entry is None or entry.bitwidth == 16:
            by_op.setdefault(node.op_type, []).append(node)
    if by_op.get("Einsum") and (hexagon is None or not keeps):
        nodes = by_op["Einsum"]
        where = f", and this is v{hexagon}" if hexagon is not None else ""
        yield Finding(
            f"Einsum of two activations at 16 bits needs Hexagon v{left.kept_since}{where}"
            f" ({counted(len(nodes), 'node')})",
            Severity.WARNING if keeps else Severity.ERROR,
            Source(OBSERVED, "Einsum"),
            Confidence.INFERRED,
            "give its inputs 8 bits by an override file, or write it as MatMul",
            nodes[0],
            evidence={"count": len(nodes)},
        )
    if by_op.get("MatMul"):
        nodes = by_op["MatMul"]
        yield Finding(
            f"MatMul of two activations ({counted(len(nodes), 'node')}) cuts the second to 8 bits:"
            f" {left.decibels[UINT16]:g} dB are left of {left.on_cpu:g} (measured)",
            Severity.WARNING,
            sources.SECOND_INPUT,
            Confidence.FIELD_REPORTED,
            f"pass --use_dynamic_16_bit_weights to a converter that has it: symmetric 16 bits keep"
            f" {left.decibels[INT16]:g} dB from v{left.kept_since} on"
            if keeps
            else f"only Hexagon v{left.kept_since} and newer keep 16 bits",
            nodes[0],
            evidence={"count": len(nodes), "decibels": left.decibels[UINT16]},
            related=(places.source(nodes[0].graph, nodes[0].input(1), "the second"),),
        )
