"""From a node to the rows of the layer table, and to the value of a runtime's column.

Source: 80-63442-2 Rev BL, Supported Network Layers; its conditions by rank, group and mode are
those of the data's `onnx_to_layers_conditions`.
"""

from __future__ import annotations

import enum
from functools import cache

from dlclint.model.graph import Node
from dlclint.model.op_facts import QDQ, RESIZERS
from dlclint.target import Runtime, Target
from dlclint_schemas.forms import htp_forms
from dlclint_schemas.layers import layer_table
from dlclint_schemas.precision import PRECISIONS, SUPPLEMENT, supplement_precisions
from dlclint_schemas.record import record


class Presence(enum.Enum):
    """The value of a runtime's column for a node."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"
    """No row decides: the converter must lower the op to others."""


@record
class LayerSupport:
    """Presence on a runtime, the layers that it was read from, and why."""

    presence: Presence
    layers: tuple[str, ...]
    reason: str
    inferred: bool = False


_BY_SPATIAL_DIMS = {
    "ConvTranspose": ("TransposeConv2d", "TransposeConv3d"),
    "AveragePool": ("PoolAvg2d", "PoolAvg3d"),
    "GlobalAveragePool": ("PoolAvg2d", "PoolAvg3d"),
    "MaxPool": ("PoolMax2d", "PoolMax3d"),
    "GlobalMaxPool": ("PoolMax2d", "PoolMax3d"),
}


def layers_of(node: Node) -> tuple[str, ...]:
    """The layers that a node becomes: several if the op is decomposed, or if the rank is unknown."""
    table = layer_table()
    if node.domain:
        layer = table.other_domain_layers.get((node.domain, node.op_type))
        return (layer,) if layer else ()
    op = node.op_type
    if op in ("Conv", "QLinearConv"):
        return _convolution(node)
    rank = node.graph.rank(node.input(0))
    if op in _BY_SPATIAL_DIMS:
        flat, deep = _BY_SPATIAL_DIMS[op]
        return (flat, deep) if rank is None else (deep if rank >= 5 else flat,)
    if op in RESIZERS:
        return _resize(node, rank)
    if op in ("MatMul", "QLinearMatMul"):
        weight = node.input(1 if op == "MatMul" else 3)
        constant = node.graph.constant(weight)
        matrix = constant is not None and len(constant.shape) == 2
        return ("FullyConnected",) if matrix else ("MatMul",)
    return tuple(table.onnx_to_layers.get(op, ()))


def _convolution(node: Node) -> tuple[str, ...]:
    weight_position = 1 if node.op_type == "Conv" else 3
    weight = node.graph.type_of(node.input(weight_position))
    if weight is None or weight.shape is None:
        rank = node.graph.rank(node.input(0))
        if rank is None:
            return ("Conv2d", "Conv3d", "DepthWiseConv2d")
        return ("Conv3d",) if rank >= 5 else ("Conv2d", "DepthWiseConv2d")
    if len(weight.shape) >= 5:
        return ("Conv3d",)
    group = node.attribute("group", 1) or 1
    # group == input channels == output channels; the weight is [output, input / group, ...].
    depthwise = group > 1 and weight.shape[:2] == (group, 1)
    return ("DepthWiseConv2d",) if depthwise else ("Conv2d",)


def _resize(node: Node, rank: int | None) -> tuple[str, ...]:
    mode = node.attribute("mode") or "nearest"
    special = {"nearest": "ResizeNearestNeighbor"}.get(mode, "ResizeBilinear")
    if node.op_type == "Upsample":
        return (special,)
    if mode == "cubic":
        return ("Resize",)
    if rank is None:
        return (special, "Resize")
    return (special,) if rank == 4 else ("Resize",)


def verdict_on(node: Node, runtime: Runtime) -> LayerSupport:
    """The layer table's verdict on a node on a runtime."""
    return verdict_of(*known_by(node), runtime.column)


def known_by(node: Node) -> tuple[str, tuple[str, ...]]:
    """What the verdicts on a node depend on: its op ("" of another domain), and its layers."""
    rowless = not node.domain and node.op_type in layer_table().rowless
    return "" if node.domain else node.op_type, () if rowless else layers_of(node)


@cache
def verdict_of(op: str, layers: tuple[str, ...], column: str) -> LayerSupport:
    """The verdict on an op of the default domain ("" of another) that becomes these layers."""
    table = layer_table()
    if op in QDQ:
        return LayerSupport(Presence.YES, (), "stripped by the converter unless --keep_quant_nodes is given")
    rowless = table.rowless.get(op)
    if rowless is not None:
        if rowless.kind == "folded_or_removed":
            return LayerSupport(Presence.YES, (), rowless.why)
        held = [name for name in rowless.candidate_layers if table.rows[name].runtimes[column]]
        if held:
            return LayerSupport(Presence.YES, tuple(held), rowless.why, inferred=True)
        if rowless.candidate_layers:
            return LayerSupport(Presence.NO, rowless.candidate_layers, rowless.why, inferred=True)
        return LayerSupport(Presence.UNCLEAR, (), rowless.why, inferred=True)
    if not layers:
        return LayerSupport(Presence.UNCLEAR, (), "no row of the table names this op", inferred=True)
    held = [name for name in layers if table.rows[name].runtimes[column]]
    broken_up = op == "ReduceLogSumExp"
    derived = table.derived.get(op, "")
    if len(held) == len(layers):
        return LayerSupport(Presence.YES, layers, derived)
    missing = tuple(name for name in layers if name not in held)
    rows = ", ".join(f"row {table.rows[name].number} {name}" for name in missing)
    reason = f"{rows}: not on {column}"
    if held and not broken_up:
        return LayerSupport(Presence.UNCLEAR, layers, f"{reason}; the rank decides and is unknown", True)
    return LayerSupport(Presence.NO, missing, reason, inferred=bool(derived))


def other_voices(node: Node, verdict: LayerSupport, target: Target) -> tuple[str, bool]:
    """What QNN's table of HTP and HTP's own backend state about an op that the layer table lacks.

    Also whether one of them has it in every DLC kind that is possible.
    """
    kinds = (target.kind.quantize,) if target.kind.stated else (False, True)
    taken = all((node.op_type, quantized) in htp_forms().taken_though_denied for quantized in kinds)
    said = f"; HTP's own backend accepts it ({htp_forms().measured})" if taken else ""
    listed = supplement_precisions(verdict.layers)
    if not listed:
        return said, taken
    wide = f"int{target.kind.act_bitwidth}"
    wanted = {wide if quantized else "fp16" for quantized in kinds}
    named = ", ".join(PRECISIONS[precision] for precision in listed)
    return f"{said}; QNN's own table of HTP has it in {named} ({SUPPLEMENT})", taken or wanted <= {*listed}
