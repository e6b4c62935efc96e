"""Inputs, outputs and bodies of nodes for which the converter has no layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.folding import is_static
from dlclint.analysis.matching.computed import find_computed
from dlclint.diagnostic import About, Confidence, Safety, Severity
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext, rule
from dlclint_rules import places, repairs, sources
from dlclint_rules.causes import UNTYPED, before
from dlclint_rules.ops.constraints import constrained

if TYPE_CHECKING:
    from dlclint.fix import Fix


@rule(fix=[Safety.SAFE], about=About.CONVERSION, weights=True)
def pattern_only(context: ModelContext) -> Iterator[Finding]:
    """The op converts only inside a pattern, and is outside it.

    Why: Erf is supported only as part of GELU (x/sqrt(2), Erf, +1, *x, *0.5), and Gemm only as a fully
    connected layer (constant second input, transA 0, transB 1).
    What to do: export GELU in that form, store the weight of Gemm as a constant, use MatMul and Add for a
    product of two activations.
    """
    view = context.view
    for node, constraint in constrained(context, "pattern_only"):
        if constraint.get("pattern") == "Gelu":
            if node.key not in view.in_pattern:
                yield Finding(
                    f"{node.op_type} is not part of a GELU that the converter recognizes",
                    Severity.ERROR,
                    sources.op_row(context.view.table, node.op_type),
                    help="write GELU as x/sqrt(2), Erf, +1, *x, *0.5, each read once",
                    node=node,
                    fix=_as_gelu(node),
                )
            continue
        constant = is_static(node.graph, node.input(1), view.folded)
        if node.attribute("transA") or not constant:
            why = "transA is 1" if node.attribute("transA") else "its second input is not constant"
            yield Finding(
                f"Gemm does not map to FullyConnected: {why}",
                Severity.ERROR,
                sources.op_row(context.view.table, "Gemm"),
                help="store the weight as a constant with transA 0, or use MatMul and Add",
                node=node,
                fix=repairs.layers.documented_gemm(node)
                if constant
                else repairs.layers.gemm_of_activations(node),
            )
        elif not node.attribute("transB"):
            yield Finding(
                "Gemm has transB 0, the table says 1; a constant weight can be transposed offline",
                Severity.INFO,
                sources.op_row(context.view.table, "Gemm"),
                Confidence.INFERRED,
                help="transpose the weight in the model to have what is documented",
                node=node,
                fix=repairs.layers.documented_gemm(node),
            )


def _as_gelu(erf: Node) -> Fix | None:
    match = find_computed(erf)
    return None if match is None else repairs.patterns.rewritten(match)


@rule(about=About.CONVERSION, follows=UNTYPED | before("shapes/data-length"))
def not_foldable(context: ModelContext) -> Iterator[Finding]:
    """A Shape, and the arithmetic on it, cannot be computed at conversion time.

    Why: the converter evaluates Shape and everything that processes its result; a dimension that is only
    known at run time stops it. If only the sizes of inputs are missing, `shapes/dynamic-dim` or
    `batch/symbolic` reports this once and counts it.
    What to do: give every dynamic input its size (`--input-dim`), to dlclint and to the converter.
    """
    following = len(context.view.shape_arithmetic)
    for node, _ in constrained(context, "constant_foldable_only"):
        if context.view.waits(node.output(0)):
            continue
        tensor_type = node.graph.type_of(node.input(0))
        yield Finding(
            f"{node.op_type} of {node.input(0)!r} ({tensor_type or 'type unknown'}) is unknown at"
            " conversion time",
            Severity.ERROR,
            sources.op_row(context.view.table, node.op_type),
            help=_dimension_help(context),
            node=node,
            evidence={"shape_arithmetic_nodes": following},
            related=(places.source(node.graph, node.input(0), "what it measures"),),
        )


def _dimension_help(context: ModelContext) -> str:
    if not context.target.simplify:
        return "without simplification shape arithmetic stays; fold it before converting"
    return "make the shape static where it is computed"


@rule(about=About.CONVERSION, follows=UNTYPED | before("shapes/data-length"))
def dynamic_parameter(context: ModelContext) -> Iterator[Finding]:
    """A parameter that must be constant is computed at run time.

    Why: the converter stores it in the layer, so it must be an initializer or fold to a constant.
    What to do: store the value as an initializer, or make the shapes that it depends on static.
    """
    for node, constraint in constrained(context, "input_static"):
        positions = constraint.get("inputs")
        if positions == "after_first":
            positions = range(1, len(node.inputs))
        for position in positions:
            name = node.input(position)
            if name and not is_static(node.graph, name, context.view.folded):
                if context.view.waits(name):
                    continue  # once the inputs have sizes it folds
                yield Finding(
                    f"{node.op_type}: input {position} ({name!r}) is not constant",
                    Severity.ERROR,
                    sources.op_row(context.view.table, node.op_type),
                    help="store it as an initializer, or give it sizes from which it follows"
                    if node.graph.producer(name) is not None
                    else "store its value in the model in place of an input",
                    node=node,
                    tensor=name,
                    related=(places.source(node.graph, name, "the parameter"),),
                )


@rule(about=About.CONVERSION)
def extra_output(context: ModelContext) -> Iterator[Finding]:
    """An output beyond the first is used, and the converter produces only the first.

    Why: the converter does not emit Mask of Dropout, Indices of MaxPool and the statistics of
    BatchNormalization.
    What to do: remove the nodes that read them.
    """
    for node, _ in constrained(context, "single_output"):
        for position, name in enumerate(node.outputs[1:], 1):
            if name and (node.graph.consumers(name) or name in node.graph.outputs):
                yield Finding(
                    f"{node.op_type}: output {position} ({name!r}) is used, only output 0 is made",
                    Severity.ERROR,
                    sources.op_row(context.view.table, node.op_type),
                    help="remove what reads it",
                    node=node,
                    tensor=name,
                    related=places.destinations(node.graph, name),
                )


@rule(about=About.CONVERSION)
def control_flow(context: ModelContext) -> Iterator[Finding]:
    """Control flow that the converter or the runtime cannot follow.

    Why: each branch of an If may have one output and both must have the same shape; no runtime has a layer
    for it, so an If whose condition is not constant is doubtful everywhere. If the condition is constant in
    the model (the rank of a squeezed tensor, a stored flag), simplification replaces the If by the live
    branch; dlclint reports neither the If nor the other branch.
    What to do: make the condition constant so that one branch remains, or compute both and select.
    """
    for node in context.view.official_nodes:
        if node.op_type != "If" or len(node.subgraphs) < 2:
            continue
        problems = list(_branch_problems(context, node))
        for problem in problems:
            yield Finding(
                problem,
                Severity.ERROR,
                sources.op_row(context.view.table, "If"),
                help="give each branch one output, of the same shape, or make the condition constant",
                node=node,
                related=tuple(
                    places.source(branch, name, "what a branch gives")
                    for branch in node.subgraphs
                    for name in branch.outputs[: places.MOST]
                ),
            )
        if not problems:
            yield Finding(
                "If has no layer on any runtime",
                Severity.WARNING,
                sources.layer_row("no row for If"),
                Confidence.INFERRED,
                help="make the condition constant, or compute both branches and select with Where",
                node=node,
            )


def _branch_problems(context: ModelContext, node: Node) -> Iterator[str]:
    for constraint in context.view.table.rows["If"].constraints:
        counts = [len(branch.outputs) for branch in node.subgraphs]
        if constraint.kind == "branch_output_count" and max(counts) > constraint.get("max"):
            yield f"a branch has {max(counts)} outputs, at most {constraint.get('max')} is supported"
            return
    shapes = []
    for branch in node.subgraphs:
        tensor_types = [branch.type_of(name) for name in branch.outputs]
        shapes.append(
            [None if tensor_type is None else tensor_type.static_shape for tensor_type in tensor_types]
        )
    if None not in shapes[0] and None not in shapes[1] and shapes[0] != shapes[1]:
        yield f"the branches give different shapes: {shapes[0]} and {shapes[1]}"


@rule(about=About.CONVERSION)
def rank(context: ModelContext) -> Iterator[Finding]:
    """The table does not list the input's rank for the op.

    Why: the converter only translates the listed ranks.
    What to do: reshape around the op, or use another op.
    """
    for node, constraint in constrained(context, "input_rank_one_of"):
        allowed = constraint.get("ranks")
        refused = [n for n in node.graph.ranks(node.input(constraint.get("input"))) if n not in allowed]
        if refused:
            ranks, supported = " and ".join(map(str, refused)), ", ".join(map(str, allowed))
            yield Finding(
                f"{node.op_type}: the input has rank {ranks}, and the supported ranks are {supported}",
                Severity.ERROR,
                sources.op_row(context.view.table, node.op_type),
                help="reshape before and after",
                node=node,
                evidence={"rank": refused[0], "ranks": list(allowed)},
            )
