"""Ops that HTP computes wrongly in some ranges, where no encoding gives them one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from dlclint.analysis.roles import layer_name
from dlclint.analysis.shared import short
from dlclint.analysis.view import ModelView
from dlclint.diagnostic import About, Confidence, Severity, Source, counted
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext
from dlclint.target import Runtime
from dlclint_rules.quantization.reporting import quantization_rule
from dlclint_schemas.grid_limits import GridLimit, grid_limits
from dlclint_schemas.record import record


@record
class RangeInDoubt:
    """An op, and the tensor that HTP needs in a range. `ends` are what is known of its values.

    `sure` means that the values cannot leave `ends`, so that every calibrated range breaks the limit.
    """

    node: Node
    name: str
    ends: tuple[float, float] | None
    sure: bool


@quantization_rule(about=About.ACCURACY)
def range_dependent(context: ModelContext) -> Iterator[Finding]:
    """HTP computes a quantized op wrongly in a range that calibration may find.

    Why: measured with QNN 2.51 on an x86 host: results of a Reciprocal are too small by the factor of its
    input's highest number if the input's range ends below 1, and a 16-bit Log gives one number for every
    input if its output spans less than 4. Normalizations that are spelled out take the reciprocal of a
    deviation, which is often below 1: magika loses everything on HTP so. Where the model shows that the range
    is wide enough, nothing is reported. If the tensor has an encoding, `encodings/range-miscomputed` checks
    it.
    What to do: give the tensor a wide enough range in an override file, which `dlclint simulate --inputs
    FILES --emit-overrides FILE` writes, or use Div instead of Reciprocal, which HTP computes as documented.
    """
    kind = context.target.kind
    if not kind.quantize or Runtime.HTP not in context.target.considered:
        return
    view = context.view.as_float
    for op, limit in grid_limits().items():
        if kind.act_bitwidth not in limit.bitwidths:
            continue
        nodes = [node for node in view.by_op.get(op, ()) if node.key not in view.folded]
        doubts = [doubt for node in nodes if (doubt := _doubt(view, node, limit, kind.act_bitwidth))]
        if doubts:
            # The ones of which something is known first.
            doubts.sort(key=lambda doubt: (not doubt.sure, doubt.ends is None))
            yield _finding(doubts, len(nodes), limit, kind.act_bitwidth)


def _doubt(view: ModelView, node: Node, limit: GridLimit, bitwidth: int) -> RangeInDoubt | None:
    """What may break the limit; None where the range is known to be wide enough, or has an encoding."""
    name = limit.tensor(node.inputs, node.outputs)
    entry = view.encodings.get(name)
    if not name or (entry is not None and (entry.is_float or entry.scale is not None)):
        return None
    values = view.certain(node.graph).get(name)
    if values is not None:
        low, high = min(values.minimum, 0.0), max(values.maximum, 0.0)
        if math.isfinite(high - low) and not limit.is_met(low, high, bitwidth):
            return RangeInDoubt(node, name, (values.minimum, values.maximum), sure=True)
        # Calibration sees at least the end that every value is beyond.
        nearest = max(values.minimum, 0.0), min(values.maximum, 0.0)
        if limit.is_met(min(nearest), max(nearest), bitwidth):
            return None
    estimate = view.activations.get(name) if node.graph.parent is None else None
    if estimate is None:
        return RangeInDoubt(node, name, None, sure=False)
    low, high = min(estimate.minimum, 0.0), max(estimate.maximum, 0.0)
    if limit.is_met(low, high, bitwidth):
        return None
    return RangeInDoubt(node, name, (estimate.minimum, estimate.maximum), sure=False)


def _finding(doubts: list[RangeInDoubt], total: int, limit: GridLimit, bitwidth: int) -> Finding:
    worst, op = doubts[0], limit.op
    moves = "writes" if limit.is_output else "reads"
    if limit.least_high is not None:
        wrong = f"too small where the range that it {moves} ends below {limit.least_high:g}"
    else:
        span = limit.least_span(bitwidth)
        wrong = f"all alike at {bitwidth} bits where the range that it {moves} spans less than {span:.3g}"
    if worst.ends is None:
        known = "which is not known" + (f" in {len(doubts)} of {total} nodes" if total > 1 else "")
    else:
        how = "is" if worst.sure else "is estimated as"
        known = f"and that of {short(worst.name)} {how} {worst.ends[0]:.4g} to {worst.ends[1]:.4g}"
        if len(doubts) > 1:
            known += f"; {counted(len(doubts) - 1, 'more node')} of {total} in doubt"
    return Finding(
        f"{op} {short(layer_name(worst.node))}: HTP makes the results {wrong}, {known}",
        Severity.INFO if worst.ends is None else Severity.WARNING,
        Source(limit.measured, op),
        Confidence.FIELD_REPORTED if worst.sure else Confidence.INFERRED,
        f"give {short(worst.name)} a wider range by an override file, as dlclint simulate --inputs FILES"
        " --emit-overrides FILE does",
        worst.node,
        worst.name,
        evidence={"in_doubt": len(doubts), "nodes": total},
    )
