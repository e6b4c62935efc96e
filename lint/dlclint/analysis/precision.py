"""The precision in which each op will run, computed from an override file and the graph.

Source: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models, mixed precision: inputs, outputs and parameters
of one op are either all float or all fixed point; Convert ops are inserted where precision or type changes
between ops; for ops with weights, one float among output, weight and bias makes all three float. A bias
without an entry is then as wide as the tensor that makes them float, or as `--float_bias_bitwidth` sets.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dlclint.analysis.roles import absorbed_chain
from dlclint.encodings.document import FLOAT, UNKNOWN, EncodingsDocument
from dlclint.model.op_facts import WEIGHTED_OPS
from dlclint_schemas.quantization import quantization_facts
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.analysis.view import ModelView
    from dlclint.model.graph import Node
    from dlclint.target import DlcKind


class Coverage(enum.Enum):
    """How much of an op the file covers (the page's three modes)."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


@record
class Precision:
    """A type and a width, such as int8 or float16."""

    is_float: bool
    bitwidth: int

    def __str__(self) -> str:
        return f"{'float' if self.is_float else 'int'}{self.bitwidth}"


@record
class OpPrecision:
    """One op: the precision in which it will run, and what the file states about its tensors.

    `runs` is None where the file has nothing, so that the tools' own widths apply. `forced` means that one
    float entry made the others float.
    """

    node: Node
    inputs: tuple[Precision | None, ...]
    computed: tuple[bool, ...]
    """For each of the inputs: whether another op produces it."""
    output: Precision | None
    weight: Precision | None
    bias: Precision | None
    bias_runs: Precision | None
    """The precision of the bias; None without a bias, or where the file has nothing for the op."""
    runs: Precision | None
    coverage: Coverage
    forced: bool


def _movers() -> frozenset[str]:
    return frozenset(quantization_facts()["aimet_htp_config"]["output_not_quantized_ops"])


@dataclass(slots=True)
class PrecisionMap:
    """The precision of every op that has one, in graph order, and of tensors by name."""

    ops: list[OpPrecision] = field(default_factory=list)
    tensors: dict[str, Precision] = field(default_factory=dict)
    """The precision in which the tensor is stored after its producer ran."""


def entry_precisions(document: EncodingsDocument) -> dict[str, Precision]:
    """Type and width of every name in the file; for a repeated name, the last."""
    first = document.tensors.first
    kinds = document.elements.kind[first].tolist()
    widths = np.nan_to_num(document.elements.bitwidth[first], nan=0.0).tolist()
    precisions: dict[str, Precision] = {}
    dtypes = document.tensors.dtype
    for row, (name, kind, width) in enumerate(zip(document.tensors.names, kinds, widths, strict=True)):
        dtype, bits = dtypes[row], int(width)
        if kind == FLOAT and bits < _NARROWEST_FLOAT:
            continue  # a quantized type: it does not make its op float
        # Without a dtype (before 0.5.0) every entry is an integer one.
        if bits and (kind != UNKNOWN or not dtype):
            precisions[name] = Precision(kind == FLOAT, bits)
    return precisions


_NARROWEST_FLOAT = 16
"""Bits of the smallest float that an op runs in."""


def precision_map(view: ModelView, document: EncodingsDocument) -> PrecisionMap:
    """Compute every converted op; ops that only move data keep their input's precision."""
    precisions = entry_precisions(document)
    result = PrecisionMap()
    movers = _movers()
    for name in view.model.graph.inputs:
        if name in precisions:
            result.tensors[name] = precisions[name]
    for node in view.nodes():
        op = _op_precision(node, precisions, result.tensors, node.op_type in movers, view.target.kind)
        if op.runs is not None:
            for output in node.outputs:
                result.tensors[output] = precisions.get(output, op.runs)
        result.ops.append(op)
    return result


def _op_precision(
    node: Node, precisions: dict[str, Precision], stored: dict[str, Precision], moves: bool, kind: DlcKind
) -> OpPrecision:
    graph = node.graph
    activations = [name for name in node.inputs if name and graph.constant(name) is None]
    inputs = tuple(stored.get(name) for name in activations)
    computed = tuple(name not in graph.inputs for name in activations)
    weight = bias = None
    covered = [name in precisions for name in node.outputs if name]
    if node.op_type in WEIGHTED_OPS and not node.domain:
        weight = next((precisions[n] for n in node.inputs[:2] if n in precisions and graph.constant(n)), None)
        bias = precisions.get(node.input(2)) if has_bias(node) else None
        covered += [name in precisions for name in node.inputs[1:3] if name and graph.constant(name)]
    output = next((precisions[name] for name in node.outputs if name in precisions), None)
    if output is None:
        # In a supergroup only the last op's output carries an encoding.
        for following in absorbed_chain(node) if node.op_type in WEIGHTED_OPS else ():
            output = next((precisions[name] for name in following.outputs if name in precisions), output)
            if output is not None:
                covered[0:1] = [True]
                break
    if output is None and moves:
        output = inputs[0] if inputs else None
    floats = [
        precision for precision in (output, weight, bias) if precision is not None and precision.is_float
    ]
    forced = bool(floats) and node.op_type in WEIGHTED_OPS
    runs = floats[0] if forced else output
    whole = bool(covered) and all(covered)
    coverage = Coverage.FULL if whole else Coverage.PARTIAL if any(covered) else Coverage.NONE
    bias_runs = _bias_runs(bias, runs, forced, kind) if has_bias(node) else None
    return OpPrecision(node, inputs, computed, output, weight, bias, bias_runs, runs, coverage, forced)


def has_bias(node: Node) -> bool:
    """Whether a node is one of the ops with weights and has a bias."""
    return (
        node.op_type in WEIGHTED_OPS and node.op_type != "MatMul" and not node.domain and bool(node.input(2))
    )


def _bias_runs(
    bias: Precision | None, runs: Precision | None, forced: bool, kind: DlcKind
) -> Precision | None:
    """The precision of a bias in an op that runs in `runs`; `forced`: because one of its tensors is float."""
    if runs is None or not forced:
        return bias if bias is not None or runs is None else Precision(False, kind.bias_bitwidth)
    if bias is None:
        return Precision(True, kind.float_bias_bitwidth or runs.bitwidth)
    return bias if bias.is_float else runs
