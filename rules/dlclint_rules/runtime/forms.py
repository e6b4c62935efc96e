"""Element types and parameters that HTP does not support for an op that it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dlclint.analysis.folding import is_static
from dlclint.analysis.layers import Presence, verdict_on
from dlclint.analysis.matching.terms import equation_of, maker_behind
from dlclint.analysis.norms import summed_axes
from dlclint.diagnostic import About, Confidence, Severity, Source
from dlclint.model.graph import Node
from dlclint.model.op_facts import MOVES_ONE, PARAMETER_ROLES, POOLS, QUANTIZERS, role
from dlclint.model.types import element_name
from dlclint.rule import Finding, ModelContext, rule
from dlclint.target import Runtime
from dlclint_rules import places
from dlclint_schemas.forms import htp_forms


def on_htp(context: ModelContext) -> Iterator[Node]:
    """Nodes of the default domain that HTP computes individually, and whose op it has."""
    view = context.view
    if not context.target.means(Runtime.HTP):
        return
    for node in view.nodes():
        if node.domain or view.model.is_function(node) or node.key in view.in_pattern:
            continue
        if verdict_on(node, Runtime.HTP).presence is not Presence.NO:
            yield node


def _computed(context: ModelContext, node: Node) -> Iterator[tuple[str, str]]:
    """Name and element type of each data input that is computed at run time.

    Stored and folded inputs are excluded: the converter may store them as another type. The table of a Gather
    counts, because the rows that it makes have the same type. Shapes, axes and indices are excluded too: they
    have types of their own.
    """
    for position, tensor in enumerate(node.inputs):
        if not tensor or role(node.op_type, position) in PARAMETER_ROLES:
            continue
        if node.op_type == "Gather" or not is_static(node.graph, tensor, context.view.folded):
            yield tensor, element_name(node.graph.type_of(tensor))


@rule(about=About.FORM)
def element_type(context: ModelContext) -> Iterator[Finding]:
    """HTP does not support the op for the element type of its input or output.

    Why: HTP computes in float, on quantized tensors and on int32 (int64 becomes int32). Nearly every op
    refuses float64, and 8- and 16-bit integers without quantization, and some ops have no integer form at
    all. Cast does not produce 8-bit signed or 16-bit integers without quantization, and OneHot only produces
    float and int32.
    Dynamically quantized exports gather rows of a table of 8-bit integers and dequantize the rows: HTP
    dequantizes only what is an input, stored, or made by QuantizeLinear.
    Three forms were measured through ONNX Runtime, and whether the converters make the same of them is not
    known. A float Pow has no form for a stored exponent of integers. In a quantized DLC, no graph can be
    built with a Cast to float of the booleans that a Gather or Slice takes out of others (6007; v68 to v81).
    On v68, a quantized Where does not compile whose condition is an IsNaN, which the provider computes in
    float ("could not create op", 1002).
    What to do: cast to float or int32 before the op, produce a type that it supports, or give the tensor a
    quantization. Dequantize a table before the Gather, not after it; cast booleans before the Gather or
    Slice; remove a Where that replaces NaN, which a quantized tensor does not hold.
    """
    forms = htp_forms()
    for node in on_htp(context):
        if node.op_type == "DequantizeLinear":
            yield from _not_quantized(context, node)
            continue
        yield from _exponent(context, node)
        yield from _taken_booleans(context, node)
        yield from _not_a_number(context, node)
        refused = forms.refused_types.get(node.op_type, frozenset())
        for tensor, kind in _computed(context, node):
            wide = kind == "double" and node.op_type not in forms.float64_taken
            if not wide and (kind if kind != "int64" else "int32") not in refused:
                continue
            shown = "float64" if kind == "double" else kind
            yield _refused(
                node,
                f"HTP does not support {node.op_type} on {shown}, the type of {tensor!r}",
                help="dequantize the table before the Gather, or store it as float or int32"
                if node.graph.constant(tensor) is not None
                else f"cast it to {'float' if wide or 'int32' in refused else 'int32 or float'} first",
                tensor=tensor,
                evidence={"type": shown},
                related=(places.source(node.graph, tensor, "its input"),),
            )
            break
        else:
            yield from _unmade(context, node)


def _refused(node: Node, message: str, help: str, **details: Any) -> Finding:
    """A finding of a form that HTP's validator was measured to refuse."""
    source = Source(htp_forms().measured, node.op_type)
    return Finding(
        message, Severity.WARNING, source, Confidence.FIELD_REPORTED, help=help, node=node, **details
    )


def _not_quantized(context: ModelContext, node: Node) -> Iterator[Finding]:
    """A DequantizeLinear of integers that an op makes."""
    graph, tensor = node.graph, node.input(0)
    kind, maker = element_name(graph.type_of(tensor)), graph.producer(tensor)
    if maker is None or kind not in ("uint8", "int8") or is_static(graph, tensor, context.view.folded):
        return
    origin = maker_behind(graph, tensor, MOVES_ONE)
    if origin is not None and origin.op_type in QUANTIZERS:
        return
    yield _refused(
        node,
        f"DequantizeLinear reads {tensor!r}, which {maker.op_type} makes of {kind} that is not quantized: HTP"
        " has no form for it",
        help="dequantize the table before the Gather"
        if maker.op_type == "Gather"
        else "quantize with QuantizeLinear, or let the op compute in float",
        tensor=tensor,
        evidence={"type": kind},
        related=(places.source(graph, tensor, "its input"),),
    )


def _unmade(context: ModelContext, node: Node) -> Iterator[Finding]:
    """The output of a node whose element type the op cannot produce."""
    forms, output = htp_forms(), node.output(0)
    kind = element_name(node.graph.type_of(output))
    at_edge = output in node.graph.outputs and node.graph.parent is None
    if kind in forms.refused_outputs.get(node.op_type, ()):
        advice = _instead(node, kind)
    elif at_edge and (read := forms.refused_graph_outputs.get((node.op_type, kind))):
        source = node.input(0)
        stored = is_static(node.graph, source, context.view.folded)
        origin = "stored" if stored else "input" if source in node.graph.inputs else "produced"
        if not {origin, element_name(node.graph.type_of(source))} & read:
            return
        advice = "make this output int32"
    else:
        return
    yield _refused(
        node,
        f"HTP's {node.op_type} cannot make {kind}, the type of {output!r}"
        + (", an output of the model" if at_edge else ""),
        help=advice,
        tensor=output,
        evidence={"type": kind},
    )


def _exponent(context: ModelContext, node: Node) -> Iterator[Finding]:
    """A stored exponent of integers of a float Pow."""
    if node.op_type != "Pow" or not context.target.kind.is_float:
        return
    base, stored = node.input(0), node.input(1)
    element = element_name(node.graph.type_of(stored))
    floating = element_name(node.graph.type_of(base)) in ("float", "float16")
    if (
        floating
        and element in htp_forms().refused_exponents
        and is_static(node.graph, stored, context.view.folded)
    ):
        yield _refused(
            node,
            f"HTP has no form of Pow on floats with an exponent of {element}, as {stored!r} is",
            help="store the exponent as float",
            tensor=stored,
            evidence={"type": element},
        )


def _taken_booleans(context: ModelContext, node: Node) -> Iterator[Finding]:
    """A Cast to a quantized tensor of the booleans that a Gather or Slice takes out of others."""
    graph, tensor = node.graph, node.input(0)
    maker = graph.producer(tensor)
    if node.op_type != "Cast" or maker is None or maker.domain or not context.target.kind.quantize:
        return
    read, made = (element_name(graph.type_of(name)) for name in (tensor, node.output(0)))
    if maker.op_type not in htp_forms().booleans_uncast or read != "bool" or made not in _QUANTIZED_FLOATS:
        return
    if not is_static(graph, tensor, context.view.folded):
        yield _refused(
            node,
            f"Cast reads {tensor!r}, which {maker.op_type} takes out of booleans: quantized, it does not"
            " become part of a graph for HTP",
            help=f"cast to float before the {maker.op_type}",
            tensor=tensor,
            evidence={"type": "bool"},
            related=(places.source(graph, tensor, "its input"),),
        )


_QUANTIZED_FLOATS = ("float", "float16")
"""Element types of tensors that a quantized DLC quantizes."""


def _not_a_number(context: ModelContext, node: Node) -> Iterator[Finding]:
    """A quantized Where on v68 whose condition says which elements are not a number."""
    graph, condition, soc = node.graph, node.input(0), context.target.soc
    if node.op_type != "Where" or soc is None or soc.hexagon not in htp_forms().where_not_of_nan:
        return
    origin = maker_behind(graph, condition, ("Not",))
    floating = element_name(graph.type_of(node.output(0))) in _QUANTIZED_FLOATS
    if not floating or not context.target.kind.quantize or origin is None or origin.op_type != "IsNaN":
        return
    if not is_static(graph, condition, context.view.folded):
        yield _refused(
            node,
            f"the condition {condition!r} of Where comes from IsNaN, which is computed in float: on Hexagon"
            f" v{soc.hexagon}, the Where does not compile",
            help="remove the Where: a quantized tensor holds no NaN",
            tensor=condition,
            evidence={"hexagon": soc.hexagon},
            related=(places.source(graph, condition, "the condition"),),
        )


def _instead(node: Node, kind: str) -> str:
    """What to do about a type that an op cannot produce."""
    if node.op_type == "OneHot":
        return "store its two values as float or int32, and cast after it"
    if kind in ("int8", "int16", "uint16"):
        return "cast to int32, or quantize with QuantizeLinear where the tensor stands for a quantized one"
    return "cast to int32"


@rule(about=About.FORM)
def parameter(context: ModelContext) -> Iterator[Finding]:
    """HTP does not support the value of an attribute.

    Why: HTP's validator refuses GatherND with batch dimensions, and ScatterElements that combines
    floating-point values instead of replacing them; the documents do not mention either. It also refuses an
    Einsum that multiplies all pairs along the last index and sums nothing (`abc,adc->abdc`), of which ONNX
    Runtime's provider makes a MatMul, a ReduceMax or ReduceMin of five dimensions over more than one axis in
    float, and an Expand whose shape has no elements, of which the provider makes a Mul by a tensor without
    dimensions.
    What to do: rewrite the op, for example with ScatterND for a sum, with Unsqueeze and Mul for all pairs, or
    as a reduction for each axis.
    """
    forms = htp_forms()
    for node in on_htp(context):
        yield from _equation(node)
        yield from _reduction(context, node)
        yield from _unexpanded(node)
        for limit in forms.parameters.get(node.op_type, ()):
            value = node.attribute(limit.attribute)
            if value is None or value in limit.takes:
                continue
            kind = element_name(node.graph.type_of(node.input(0)))
            if limit.types and kind not in limit.types:
                continue
            yield _refused(
                node,
                f"{node.op_type} has {limit.attribute} {value}, HTP supports only "
                + " or ".join(map(str, limit.takes))
                + (f" for {kind}" if limit.types else ""),
                help="rewrite it with other ops",
                evidence={"attribute": limit.attribute, "value": value},
            )


def _equation(node: Node) -> Iterator[Finding]:
    """An Einsum that the provider translates into a MatMul, which it is not."""
    equation = equation_of(node)
    letters = dict.fromkeys(letter for letter in equation if letter.isalpha())
    renamed = {letter: chr(ord("a") + position) for position, letter in enumerate(letters)}
    if "".join(renamed.get(letter, letter) for letter in equation) in htp_forms().refused_equations:
        yield _refused(
            node,
            f"Einsum {equation!r} sums nothing; ONNX Runtime's provider makes a MatMul of it, which HTP"
            " refuses",
            help="write it as a Mul of both operands, each with a dimension of 1 inserted by Unsqueeze",
            evidence={"equation": equation},
        )


def _reduction(context: ModelContext, node: Node) -> Iterator[Finding]:
    """A float maximum or minimum of five dimensions over several axes."""
    if node.op_type not in htp_forms().one_axis_at_rank_5 or not context.target.kind.is_float:
        return
    axes = summed_axes(node)
    if node.graph.rank(node.input(0)) == 5 and axes is not None and len(axes) > 1:
        yield _refused(
            node,
            f"{node.op_type} reduces {len(axes)} axes of a tensor of rank 5, HTP reduces one in float",
            help="reduce one axis after the other, or reshape to fewer dimensions before it",
            evidence={"axes": sorted(axes)},
        )


def _unexpanded(node: Node) -> Iterator[Finding]:
    """An Expand to no dimensions, which leaves its input as it is."""
    shape = node.graph.type_of(node.input(1)) if node.op_type == "Expand" else None
    if shape is not None and shape.static_shape == (0,):
        yield _refused(
            node,
            "Expand has a shape without elements; ONNX Runtime's provider multiplies by a tensor of rank 0,"
            " which HTP refuses",
            help="remove it: it leaves its input as it is",
        )


@rule(about=About.FORM)
def window_beyond_input(context: ModelContext) -> Iterator[Finding]:
    """A pooling window extends beyond its padded input.

    Why: HTP's validator refuses it after the layout change, and the model does not become a graph. Either the
    window is larger than the padded input, which exporters write for a pooling over everything; or, with
    ceil_mode 1, the last window would start beyond the input: ONNX ignores that window, while QNN counts it
    and expects an output of another size.
    What to do: use GlobalAveragePool or GlobalMaxPool, or a window of the input's size; instead of ceil_mode,
    pad as much as the remaining windows need.
    """
    for node in on_htp(context):
        if node.op_type not in POOLS:
            continue
        kernel = node.attribute("kernel_shape") or []
        tensor_type = node.graph.type_of(node.input(0))
        sizes = (
            tensor_type.static_shape[2:]
            if tensor_type is not None and tensor_type.static_shape is not None
            else ()
        )
        pads = node.attribute("pads") or [0] * (2 * len(kernel))
        automatic = node.attribute("auto_pad") in ("SAME_UPPER", "SAME_LOWER")
        if automatic or len(sizes) != len(kernel) or len(pads) != 2 * len(kernel):
            continue
        padded = [size + pads[i] + pads[i + len(sizes)] for i, size in enumerate(sizes)]
        if any(window > size for window, size in zip(kernel, padded, strict=True)):
            flaw = f"has a window of {kernel} on a padded input of {padded}"
            advice = "pool over everything with GlobalAveragePool or GlobalMaxPool"
        elif axes := _dropped(node, kernel, sizes, padded):
            flaw = f"with ceil_mode 1: the last window in axis {axes[0] + 2} starts beyond the input"
            advice = "write ceil_mode 0, which along that axis gives the same windows"
        else:
            continue
        yield _refused(
            node,
            f"{node.op_type} {flaw}",
            help=advice,
            evidence={"kernel_shape": list(kernel), "padded": padded},
        )


def _dropped(node: Node, kernel: list[int], sizes: tuple[int, ...], padded: list[int]) -> list[int]:
    """Spatial axes along which rounding up counts a window that starts beyond the input."""
    if not node.attribute("ceil_mode", 0):
        return []
    count = len(kernel)
    pads = node.attribute("pads") or [0] * (2 * count)
    strides = node.attribute("strides") or [1] * count
    dilations = node.attribute("dilations") or [1] * count
    if (
        len(strides) != count
        or len(dilations) != count
        or min((*strides, *dilations, *kernel), default=0) < 1
    ):
        return []
    axes = []
    for axis, window in enumerate(kernel):
        reach = (window - 1) * dilations[axis] + 1
        last = -((reach - padded[axis]) // strides[axis]) * strides[axis]
        if last >= sizes[axis] + pads[axis]:
            axes.append(axis)
    return axes
