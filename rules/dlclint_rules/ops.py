"""Family `ops`: each node against the supported-ops table and the layer table of the runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dlclint.analysis.folding import is_static
from dlclint.analysis.layers import Presence, other_voices, verdict_on
from dlclint.analysis.matching.computed import find_computed
from dlclint.analysis.versions import Listing, listing_for
from dlclint.diagnostic import About, Confidence, Safety, Severity
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext, rule
from dlclint.target import Runtime
from dlclint_rules import repairs, sources
from dlclint_rules.causes import UNTYPED, anywhere, before, here
from dlclint_schemas.layers import layer_table
from dlclint_schemas.ops import Constraint
from dlclint_schemas.remedies import remedy

if TYPE_CHECKING:
    from dlclint.fix import Fix


def _constrained(context: ModelContext, *kinds: str) -> Iterator[tuple[Node, Constraint]]:
    """Nodes with the constraints of these kinds that hold for their operator version."""
    rows = context.view.table.rows
    for node in context.view.official_nodes:
        row = rows.get(node.op_type)
        if row is not None:
            version = node.version or max(row.versions)
            for constraint in row.constraints:
                if constraint.kind in kinds and constraint.applies_to(version):
                    yield node, constraint


@rule(about=About.CONVERSION, follows=here("quantization/already-quantized"))
def unsupported(context: ModelContext) -> Iterator[Finding]:
    """The op is not in the supported-ops table.

    Why: the converter stops at an op it has no translation for.
    What to do: rewrite it with listed ops, move it out of the model, or supply an op package.
    """
    rows = context.view.table.rows
    for node in context.view.official_nodes:
        if node.op_type not in rows:
            yield Finding(
                f"{node.op_type} is not in the supported-ops table",
                Severity.ERROR,
                sources.op_row(context.view.table),
                help=remedy(node.op_type)
                or "rewrite it with listed ops (`dlclint ops`), or move it out of the model",
                node=node,
            )


def _unlisted(context: ModelContext, listing: Listing) -> Iterator[tuple[Node, int, int]]:
    for node in context.view.official_nodes:
        version = node.version
        if version is not None and listing_for(context.view.table, node) is listing:
            versions = context.view.table.rows[node.op_type].versions
            known = max((v for v in versions if v < version), default=max(versions))
            yield node, version, known


@rule(about=About.CONVERSION, follows=anywhere("model/opset-too-new"))
def version_not_listed(context: ModelContext) -> Iterator[Finding]:
    """The operator version is not listed, but has the structure of a listed one.

    Why: the table lists since_versions and is not a whitelist. The converter warns and treats the node
    as the highest version it knows, which here has the same attributes, inputs and outputs. One finding
    speaks for all nodes of an op in a model.
    What to do: nothing, or export at the opset that the summary names.
    """
    advice = _export_help(context) or "nothing: the converter warns of it and goes on"
    alike: dict[tuple[str, int, int], list[Node]] = {}
    for node, version, known in _unlisted(context, Listing.UNLISTED_SAME):
        alike.setdefault((node.op_type, version, known), []).append(node)
    for (op, version, known), nodes in alike.items():
        where = f" ({len(nodes)} nodes)" if len(nodes) > 1 else ""
        yield Finding(
            f"{op} {version}{where} is not listed; it is read as {known}, whose structure is the same",
            Severity.INFO,
            sources.op_row(context.view.table, op),
            help=advice,
            node=nodes[0],
            evidence={"version": version, "read_as": known, "nodes": len(nodes)},
        )


@rule(fix=[Safety.SAFE], about=About.CONVERSION, follows=anywhere("model/opset-too-new"), weights=True)
def version_changed_structure(context: ModelContext) -> Iterator[Finding]:
    """The operator version is not listed and differs in structure from the listed ones.

    Why: the converter warns and reads the node as the highest version it knows, so attributes that
    became inputs, or new ones, are lost or misread.
    What to do: export at the opset that the summary names.
    """
    found = list(_unlisted(context, Listing.UNLISTED_CHANGED))
    fix = repairs.versions.downgraded(context.view) if found else None
    advice = _export_help(context)
    for node, version, known in found:
        yield Finding(
            f"{node.op_type} {version} is not listed and is read as {known}, whose structure differs",
            Severity.WARNING,
            sources.op_row(context.view.table, node.op_type),
            help=advice,
            node=node,
            evidence={"version": version, "read_as": known},
            fix=fix,
        )


def _export_help(context: ModelContext) -> str:
    newest, rows = context.view.newest_listed_opset, context.view.table.rows
    unlisted = any(node.op_type not in rows for node in context.view.official_nodes)
    return f"at opset {newest} every {'other ' * unlisted}op of this model is listed" if newest else ""


@rule(fix=[Safety.SAFE, Safety.UNSAFE], about=About.CONVERSION)
def attribute(context: ModelContext) -> Iterator[Finding]:
    """An attribute or parameter has a value that the table excludes.

    Why: the converter refuses it, or computes with the documented value instead.
    What to do: see the row (`dlclint ops OP`); change the layer or export it otherwise.
    """
    for node, constraint in _constrained(context, *_ATTRIBUTE_CHECKS):
        if node.op_type == "Gemm" and constraint.get("attribute") in ("transA", "transB"):
            continue  # pattern-only judges these by whether they keep Gemm from being a layer
        message = _ATTRIBUTE_CHECKS[constraint.kind](node, constraint)
        if message and constraint.get("attribute") == "allowzero" and _has_no_zero(context, node):
            yield Finding(
                f"{node.op_type}: {message}; the shape has no 0, so that both mean the same",
                Severity.WARNING,
                sources.op_row(context.view.table, node.op_type),
                Confidence.INFERRED,
                help="write allowzero 0, or leave it out",
                node=node,
                fix=repairs.layers.of_attribute(node, constraint.kind, constraint.get("attribute")),
            )
        elif message:
            yield Finding(
                f"{node.op_type}: {message}",
                Severity.ERROR,
                sources.op_row(context.view.table, node.op_type),
                help=_allowed(constraint),
                node=node,
                fix=repairs.layers.of_attribute(node, constraint.kind, constraint.get("attribute")),
            )
    for node, constraint in _constrained(context, "attribute_ignored"):
        name = constraint.get("attribute")
        # Exporters always write momentum; only a training-time update would read it.
        if node.has(name) and node.attribute("training_mode", 0):
            yield Finding(
                f"{node.op_type}: {name} is disregarded",
                Severity.INFO,
                sources.op_row(context.view.table, node.op_type),
                node=node,
            )


def _has_no_zero(context: ModelContext, node: Node) -> bool:
    """Whether the target shape of a Reshape is known and has no size of 0."""
    sizes = context.view.model.values.whole(node.graph, node.input(1))
    return sizes is not None and bool((sizes != 0).all())


def _allowed(constraint: Constraint) -> str:
    """What to write so that the table takes it."""
    name = constraint.get("attribute")
    if constraint.kind == "attribute_one_of":
        return (
            f"write {name} as one of {', '.join(map(str, constraint.get('values')))}, or use another op there"
        )
    if constraint.kind in ("attribute_must_equal", "attribute_all_equal"):
        return f"write {name} as {constraint.get('value')}, or do that part with another op"
    if constraint.kind in ("attribute_absent", "attribute_absent_or_default"):
        return f"leave {name} out, or do that part with another op"
    if constraint.kind == "attribute_matches_weight_shape":
        return f"leave {name} out: the weight tells it"
    if constraint.kind == "inference_only":
        return "export in evaluation mode, with training_mode a stored false or left out"
    return "write an axis within the rank"


def _must_equal(node: Node, constraint: Constraint) -> str:
    name, wanted = constraint.get("attribute"), constraint.get("value")
    found = node.attribute(name, constraint.get("onnx_default"))
    if found is None or found == wanted:
        return ""
    absent = "" if node.has(name) else " (the default, as it is not written)"
    return f"{name} is {found!r}{absent}, only {wanted!r} is supported"


def _one_of(node: Node, constraint: Constraint) -> str:
    name, allowed = constraint.get("attribute"), constraint.get("values")
    found = node.attribute(name)
    return "" if found is None or found in allowed else f"{name} is {found!r}, supported are {list(allowed)}"


def _all_equal(node: Node, constraint: Constraint) -> str:
    name, wanted = constraint.get("attribute"), constraint.get("value")
    found = node.attribute(name) or []
    return "" if all(item == wanted for item in found) else f"{name} is {found}, only {wanted} is supported"


def _absent(node: Node, constraint: Constraint) -> str:
    name = constraint.get("attribute")
    return f"{name} must not be set" if node.has(name) else ""


def _absent_or_default(node: Node, constraint: Constraint) -> str:
    name = constraint.get("attribute")
    if not node.has(name):
        return ""
    found = node.attribute(name)
    per_direction = constraint.get("default_per_direction")
    if per_direction is None:
        default = constraint.get("default")
        return "" if found == default else f"{name} is {found!r}, only the default {default!r} is supported"
    directions = 2 if node.attribute("direction") == "bidirectional" else 1
    wanted = [item.lower() for item in per_direction] * directions
    if [str(item).lower() for item in found] == wanted:
        return ""
    return f"{name} are {found}, only the default {list(per_direction)} per direction is supported"


def _matches_weight_shape(node: Node, constraint: Constraint) -> str:
    name = constraint.get("attribute")
    weight = node.graph.type_of(node.input(constraint.get("input")))
    shape = None if weight is None else weight.static_shape
    if not node.has(name) or shape is None:
        return ""
    start = int(str(constraint.get("weight_dims")).rstrip(":"))
    found = node.attribute(name)
    expected = list(shape[start:])
    return "" if found == expected else f"{name} is {found}, the weight's shape says {expected}"


def _value_range(node: Node, constraint: Constraint) -> str:
    value = node.graph.small_value(node.input(constraint.get("input")))
    rank = node.graph.rank(node.input(0))
    if value is None or value.size != 1 or rank is None:
        return ""
    found = int(value.reshape(-1)[0])
    return "" if -rank < found < rank else f"axis {found} does not lie strictly between {-rank} and {rank}"


def _inference_only(node: Node, constraint: Constraint) -> str:
    name = node.input(constraint.get("training_input"))
    if not name:
        return ""
    value = node.graph.small_value(name)
    if value is not None and value.size and not value.reshape(-1)[0]:
        return ""
    state = "is set" if value is not None else "is not constant"
    return f"training_mode {state}, only inference is supported"


_ATTRIBUTE_CHECKS: dict[str, Callable[[Node, Constraint], str]] = {
    "attribute_must_equal": _must_equal,
    "attribute_one_of": _one_of,
    "attribute_all_equal": _all_equal,
    "attribute_absent": _absent,
    "attribute_absent_or_default": _absent_or_default,
    "attribute_matches_weight_shape": _matches_weight_shape,
    "input_value_range": _value_range,
    "inference_only": _inference_only,
}


@rule(about=About.CONVERSION)
def attribute_type(context: ModelContext) -> Iterator[Finding]:
    """An attribute has another type than its operator states.

    Why: ONNX Runtime and onnx.checker refuse the model, and no document says what the converter makes of
    the value. dlclint judges the node as if the attribute were not written.
    What to do: write the attribute with the operator's type, or export the model again.
    """
    nodes = (node for graph in context.view.model.graphs() for node in graph.nodes)
    for node in nodes:
        for name, found, wanted in node.mistyped():
            yield Finding(
                f"{node.op_type}: attribute {name!r} is of type {found}, the operator takes {wanted}",
                Severity.ERROR,
                sources.ONNX,
                help="write it with that type, or export the model again",
                node=node,
                evidence={"attribute": name, "type": found, "wanted": wanted},
            )


@rule(fix=[Safety.SAFE], about=About.CONVERSION)
def pattern_only(context: ModelContext) -> Iterator[Finding]:
    """The op converts only inside a pattern, and stands outside it.

    Why: Erf is taken only as part of GELU (x/sqrt(2), Erf, +1, *x, *0.5), Gemm only as a fully
    connected layer (constant second input, transA 0, transB 1).
    What to do: export GELU in that form, store the weight of Gemm as a constant, use MatMul and Add
    for a product of two activations.
    """
    view = context.view
    for node, constraint in _constrained(context, "pattern_only"):
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

    Why: the converter evaluates Shape and all that reworks its result; a dimension that is only
    known at run time stops it. Where it waits for the sizes of inputs alone, `shapes/dynamic-dim` or
    `batch/symbolic` says so once and counts it.
    What to do: give every dynamic input its size (`--input-dim`), here and to the converter.
    """
    following = len(context.view.shape_arithmetic)
    for node, _ in _constrained(context, "constant_foldable_only"):
        if context.view.waits(node.output(0)):
            continue
        found = node.graph.type_of(node.input(0))
        yield Finding(
            f"{node.op_type} of {node.input(0)!r} ({found or 'type unknown'}) is unknown at conversion time",
            Severity.ERROR,
            sources.op_row(context.view.table, node.op_type),
            help=_dimension_help(context),
            node=node,
            evidence={"shape_arithmetic_nodes": following},
        )


def _dimension_help(context: ModelContext) -> str:
    if not context.target.simplify:
        return "without simplification shape arithmetic stays; fold it before converting"
    return "make the shape static where it is computed"


@rule(about=About.CONVERSION, follows=UNTYPED | before("shapes/data-length"))
def dynamic_parameter(context: ModelContext) -> Iterator[Finding]:
    """A parameter that must be constant is computed at run time.

    Why: the converter stores it in the layer, so it has to be an initializer or to fold.
    What to do: store the value as an initializer, or make the shapes static that it follows from.
    """
    for node, constraint in _constrained(context, "input_static"):
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
                )


@rule(about=About.CONVERSION)
def extra_output(context: ModelContext) -> Iterator[Finding]:
    """An output beyond the first is used, and the converter makes only the first.

    Why: Mask of Dropout, Indices of MaxPool and the statistics of BatchNormalization are not emitted.
    What to do: remove what reads them.
    """
    for node, _ in _constrained(context, "single_output"):
        for position, name in enumerate(node.outputs[1:], 1):
            if name and (node.graph.consumers(name) or name in node.graph.outputs):
                yield Finding(
                    f"{node.op_type}: output {position} ({name!r}) is used, only output 0 is made",
                    Severity.ERROR,
                    sources.op_row(context.view.table, node.op_type),
                    help="remove what reads it",
                    node=node,
                    tensor=name,
                )


@rule(about=About.CONVERSION)
def control_flow(context: ModelContext) -> Iterator[Finding]:
    """Control flow that the converter or the runtime cannot follow.

    Why: each branch of an If may yield one output and both must have the same shape; no runtime has
    a layer for it, so an If whose condition is not constant is doubtful everywhere.
    Where the condition follows from the model (the rank of a squeezed tensor, a stored flag), simplification
    puts the live branch in the place of the If; nothing is said of it, nor of the other branch.
    What to do: make the condition constant so that one branch is left, or compute both and select.
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
                help="let each branch give one output, of the same shape, or make the condition constant",
                node=node,
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
        found = [branch.type_of(name) for name in branch.outputs]
        shapes.append([None if item is None else item.static_shape for item in found])
    if None not in shapes[0] and None not in shapes[1] and shapes[0] != shapes[1]:
        yield f"the branches give different shapes: {shapes[0]} and {shapes[1]}"


@rule(about=About.CONVERSION)
def rank(context: ModelContext) -> Iterator[Finding]:
    """The input's rank is not among those that the table lists for the op.

    Why: the converter has a translation for the listed ranks only.
    What to do: reshape around the op, or use another.
    """
    for node, constraint in _constrained(context, "input_rank_one_of"):
        allowed = constraint.get("ranks")
        refused = [n for n in node.graph.ranks(node.input(constraint.get("input"))) if n not in allowed]
        if refused:
            found = " and ".join(map(str, refused))
            yield Finding(
                f"{node.op_type}: the input has rank {found}, supported are {', '.join(map(str, allowed))}",
                Severity.ERROR,
                sources.op_row(context.view.table, node.op_type),
                help="reshape before and after",
                node=node,
                evidence={"rank": refused[0], "ranks": list(allowed)},
            )


@rule(about=About.PRESENCE)
def no_runtime(context: ModelContext) -> Iterator[Finding]:
    """A chosen runtime has no implementation of the layer.

    Why: the layer falls back to another processor where that is allowed, and loading fails where it
    is not. The layer table is that of SNPE. Where no row of it settles the question the finding says
    so, and where QNN's table of HTP or HTP's own backend takes what it denies it names both.
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
            what = "is not on" if no else "has no row that settles whether it is on"
            yield Finding(
                f"{node.op_type} {what} {runtime.value}: {verdict.reason}{but}",
                severity,
                sources.layer_row(", ".join(verdict.layers) or f"no row for {node.op_type}"),
                Confidence.INFERRED if doubtful else Confidence.DOCUMENTED,
                help="choose another runtime or allow CPU fallback"
                if no
                else "look for it among the layers of the converted DLC"
                + (", or ask HTP's own backend (`dlclint confirm`)" if htp else ""),
                node=node,
                evidence={"runtime": runtime.value},
            )


_JUDGED_ELSEWHERE = frozenset({"Shape", "If", "Erf"})
"""not-foldable, control-flow and pattern-only say what there is to say."""
