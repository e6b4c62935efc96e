"""Channels, widths, ranks, activations and forms that the architecture of HTP does not suit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dlclint.analysis.folding import is_static
from dlclint.analysis.layers import Presence, layers_of
from dlclint.analysis.matching.gates import gated_activation
from dlclint.analysis.matching.terms import sole_reader
from dlclint.analysis.partition import bytes_of
from dlclint.diagnostic import About, Confidence, Safety, Severity, Source, counted, size_text
from dlclint.model.graph import Node
from dlclint.model.op_facts import ACTIVATIONS, BOUNDED, CONVOLUTIONS, FUSED_ACTIVATIONS
from dlclint.model.types import element_name, is_float
from dlclint.rule import Finding, ModelContext, Place, rule
from dlclint.target import DlcKind, Runtime
from dlclint_rules import places, repairs
from dlclint_schemas.forms import htp_forms
from dlclint_schemas.precision import SUPPLEMENT, compiled_at, rank_limit, wide_weights
from dlclint_schemas.record import record
from dlclint_schemas.releases import Release, rank_changes

_GUIDE = "80-63442-10, HTP network design recommendations"
_DEPTH = 32
"""Channels are stored and multiplied in multiples of this (source: the guide, Avoid low depth
Activations)."""


def nodes_on_htp(context: ModelContext, *ops: str) -> Iterator[Node]:
    """Nodes of these ops as the converter sees them, without quantizing nodes, if HTP is a target."""
    if context.target.means(Runtime.HTP):
        for op in ops:
            yield from context.view.as_float.by_op.get(op, ())


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1_000_000 else f"{number:,}"


@rule()
def wide_activations(context: ModelContext) -> Iterator[Finding]:
    """Activations of 16 bits take twice the memory of 8-bit ones.

    Why: the energy of memory access grows with the bits moved, the energy of a multiplication with the square
    of the width, and tensors that fit the tightly coupled memory at 8 bits may not fit at 16. The guide's
    order is 8-bit, then 16-bit, then float16.
    What to do: keep 16 bits only for the layers that need them, with an override file.
    """
    kind = context.target.kind
    if not kind.quantize or kind.act_bitwidth != 16 or not context.target.means(Runtime.HTP):
        return
    narrow = replace(kind, act_bitwidth=8)
    total, before, largest, where = 0, 0, 0, None
    for node in context.view.nodes():
        for name in filter(None, node.outputs):
            tensor_type = node.graph.type_of(name)
            size = bytes_of(tensor_type, kind)
            if size is None or tensor_type is None or not is_float(tensor_type.data_type):
                continue
            total += size
            before += bytes_of(tensor_type, narrow) or 0
            if size > largest:
                largest, where = size, node
    if where is not None:
        yield Finding(
            f"16-bit activations take {size_text(total)} in place of {size_text(before)} over all tensors; "
            f"the largest takes {size_text(largest)}",
            Severity.INFO,
            Source(_GUIDE, "Other Performance and Energy Guidelines"),
            help="keep 16 bits for the layers that need them",
            node=where,
            evidence={"bytes": total, "bytes_at_8_bits": before, "largest": largest},
        )


@record
class _Products:
    """Multiplications of a convolution, and their number with channels rounded up."""

    node: Node
    inputs: int
    outputs: int
    real: int
    padded: int


def _products(node: Node) -> _Products | None:
    """For a convolution in one group with known shapes; else None."""
    weight, tensor_type = node.graph.type_of(node.input(1)), node.graph.type_of(node.output(0))
    shape = None if weight is None else weight.static_shape
    output = None if tensor_type is None else tensor_type.static_shape
    if shape is None or output is None or not 3 <= len(shape) == len(output):
        return None
    if (node.attribute("group", 1) or 1) != 1:
        return None
    outputs, inputs = shape[:2]
    places = math.prod(shape[2:]) * math.prod(output[2:]) * output[0]
    padded = math.ceil(inputs / _DEPTH) * math.ceil(outputs / _DEPTH) * _DEPTH**2
    return _Products(node, inputs, outputs, places * inputs * outputs, places * padded)


@rule()
def few_channels(context: ModelContext) -> Iterator[Finding]:
    """A convolution has fewer than 32 channels in or out.

    Why: HTP stores and multiplies channels in multiples of 32, so with far fewer channels most of the work is
    padding. A convolution that reads the model's input has no choice, and is not a finding by itself.
    What to do: move pixels into channels (space to depth), or join narrow layers if the design allows.
    """
    products = [product for node in nodes_on_htp(context, "Conv") if (product := _products(node)) is not None]
    narrow = [layer for layer in products if min(layer.inputs, layer.outputs) < _DEPTH]
    if all(layer.node.input(0) in layer.node.graph.inputs for layer in narrow):
        return  # an op on the image has no choice
    real, padded = sum(layer.real for layer in narrow), sum(layer.padded for layer in narrow)
    whole = sum(layer.real for layer in products)
    worst = max(narrow, key=lambda layer: layer.padded - layer.real)
    share = 100 * real / whole if whole else 0
    yield Finding(
        f"{len(narrow)} of {counted(len(products), 'ungrouped convolution')}"
        f" {'has' if len(narrow) == 1 else 'have'} fewer than {_DEPTH} channels in or out:"
        f" {'its' if len(narrow) == 1 else 'their'} {_count(real)} multiplications ({share:.0f}% of these)"
        f" become {_count(padded)} with padding; the worst has {worst.inputs} in and {worst.outputs} out",
        Severity.INFO,
        Source(_GUIDE, "Avoid low depth Activations"),
        help="move pixels into channels (space to depth), or join narrow layers",
        node=worst.node,
        evidence={"convolutions": len(narrow), "of": len(products), "products": real, "padded": padded},
    )


@rule(fix=[Safety.SAFE])
def divide(context: ModelContext) -> Iterator[Finding]:
    """Division by a constant.

    Why: Hexagon divides by calling a library, while multiplication is an instruction. Div also has fewer
    quantized forms on HTP than Mul (in measurements, only some forms of Div compiled, and all of Mul). For a
    constant c, x / c is x * (1 / c).
    What to do: store the reciprocal and multiply. If few numbers are divided, the finding is a note.
    """
    divisions = [
        node
        for node in nodes_on_htp(context, "Div")
        if node.key not in context.view.in_pattern and node.graph.constant(node.input(1)) is not None
        if (dividend := node.graph.type_of(node.input(0))) is not None and is_float(dividend.data_type)
    ]
    if not divisions:
        return
    shapes = [node.graph.type_of(node.output(0)) for node in divisions]
    sizes = [
        math.prod(tensor_type.static_shape or ())
        for tensor_type in shapes
        if tensor_type and tensor_type.static_shape
    ]
    known = f", {_count(sum(sizes))} numbers per inference" if sizes else ""
    yield Finding(
        f"division by a constant in {counted(len(divisions), 'node')}{known}",
        Severity.INFO if len(sizes) == len(shapes) and sum(sizes) < _WORTH_TELLING else Severity.WARNING,
        Source("ggml-org/llama.cpp#17042; compilations by winml-cli's makers", "Div"),
        Confidence.FIELD_REPORTED,
        help="multiply by the reciprocal",
        node=divisions[0],
        evidence={"nodes": len(divisions), "numbers": sum(sizes)},
        fix=None if context.view.carried else repairs.layers.multiplications(divisions),
    )


def _around(activation: Node) -> tuple[Place, ...]:
    """The op before an activation, and its other readers."""
    graph, name = activation.graph, activation.input(0)
    beside = (node for node in graph.consumers(name) if node is not activation)
    return (places.source(graph, name, "its input"), *places.nodes(beside, "reads its input too"))


def _after(node: Node) -> tuple[Node | None, bool]:
    """The convolution before a node (before a folded batch normalization), and if the node alone reads it."""
    producer = node.graph.producer(node.input(0))
    alone = sole_reader(node.graph, node.input(0)) is node
    if producer is not None and producer.op_type == "BatchNormalization":
        alone = alone and sole_reader(node.graph, producer.input(0)) is producer
        producer = node.graph.producer(producer.input(0))
    weighted = producer is not None and producer.op_type in CONVOLUTIONS
    return (producer if weighted else None), alone


@rule(fix=[Safety.SAFE, Safety.UNSAFE], weights=True)
def prelu(context: ModelContext) -> Iterator[Finding]:
    """PReLU or LeakyReLU where ReLU would be faster, or that cannot run inside its convolution.

    Why: HTP runs PReLU inside the preceding convolution only if nothing else reads that convolution;
    otherwise it is a separate layer. ReLU and clipped ReLU are preferred at 8 and 16 bits in both cases.
    What to do: train with ReLU or ReLU6, or let only the activation read the convolution.
    """
    activations = list(nodes_on_htp(context, "PRelu", "LeakyRelu"))
    if not activations:
        return
    apart = [node for node in activations if not all(_after(node))]
    names = " and ".join(sorted({node.op_type for node in activations}))
    nodes = counted(len(activations), "node")
    inside = "each can run inside the convolution before it"
    outside = f"{len(apart)} of which cannot run inside a convolution, as none is read by them alone"
    yield Finding(
        f"{names} in {nodes}, {outside if apart else inside}",
        Severity.WARNING if apart else Severity.INFO,
        Source(_GUIDE, "Choice of Activation functions; A16 vs FP16 and Activation Fusion"),
        help="ReLU or ReLU6 is faster where accuracy allows",
        node=(apart or activations)[0],
        evidence={"nodes": len(activations), "apart": len(apart)},
        related=_around((apart or activations)[0]),
        fix=None if context.view.carried else repairs.layers.relus(activations),
    )


_WORTH_TELLING = 1000
"""Bytes, or numbers, below which it does not matter what is written again or divided (our choice)."""


@rule()
def unfused_activation(context: ModelContext) -> Iterator[Finding]:
    """An activation after a convolution that cannot run inside it.

    Why: HTP fuses ReLU, clipped ReLU, PReLU, LeakyReLU and HardSwish into the preceding convolution; any
    other activation is a separate layer that reads and writes the complete tensor again. The rule skips a
    Sigmoid, HardSigmoid or Tanh that produces a gate or an output: its bounds are required, so it has no such
    replacement.
    What to do: use HardSwish for Swish and SiLU, ReLU6 elsewhere, and train with them.
    """
    nodes = [
        node
        for node in nodes_on_htp(context, *sorted(ACTIVATIONS.difference(FUSED_ACTIVATIONS)))
        if node.key not in context.view.in_pattern and _after(node)[0] is not None and not _bounds(node)
    ]
    if not nodes:
        return
    sizes = [bytes_of(node.graph.type_of(node.output(0)), context.target.kind) for node in nodes]
    moved = sum(size for size in sizes if size is not None)
    names = ", ".join(sorted({node.op_type for node in nodes}))
    yield Finding(
        f"{names} after a convolution in {counted(len(nodes), 'node')}: none runs inside it"
        + (f", {size_text(moved)} are written once more" if moved >= _WORTH_TELLING else ""),
        Severity.INFO,
        Source(_GUIDE, "Choice of Activation functions"),
        help="HardSwish in place of Swish and SiLU, ReLU6 elsewhere, run inside the convolution",
        node=nodes[0],
        evidence={"nodes": len(nodes), "bytes": moved},
        related=(places.source(nodes[0].graph, nodes[0].input(0), "its input"),),
    )


def _bounds(node: Node) -> bool:
    """Whether a node computes a gate or a bounded output, rather than half of x * f(x)."""
    graph, read = node.graph, node.input(0)
    return node.op_type in BOUNDED and not gated_activation(graph, read, graph.consumers(read))


@rule(about=About.SETTINGS)
def wide_steps(context: ModelContext) -> Iterator[Finding]:
    """16-bit weights reach steps that HTP does not compute with.

    Why: HTP's 16-bit weights range from -0x8000 to 0x7F7F, while a symmetric encoding reaches 0x7FFF. The
    validator and the compiler accept such weights silently (measured with QNN 2.51), so the problem only
    shows on the device.
    What to do: pass `--restrict_quantization_steps` with those ends to the quantizer ("-0x8000,0x7F7F" for
    snpe-dlc-quant, "-0x8000 0x7F7F" for qairt-quantizer) and use symmetric weights; `dlclint plan` prints the
    option.
    """
    kind = context.target.kind
    if not kind.quantize or kind.weights_bitwidth != 16 or not context.target.means(Runtime.HTP):
        return
    nodes = [
        node
        for op in sorted(wide_weights().ops)
        for node in context.view.as_float.by_op.get(op, ())
        if is_static(node.graph, node.input(1), context.view.folded)
    ]
    if nodes:
        yield Finding(
            f"16-bit weights of {counted(len(nodes), 'node')} may pass step 0x7F7F, the last that HTP has",
            Severity.INFO,
            Source("80-63442-10 Rev AL, HTP", "Precision"),
            help="--restrict_quantization_steps keeps them within, for symmetric weights (dlclint plan)",
            node=nodes[0],
            evidence={"nodes": len(nodes)},
        )


def _asked(kind: DlcKind) -> str:
    """The column of the supplement; a DLC of unknown kind counts as 8-bit, the tools' default."""
    if not kind.is_float:
        return f"int{kind.act_bitwidth}"
    return "fp16"


@rule(about=About.FORM)
def rank_limit_exceeded(context: ModelContext) -> Iterator[Finding]:
    """A tensor has more dimensions than HTP supports for this op.

    Why: the supplement gives each op a highest rank, 4 for many and 5 for others; the validator then reports
    "has incorrect Rank". Where the supplement gives no rank, the limit comes from the validator, as most of
    those of integers and booleans do: a Tile of int32 has at most rank 4, one of floats 5. If the validator
    accepted the op at that rank, or measurements compiled it, the finding says so. Some ranks were added in a
    release of the SDK (`--sdk`).
    What to do: reshape to fewer dimensions around the op.
    """
    if not context.target.means(Runtime.HTP):
        return
    precision, release = _asked(context.target.kind), context.target.release
    for node in context.view.nodes():
        if node.domain or node.key in context.view.in_pattern:
            continue
        over = _over_limit(node, precision, release)
        if over is None or context.view.verdict(node, Runtime.HTP).presence is Presence.NO:
            continue  # ops/no-runtime reports what HTP lacks
        rank, limit, documented, since, element = over
        column = element or precision
        measured = htp_forms().measured
        asked = htp_forms().max_rank.get((node.op_type, precision != "fp16"))
        if since or element:
            said = ""  # a newer release shows nothing about this one, nor do other types
        elif asked is not None and rank <= asked.rank:
            said = f"; its validator took it at that rank ({measured})"
        elif documented and compiled_at(node.op_type, "npu", precision == "fp16", rank):
            said = "; winml-cli's makers compiled it at that rank"
        else:
            said = ""
        # Only the beginning of the release history was read.
        sure = Confidence.DOCUMENTED if documented and not since else Confidence.FIELD_REPORTED
        yield Finding(
            f"{node.op_type}: rank {rank}, HTP supports at most {limit} ({column}){since}{said}",
            Severity.INFO if said else Severity.WARNING,
            Source(SUPPLEMENT, ", ".join(layers_of(node))) if documented else Source(measured, node.op_type),
            Confidence.INFERRED if said else sure,
            help="reshape to fewer dimensions around the op" + (", or use a newer SDK" if since else ""),
            node=node,
            evidence={"rank": rank, "limit": limit, "precision": column},
        )


def _over_limit(node: Node, precision: str, release: Release) -> tuple[int, int, bool, str, str] | None:
    """An end that exceeds its limit: rank, limit, whether the supplement gives it, and two words.

    The words say which releases have the limit, and which element type, "" for any. Each end has a separate
    limit in the supplement; where neither has one, the validator's limit applies to both, as does one of an
    element type. shapes/rank-above-five reports more than five dimensions.
    """
    ends = [("input_0", node.input(0)), ("output_0", node.output(0))]
    ranks = {end: rank for end, name in ends if name and (rank := node.graph.rank(name)) is not None}
    layers = layers_of(node)
    limits = {
        end: min(rank_limits)
        for end in ranks
        if (rank_limits := [limit for layer in layers if (limit := rank_limit(layer, precision, end))])
    }
    asked = htp_forms().max_rank.get((node.op_type, precision != "fp16"))
    documented = bool(limits)
    if not documented and asked is not None:
        limits = dict.fromkeys(ranks, asked.rank)
    since = element = ""
    change = rank_changes().get((node.op_type, precision))
    stated = _element(node, precision)
    of_type = htp_forms().max_rank_of_types.get((node.op_type, stated))
    if of_type is not None:
        limits, documented, element = dict.fromkeys(ranks, of_type.rank), of_type.documented, stated
    elif change is not None:
        has = change.holds(release) is not False
        limits = dict.fromkeys(ranks, change.fields["now" if has else "before"])
        since = "" if has else f" before SDK {change.since}"
    over = [(ranks[end], limit) for end, limit in limits.items() if limit < ranks[end] <= 5]
    return (*max(over), documented, since, element) if over else None


def _element(node: Node, precision: str) -> str:
    """The element type of a node's first input; of a Cast in float16 both types, of a Pad its mode."""
    if node.op_type == "Pad":
        return str(node.attribute("mode", "constant"))
    kinds = [element_name(node.graph.type_of(name)) for name in (node.input(0), node.output(0)) if name]
    if node.op_type != "Cast":
        return kinds[0] if kinds else ""
    return " to ".join(kinds) if precision == "fp16" else ""


@rule(about=About.FORM)
def refused_form(context: ModelContext) -> Iterator[Finding]:
    """A form of the op that HTP refuses.

    Why: the supplement excludes dilated depthwise convolution with strides other than 1 (2 with a 3x3 kernel
    and dilation 2 is supported if quantized), dilated 3-D convolution with a stride, LogSoftmax along an axis
    other than the last, negative indices of Gather, and an 8-bit LSTM that is not forward. This is QNN's
    table; SNPE's layer table lists these ops for HTP without restricting their forms. LogSoftmax and Gather
    compile in these forms through ONNX Runtime, whose provider may rewrite them first, so the finding is a
    note there. The provider computes every quantized LSTM and GRU in float, so it provides no evidence for
    them.
    What to do: change the form, or let the op run elsewhere.
    """
    kind = context.target.kind
    for op, judge in _FORMS.items():
        for node in nodes_on_htp(context, op):
            why = judge(node, kind)
            if why:
                rewritten = op in _REWRITTEN
                said = "; through ONNX Runtime, which may rewrite it, it compiled" if rewritten else ""
                yield Finding(
                    f"{op}: {why}{said}",
                    Severity.INFO if rewritten else Severity.WARNING,
                    Source(
                        "QNN SDK 2.25.0, HTP Backend Op Definition Supplement", ", ".join(layers_of(node))
                    ),
                    Confidence.INFERRED if rewritten else Confidence.DOCUMENTED,
                    help=_instead(op, context.target.lacks_float16),
                    node=node,
                )


def _dilated(node: Node, kind: DlcKind) -> str:
    dilations = list(node.attribute("dilations") or [])
    strides = list(node.attribute("strides") or [1] * len(dilations))
    if all(dilation == 1 for dilation in dilations):
        return ""
    layers = layers_of(node)
    if layers == ("Conv3d",):
        if dilations[0] != 1:
            return f"dilation {dilations} of a 3-D convolution is not 1 in depth"
        return (
            f"dilation {dilations} of a 3-D convolution with strides {strides}"
            if strides[1:] != [1, 1]
            else ""
        )
    if layers != ("DepthWiseConv2d",) or all(dilation == 1 for dilation in strides):
        return ""
    weight = node.graph.type_of(node.input(1))
    kernel = list(weight.shape[2:]) if weight is not None and weight.shape else []
    taken = (dilations, strides, kernel) == ([2, 2], [2, 2], [3, 3]) and not kind.is_float
    return "" if taken else f"depthwise with dilations {dilations} and strides {strides}"


def _axis_not_last(node: Node, kind: DlcKind) -> str:
    rank = node.graph.rank(node.input(0))
    axis = node.attribute("axis", -1)
    last = rank is None or axis is None or axis in (-1, rank - 1)
    return "" if last else f"axis {axis} is not the last of {rank}"


def _negative_index(node: Node, kind: DlcKind) -> str:
    indices: Any = node.graph.small_value(node.input(1))
    if indices is None or indices.dtype.kind != "i" or not (indices < 0).any():
        return ""
    return f"negative index {int(indices.min())}"


def _not_forward(node: Node, kind: DlcKind) -> str:
    direction = node.attribute("direction") or "forward"
    eight = kind.act_bitwidth == 8 and not kind.is_float
    return (
        f"direction {direction} at 8 bits, where HTP supports forward only"
        if eight and direction != "forward"
        else ""
    )


_REWRITTEN = frozenset({"LogSoftmax", "Gather"})
"""Ops whose excluded form compiled for SM8550 anyway (QNN 2.51, `dlclint confirm`)."""
_FORMS = {"Conv": _dilated, "LogSoftmax": _axis_not_last, "Gather": _negative_index, "LSTM": _not_forward}


def _instead(op: str, lacks_float16: bool) -> str:
    """What to do about a form that HTP refuses."""
    if op == "Gather":
        return "count the index from the front"
    if op == "LogSoftmax":
        return "transpose so that the axis is the last, and back after it"
    if op != "LSTM":
        return "change the form, or let the op run elsewhere"
    split = "split it into forward LSTMs, one on the reversed sequence"
    return split if lacks_float16 else f"{split}, or keep it float16"
