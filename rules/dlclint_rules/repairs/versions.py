"""An older opset for a model whose ops are newer than the tables.

Only the nodes whose structure differs between the two opsets are rewritten, each by `onnx.version_converter`
in a separate model; the converter's gaps for other ops do not matter then, and everything else stays as it
is.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import onnx
from onnx import helper

from dlclint.analysis.versions import same_structure
from dlclint.analysis.view import ModelView
from dlclint.contained.guard import Ended, spot
from dlclint.diagnostic import Safety
from dlclint.fix import CannotFix, Fix
from dlclint.model.attributes import schema_of
from dlclint.model.constants import add_constant, fresh_name
from dlclint.model.edits import ModelEdit, RemoveAttribute, ReplaceNodes, SetOpset
from dlclint.model.evaluation.bounds import real_numbers
from dlclint.model.graph import Node
from dlclint.model.native import CONVERTER
from dlclint.model.op_facts import SOFTMAXES

_OLD_TYPES = frozenset(range(1, 17))
"""TensorProto types up to bfloat16: those that Cast 13 knows."""
_ONE_AXIS = 13
"""From this opset on they work along one axis; before, on all axes from that one to the last together."""


def downgraded(view: ModelView) -> Fix | None:
    """The newest opset at which every op is listed, or else the newest that the converter states."""
    current = view.model.opsets.get("")
    wanted = view.newest_listed_opset or view.table.stated_max_opset
    if current is None or wanted >= current:
        return None

    def edits() -> Iterator[ModelEdit]:
        if view.model.functions:
            raise CannotFix("the model has functions, which onnx.version_converter does not convert")
        for graph in view.model.graphs():
            for node in graph.nodes:
                if not node.domain and not _is_same(node, current, wanted):
                    yield from _older(node, current, wanted)
        yield SetOpset("", wanted)

    # The findings of all nodes share the fix, so the edits are computed once.
    return Fix(f"convert the model to opset {wanted}", Safety.SAFE, cache(lambda: tuple(edits())))


def imported(domain: str, version: int) -> Fix:
    """Add the opset import of a domain that has one version."""
    title = f"import {domain} {version}"
    return Fix(title, Safety.SAFE, lambda: (SetOpset(domain, version),))


def _is_same(node: Node, current: int, wanted: int) -> bool:
    before, after = schema_of(node.op_type, "", current), schema_of(node.op_type, "", wanted)
    if before is None or after is None:
        return False
    return same_structure(node.op_type, before.since_version, after.since_version)


def _older(node: Node, current: int, wanted: int) -> Iterator[ModelEdit]:
    if node.op_type == "Dropout":
        yield _older_dropout(node, wanted)
        return
    if node.op_type == "Cast":
        yield from _older_cast(node, wanted)
        return
    if node.op_type in SOFTMAXES and current >= _ONE_AXIS > wanted:
        yield _older_softmax(node)
        return
    if node.subgraphs:
        raise CannotFix(f"{node.op_type} (node {node.index}) has subgraphs, which are not converted")
    newest = onnx.defs.onnx_opset_version()
    if current > newest:
        raise CannotFix(f"onnx {onnx.__version__} knows opsets up to {newest}, and the model has {current}")
    try:
        alone = _alone(node, current)
        converted = node.graph.model.crashes.attempt(
            CONVERTER,
            onnx.version_converter.convert_version,
            alone,
            wanted,
            graph=node.graph.path,
            index=node.index,
            op=node.op_type,
            where=spot(node.graph.path, next(filter(None, node.outputs), node.index)),
            size=alone.ByteSize(),
        ).graph
    except CannotFix:
        raise
    except Ended as ended:
        raise CannotFix(f"onnx.version_converter {ended} on {node.op_type} (node {node.index})") from None
    except Exception as error:  # the converter raises RuntimeError, ConvertError and others
        text = " ".join(str(error).split())
        why = text.partition("failed: ")[2] or text
        raise CannotFix(
            f"onnx.version_converter cannot take {node.op_type} to opset {wanted}: {why}"
        ) from None
    own = {*node.inputs, *node.outputs}
    names: dict[str, str] = {}
    for number, name in enumerate(_made(converted)):
        if name and name not in own:
            names[name] = fresh_name(node.graph, f"{node.outputs[0]}_{number}")
    for tensor in converted.initializer:
        if tensor.name not in own:
            yield add_constant(node.graph, names[tensor.name], onnx.numpy_helper.to_array(tensor))
    new = []
    for proto in converted.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(proto)
        for ends in (copy.input, copy.output):
            for position, name in enumerate(ends):
                ends[position] = names.get(name, name)
        new.append(copy)
    yield ReplaceNodes(node.graph, (node,), tuple(new))


def _made(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        yield from node.output


def _alone(node: Node, opset: int) -> onnx.ModelProto:
    """A model of one node. Constants are initializers, because the converter turns some into attributes."""
    graph = node.graph
    inputs, initializers = [], []
    for name in dict.fromkeys(filter(None, node.inputs)):
        value = graph.small_value(name)
        if value is not None:
            initializers.append(onnx.numpy_helper.from_array(value, name))
            continue
        inputs.append(_described(node, name))
    outputs = [_described(node, name) for name in node.outputs if name]
    body = helper.make_graph([node.proto], "alone", inputs, outputs, initializers)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _described(node: Node, name: str) -> onnx.ValueInfoProto:
    tensor_type = node.graph.type_of(name)
    if tensor_type is None:
        raise CannotFix(f"the type of {name!r} is unknown, so {node.op_type} cannot be converted")
    return helper.make_tensor_value_info(name, tensor_type.data_type, tensor_type.shape)


def _older_dropout(node: Node, wanted: int) -> ModelEdit:
    """Ratio and training mode became inputs at version 12; the converter cannot undo that."""
    schema = schema_of("Dropout", "", wanted)
    training = node.graph.small_value(node.input(2)) if node.input(2) else None
    if (node.input(2) and (training is None or training.any())) or schema is None:
        raise CannotFix("Dropout in training mode has no older form")
    if any(name and (node.graph.consumers(name) or name in node.graph.outputs) for name in node.outputs[1:]):
        raise CannotFix("the mask of Dropout is read, and older versions fill it otherwise")
    new = helper.make_node("Dropout", [node.input(0)], node.outputs[:1], name=node.name)
    ratio = real_numbers(node.graph.small_value(node.input(1))) if node.input(1) else None
    if ratio is not None and ratio.size and "ratio" in schema.attributes:
        new.attribute.append(helper.make_attribute("ratio", float(ratio.reshape(-1)[0])))
    return ReplaceNodes(node.graph, (node,), (new,))


def _older_cast(node: Node, wanted: int) -> Iterator[ModelEdit]:
    """Version 19 added only `saturate`, for 8-bit floats, which older versions lack."""
    tensor_type = node.graph.type_of(node.input(0))
    kinds = {node.attribute("to"), None if tensor_type is None else tensor_type.data_type}
    if not kinds <= _OLD_TYPES:
        raise CannotFix(f"Cast at opset {wanted} does not know the types of {node.input(0)!r} or its result")
    yield RemoveAttribute(node, "saturate")


def _older_softmax(node: Node) -> ModelEdit:
    """For the last axis both meanings agree; the converter cannot convert another axis down."""
    rank, axis = node.graph.rank(node.input(0)), node.attribute("axis", -1)
    if not rank or axis is None:
        missing = f"the rank of {node.input(0)!r}" if not rank else "the axis"
        raise CannotFix(f"{missing} is unknown, so {node.op_type} cannot be converted")
    axis %= rank
    last = helper.make_attribute("axis", rank - 1)
    if axis == rank - 1:
        same = onnx.NodeProto()
        same.CopyFrom(node.proto)
        del same.attribute[:]
        same.attribute.append(last)
        return ReplaceNodes(node.graph, (node,), (same,))
    order = [*(i for i in range(rank) if i != axis), axis]
    turned, done = (fresh_name(node.graph, f"{node.outputs[0]}_{name}") for name in ("turned", "along_last"))
    middle = helper.make_node(node.op_type, [turned], [done], name=node.name)
    middle.attribute.append(last)
    back = [order.index(i) for i in range(rank)]
    new = (
        helper.make_node("Transpose", [node.input(0)], [turned], perm=order),
        middle,
        helper.make_node("Transpose", [done], [node.outputs[0]], perm=back),
    )
    return ReplaceNodes(node.graph, (node,), new)
