"""Where a model violates a limitation: one finder per kind of `machine` form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any

import onnx

from dlclint.analysis.expressions import NoValue, holds, names_in
from dlclint.analysis.folding import is_static
from dlclint.analysis.layers import Presence, layers_of
from dlclint.analysis.matching.terms import stored_integers
from dlclint.analysis.quantities import of_tensor, quantities
from dlclint.diagnostic import Evidence
from dlclint.model.graph import Node
from dlclint.model.op_facts import CONVOLUTIONS, MATRICES
from dlclint.model.types import is_float
from dlclint.rule import ModelContext, Place
from dlclint.target import DlcKind, Runtime
from dlclint_rules import places
from dlclint_schemas.limitations import suggested_constants
from dlclint_schemas.precision import hta_ops
from dlclint_schemas.record import record


@record
class Breach:
    """Where a limit is violated: a node or an input, the numbers that violate it, and other places."""

    node: Node | None
    numbers: Evidence = field(default_factory=dict)
    tensor: str = ""
    related: tuple[Place, ...] = ()


Handler = Callable[[ModelContext, Runtime, Mapping[str, Any]], Iterator[Breach]]


def _nodes(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Node]:
    """Nodes of the entry's ops that the runtime has; ops/no-runtime reports the others."""
    for op in machine["ops"]:
        for node in context.view.by_op.get(op, ()):
            if op in MATRICES and layers_of(node) != ("FullyConnected",):
                continue
            if context.view.verdict(node, runtime).presence is not Presence.NO:
                yield node


def _quantities(context: ModelContext, node: Node) -> dict[str, Any]:
    return quantities(node, context.view.is_image(node.graph, node.input(0)))


def _numbers(texts: tuple[str, ...], values: Mapping[str, Any]) -> Evidence:
    """The values that the texts name, for message and evidence; lists stay lists."""
    names = dict.fromkeys(name for text in texts for name in names_in(text))
    return {name: values[name] for name in names if name in values and name != "channel"}


def _broken(test: str, values: Mapping[str, Any]) -> bool:
    try:
        return not holds(test, values)
    except NoValue:
        return False


def _applies(machine: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    try:
        return "when" not in machine or holds(machine["when"], values)
    except NoValue:
        return False


def _constants(machine: Mapping[str, Any]) -> Mapping[str, int]:
    """The assumed values of names in an expression that no model states."""
    return {name: suggested_constants()[name] for name in machine.get("constants", ())}


def _tensor_expression(
    context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]
) -> Iterator[Breach]:
    """An expression over every 4-D tensor with channels: images, and the filters of convolutions."""
    constants = _constants(machine)
    seen: set[str] = set()
    for node in context.view.nodes():
        for name in dict.fromkeys((*node.outputs, *node.inputs)):
            filters = node.op_type in CONVOLUTIONS and name == node.input(1)
            if name in seen or not (filters or context.view.is_image(node.graph, name)):
                continue
            seen.add(name)
            kind = node.graph.type_of(name)
            values = {**of_tensor(None if kind is None else kind.shape), **constants}
            if _broken(machine["expr"], values):
                yield Breach(node, _numbers((machine["expr"],), values), name)
                break


def _expression(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    constants, excepted = _constants(machine), machine.get("except_layers", ())
    for node in _nodes(context, runtime, machine):
        if excepted and set(layers_of(node)) <= set(excepted):
            continue
        values = {**_quantities(context, node), **constants}
        if _applies(machine, values) and _broken(machine["expr"], values):
            yield Breach(node, _numbers((machine["expr"],), values))


def _all_of(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    for node in _nodes(context, runtime, machine):
        values = _quantities(context, node)
        if not _applies(machine, values):
            continue
        failed = tuple(test for test in machine["tests"] if _broken(test, values))
        if failed:
            yield Breach(node, _numbers(failed, values))


def _input_from(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    """An input must be the output of certain ops, or a graph input that `--input-type` calls opaque."""
    if runtime.dlc_row not in machine["on"]:
        return
    opaque = {name for name, kind in context.target.input_types if kind == machine["or_input_type"]}
    for node in _nodes(context, runtime, machine):
        name = node.input(machine["input"])
        producer = node.graph.producer(name)
        if name not in opaque and (producer is None or producer.op_type not in machine["producers"]):
            yield Breach(node, {"input": name}, related=(places.source(node.graph, name, "its input"),))


def _any_of(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    for node in _nodes(context, runtime, machine):
        values = _quantities(context, node)
        if values.get("scale") == [1.0, 1.0]:
            continue  # it resizes nothing
        try:
            if not any(holds(test, values) for test in machine["tests"]):
                yield Breach(node, _numbers(machine["tests"], values))
        except NoValue:
            continue


def _attribute_at_most(
    context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]
) -> Iterator[Breach]:
    for node in _nodes(context, runtime, machine):
        values = node.attribute(machine["attribute"]) or []
        if any(value > machine["max"] for value in values):
            yield Breach(node, {machine["attribute"]: values})


def _default_attribute(
    context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]
) -> Iterator[Breach]:
    """The attribute is not smaller than the operator's default, which the limitation warns about."""
    for node in _nodes(context, runtime, machine):
        schema = node.schema
        default = schema.attributes[machine["attribute"]].default_value.f if schema is not None else None
        value = node.attribute(machine["attribute"])
        if default is not None and value is not None and value >= default:
            yield Breach(node, {machine["attribute"]: float(f"{value:.6g}")})


def _rank(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    for node in _nodes(context, runtime, machine):
        rank = node.graph.rank(node.input(machine["input"]))
        allowed = machine.get("ranks") or range(machine.get("max", 0) + 1)
        if rank is not None and rank not in allowed:
            yield Breach(node, {"rank": rank})


def _pads(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    axis = "NC".index(machine["axis"])
    for node in _nodes(context, runtime, machine):
        mode = node.attribute("mode") or "constant"
        rank = node.graph.rank(node.input(0))
        pads = _padding(node)
        if mode != machine.get("when_mode", mode) or rank is None or pads is None or len(pads) != 2 * rank:
            continue
        if axis == 1 and not context.view.is_image(node.graph, node.input(0)):
            continue
        if rank > axis and (pads[axis] or pads[rank + axis]):
            yield Breach(node, {"pads": pads, "mode": mode})


def _padding(node: Node) -> list[int] | None:
    """Begins and ends by axis: an attribute up to version 10, an input since; axes since 18 are not used."""
    if node.input(3):
        return None
    return stored_integers(node.graph, node.input(1)) or node.attribute("pads") or node.attribute("paddings")


def _channels_multiple(
    context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]
) -> Iterator[Breach]:
    for node in _nodes(context, runtime, machine):
        if not context.view.is_image(node.graph, node.input(0)) or (
            node.op_type == "Slice" and not _crops(node)
        ):
            continue
        names = node.inputs if machine.get("inputs") == "all" else node.inputs[:1]
        kinds = [node.graph.type_of(name) for name in names]
        channels = [of_tensor(None if kind is None else kind.shape).get("C") for kind in kinds]
        odd = [count for count in channels if count is not None and count % machine["multiple"]]
        if odd:
            yield Breach(node, {"channels": odd})


def _crops(node: Node) -> bool:
    """Whether Slice cuts height or width of a 4-D tensor, which is what Crop does."""
    before, after = (node.graph.type_of(name) for name in (node.input(0), node.output(0)))
    shapes = [None if kind is None else kind.static_shape for kind in (before, after)]
    if shapes[0] is None or shapes[1] is None or len(shapes[0]) != 4:
        return False
    return shapes[0][2:] != shapes[1][2:]


def _present(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    for node in _nodes(context, runtime, machine):
        yield Breach(node)


def _batch_of_layer(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    """The layer has no ONNX op; if it occurs it is an op of another domain."""
    for node in context.view.nodes():
        kind = node.graph.type_of(node.input(0))
        batch = kind.shape[0] if kind is not None and kind.shape else None
        if node.op_type == machine["layer"] and isinstance(batch, int) and batch != machine["value"]:
            yield Breach(node, {"batch": batch})


def _batched_input(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    """More than one image, and ops that HTA does not have, according to the QNN table's column."""
    graph = context.view.model.graph
    others = sorted(
        {node.op_type for node in context.view.nodes() if not node.domain}
        - hta_ops()
        - set(machine["except"])
    )
    for name in graph.inputs:
        kind = graph.type_of(name)
        batch = kind.shape[0] if kind is not None and kind.shape and len(kind.shape) == 4 else None
        if isinstance(batch, int) and batch > 1 and others:
            yield Breach(None, {"batch": batch, "not_on_hta": others[:5]}, name)
            return  # one batch for all inputs


def _static_parameters(
    context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]
) -> Iterator[Breach]:
    """Split points, starts and ends, except those of shape arithmetic, which ops/not-foldable reports."""
    view = context.view
    for node in _nodes(context, runtime, machine):
        for name in node.inputs[1:]:
            if not name or is_static(node.graph, name, view.folded):
                continue
            producer = node.graph.producer(name)
            if producer is None or (
                producer.key not in view.shape_arithmetic and producer.op_type != "Shape"
            ):
                yield Breach(
                    node, {"not_constant": name}, related=(places.source(node.graph, name, "its input"),)
                )
                break


def _custom_types(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    for node in context.view.nodes():
        if node.domain and not context.view.model.is_function(node):
            refused = sorted(_types_of(node, runtime, context.target.kind) - set(machine["allowed"]))
            if refused:
                yield Breach(node, {"types": refused, "allowed": list(machine["allowed"])})


def _types_of(node: Node, runtime: Runtime, kind: DlcKind) -> set[str]:
    """Types of a custom op's activations on a runtime, by the names of op packages.

    Float tensors have the type in which the runtime computes: FLOAT_16 on GPU; on DSP and AIP fixed point of
    the activation width, 8 bits if quantized at load; on CPU the float width.
    """
    if runtime.dlc_row == "gpu":
        floats = "FLOAT_16"
    elif runtime.dlc_row == "cpu":
        floats = f"FLOAT_{32 if kind.quantize else kind.float_bitwidth}"
    else:
        floats = f"UINT_{kind.act_bitwidth if kind.quantize else 8}"
    kinds = [node.graph.type_of(name) for name in (*node.inputs, *node.outputs) if name]
    types = {tensor_type.data_type for tensor_type in kinds if tensor_type is not None}
    names: dict[int, str] = {
        onnx.TensorProto.BOOL: "BOOL_8",
        onnx.TensorProto.UINT8: "UINT_8",
        onnx.TensorProto.INT8: "INT_8",
    }
    return {floats if is_float(type) else names.get(type, "INT_32") for type in types}


def _hta_widths(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    kind = context.target.kind
    if not kind.quantize:
        return
    widths = {
        "activation_bits": kind.act_bitwidth,
        "weight_bits": kind.weights_bitwidth,
        "bias_bits": kind.bias_bitwidth,
    }
    numbers: dict[str, Any] = {name: bits for name, bits in widths.items() if bits not in machine[name]}
    if kind.per_channel and not machine["weight_signed"]:
        numbers["weights"] = "signed, as per-channel ones are"
    if numbers:
        for node in _nodes(context, runtime, machine):
            yield Breach(node, numbers)


def _input_dims(context: ModelContext, runtime: Runtime, machine: Mapping[str, Any]) -> Iterator[Breach]:
    encodings = dict(context.target.input_encodings)
    graph = context.view.model.graph
    for name in graph.inputs:
        kind = graph.type_of(name)
        dims = of_tensor(None if kind is None else kind.shape)
        odd = {dim: dims[dim] for dim in machine["dims"] if dim in dims and dims[dim] % machine["multiple"]}
        if odd and encodings.get(name) in machine["when_input_encoding"]:
            yield Breach(None, odd, name)


HANDLERS: Mapping[str, Handler] = {
    "expr": _expression,
    "tensor_expr": _tensor_expression,
    "all_of": _all_of,
    "input_from": _input_from,
    "any_of": _any_of,
    "attribute_all_le": _attribute_at_most,
    "attribute_advice": _default_attribute,
    "input_rank_one_of": _rank,
    "input_rank_max": _rank,
    "pads_zero_on_axis": _pads,
    "dim_multiple_of": _channels_multiple,
    "op_present": _present,
    "layer_batch_equals": _batch_of_layer,
    "batch_gt_1_requires": _batched_input,
    "requires_static_split": _static_parameters,
    "udo_dtypes": _custom_types,
    "dtype_combo": _hta_widths,
    "input_dims_multiple_of": _input_dims,
}
"""Kind of `machine` form to the function that finds the violations."""
