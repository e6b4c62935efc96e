"""Attributes and parameters with values that the supported-ops table excludes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dlclint.diagnostic import About, Confidence, Safety, Severity
from dlclint.model.evaluation.bounds import whole_numbers
from dlclint.model.graph import Node
from dlclint.rule import Finding, ModelContext, rule
from dlclint_rules import repairs, sources
from dlclint_rules.ops.constraints import constrained
from dlclint_schemas.ops import Constraint

if TYPE_CHECKING:
    pass


@rule(fix=[Safety.SAFE, Safety.UNSAFE], about=About.CONVERSION)
def attribute(context: ModelContext) -> Iterator[Finding]:
    """An attribute or parameter has a value that the table excludes.

    Why: the converter refuses it, or computes with the documented value instead.
    What to do: see the row (`dlclint ops OP`); change the layer or export it differently. PyTorch's newer
    exporter writes allowzero 1 on every Reshape; without a 0 in the shape it has no effect, and one finding
    covers all of them.
    """
    harmless: list[Node] = []
    for node, constraint in constrained(context, *_ATTRIBUTE_CHECKS):
        if node.op_type == "Gemm" and constraint.get("attribute") in ("transA", "transB"):
            continue  # pattern-only checks these by whether they keep Gemm from being a layer
        message = _ATTRIBUTE_CHECKS[constraint.kind](node, constraint)
        if constraint.get("attribute") == "allowzero" and context.view.awaits(node.input(1)):
            continue  # the finding about the inputs' sizes counts such shapes
        if message and constraint.get("attribute") == "allowzero" and _has_no_zero(context, node):
            harmless.append(node)
        elif message:
            yield Finding(
                f"{node.op_type}: {message}",
                Severity.ERROR,
                sources.op_row(context.view.table, node.op_type),
                help=_allowed(constraint),
                node=node,
                fix=repairs.layers.of_attribute(node, constraint.kind, constraint.get("attribute")),
            )
    if harmless:
        many = len(harmless) > 1
        where, whose = (f" on {len(harmless)} nodes", "no shape has a") if many else ("", "the shape has no")
        yield Finding(
            f"Reshape: allowzero is 1{where}, only 0 is supported; {whose} 0, so that both mean the same",
            Severity.WARNING,
            sources.op_row(context.view.table, "Reshape"),
            Confidence.INFERRED,
            help="write allowzero 0, or leave it out",
            node=harmless[0],
            evidence={"nodes": len(harmless)},
            fix=repairs.layers.without_allowzero(harmless),
        )
    for node, constraint in constrained(context, "attribute_ignored"):
        name = constraint.get("attribute")
        # Exporters always write momentum; only an update in training would read it.
        if node.has(name) and node.attribute("training_mode", 0):
            yield Finding(
                f"{node.op_type}: {name} is ignored",
                Severity.INFO,
                sources.op_row(context.view.table, node.op_type),
                node=node,
            )


def _has_no_zero(context: ModelContext, node: Node) -> bool:
    """Whether the target shape of a Reshape is known and has no size of 0."""
    sizes = context.view.model.values.whole(node.graph, node.input(1))
    return sizes is not None and bool((sizes != 0).all())


def _allowed(constraint: Constraint) -> str:
    """What to write so that the table accepts it."""
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
        return f"leave {name} out: the weight's shape determines it"
    if constraint.kind == "inference_only":
        return "export in evaluation mode, with training_mode a stored false or left out"
    return "write an axis within the rank"


def _must_equal(node: Node, constraint: Constraint) -> str:
    name, wanted = constraint.get("attribute"), constraint.get("value")
    value = node.attribute(name, constraint.get("onnx_default"))
    if value is None or value == wanted:
        return ""
    absent = "" if node.has(name) else " (the default, as it is not written)"
    return f"{name} is {value!r}{absent}, only {wanted!r} is supported"


def _one_of(node: Node, constraint: Constraint) -> str:
    name, allowed = constraint.get("attribute"), constraint.get("values")
    value = node.attribute(name)
    return (
        ""
        if value is None or value in allowed
        else f"{name} is {value!r}, and the supported values are {list(allowed)}"
    )


def _all_equal(node: Node, constraint: Constraint) -> str:
    name, wanted = constraint.get("attribute"), constraint.get("value")
    values = node.attribute(name) or []
    return (
        "" if all(value == wanted for value in values) else f"{name} is {values}, only {wanted} is supported"
    )


def _absent(node: Node, constraint: Constraint) -> str:
    name = constraint.get("attribute")
    return f"{name} must not be set" if node.has(name) else ""


def _absent_or_default(node: Node, constraint: Constraint) -> str:
    name = constraint.get("attribute")
    if not node.has(name):
        return ""
    value = node.attribute(name)
    per_direction = constraint.get("default_per_direction")
    if per_direction is None:
        default = constraint.get("default")
        return "" if value == default else f"{name} is {value!r}, only the default {default!r} is supported"
    directions = 2 if node.attribute("direction") == "bidirectional" else 1
    wanted = [activation.lower() for activation in per_direction] * directions
    if [str(activation).lower() for activation in value] == wanted:
        return ""
    return f"{name} are {value}, only the default {list(per_direction)} per direction is supported"


def _matches_weight_shape(node: Node, constraint: Constraint) -> str:
    name = constraint.get("attribute")
    weight = node.graph.type_of(node.input(constraint.get("input")))
    shape = None if weight is None else weight.static_shape
    if not node.has(name) or shape is None:
        return ""
    start = int(str(constraint.get("weight_dims")).rstrip(":"))
    value = node.attribute(name)
    expected = list(shape[start:])
    return "" if value == expected else f"{name} is {value}, the weight's shape says {expected}"


def _value_range(node: Node, constraint: Constraint) -> str:
    value = node.graph.small_value(node.input(constraint.get("input")))
    rank = node.graph.rank(node.input(0))
    numbers = whole_numbers(value)
    if numbers is None or len(numbers) != 1 or rank is None:
        return ""
    number = numbers[0]
    return "" if -rank < number < rank else f"axis {number} does not lie strictly between {-rank} and {rank}"


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
    """An attribute does not have the type that its operator defines.

    Why: ONNX Runtime and onnx.checker refuse the model, and no document says how the converter interprets the
    value. dlclint evaluates the node as if the attribute were absent.
    What to do: write the attribute with the operator's type, or export the model again.
    """
    nodes = (node for graph in context.view.model.graphs() for node in graph.nodes)
    for node in nodes:
        for name, actual, wanted in node.mistyped():
            yield Finding(
                f"{node.op_type}: attribute {name!r} is of type {actual}, the operator takes {wanted}",
                Severity.ERROR,
                sources.ONNX,
                help="write it with that type, or export the model again",
                node=node,
                evidence={"attribute": name, "type": actual, "wanted": wanted},
            )
