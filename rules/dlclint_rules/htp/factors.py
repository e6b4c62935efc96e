"""Stored factors next to ops that HTP's compiler joins them with, for which it then has no implementation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dlclint.analysis.folding import is_static
from dlclint.analysis.matching.norm_axes import normalized_after_factor
from dlclint.analysis.matching.terms import sole_reader
from dlclint.diagnostic import About, Confidence, Safety, Severity, Source
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext, rule
from dlclint_rules import places, repairs
from dlclint_rules.htp.advice import nodes_on_htp

_UNCREATED = Source("QNN 2.51 HTP backend", "could not create op, 1002")


@rule(fix=[Safety.SAFE], about=About.FORM)
def factor_before_norm(context: ModelContext) -> Iterator[Finding]:
    """A stored factor is the first operand of a Mul with a decomposed float normalization.

    Why: factor * (x * Reciprocal(Sqrt(ReduceMean(Pow(x, 2)) + epsilon))), as PyTorch's exporter writes the
    root mean square norms of language models, passes HTP's validator, but compiling it in float16 finds no
    implementation ("could not create op", 1002; QNN 2.51, v69 to v81). With the factor as the second operand,
    with Div in place of Reciprocal and Mul, or quantized, it compiles. This is measured through ONNX Runtime;
    whether the converters make one layer of it is not known.
    What to do: let `dlclint fix` swap the operands, which changes no number.
    """
    kind = context.target.kind
    for node in nodes_on_htp(context, "Mul"):
        scale = node.input(0)
        if kind.quantize or not is_static(node.graph, scale, context.view.folded):
            continue
        normalized = normalized_after_factor(node)
        if normalized:
            yield Finding(
                f"Mul: the factor {scale!r} precedes the normalization of {normalized!r}, which does "
                "not compile in float16",
                Severity.WARNING if kind.stated else Severity.INFO,
                _UNCREATED,
                Confidence.FIELD_REPORTED,
                help="write the factor as the second operand, or divide by the root in place of Reciprocal",
                node=node,
                related=(replace(places.source(node.graph, normalized, "what is normalized"), holds=True),),
                fix=repairs.layers.turned_round(node),
            )


@rule(about=About.FORM)
def factor_before_softmax(context: ModelContext) -> Iterator[Finding]:
    """A stored number multiplies the input of a float Softmax over another axis than the last.

    Why: Mul by a number without dimensions, read by that Softmax alone, passes HTP's validator, but compiling
    it in float finds no implementation ("could not create op", 1002; QNN 2.51, v68 to v81). With the number
    stored as one of shape [1], with Div in place of Mul, over the last axis, or quantized, it compiles. This
    is measured through ONNX Runtime; whether the converters join the two is not known.
    What to do: store the number with shape [1], or divide by its reciprocal.
    """
    kind = context.target.kind
    for node in nodes_on_htp(context, "Softmax"):
        graph, tensor = node.graph, node.input(0)
        rank, axis = graph.rank(tensor), node.attribute("axis", -1)
        if kind.quantize or rank is None or not isinstance(axis, int) or axis in (-1, rank - 1):
            continue
        factor = _number_before(graph.producer(tensor), context)
        if factor and sole_reader(graph, tensor) is node and tensor not in graph.outputs:
            yield Finding(
                f"Softmax over axis {axis} of {rank} reads a product with the number {factor!r}, which does"
                " not compile in float",
                Severity.WARNING if kind.stated else Severity.INFO,
                _UNCREATED,
                Confidence.FIELD_REPORTED,
                help="store the number with shape [1], or divide by its reciprocal",
                node=node,
                evidence={"axis": axis, "rank": rank},
                related=(replace(places.source(graph, tensor, "the product"), holds=True),),
            )


def _number_before(node: Node | None, context: ModelContext) -> str:
    """The stored number without dimensions that a Mul multiplies by, else ""."""
    if node is None or node.domain or node.op_type != "Mul" or len(node.inputs) != 2:
        return ""
    folded = context.view.folded
    return next(
        (name for name in node.inputs if node.graph.rank(name) == 0 and is_static(node.graph, name, folded)),
        "",
    )
