"""Typed mutations of a ModelProto, and small models of one operator made from its schema."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from .raw import NAMES

INTEGERS = (0, 1, -1, 2, 3, 5, 7, 255, -(1 << 63), (1 << 63) - 1, 1 << 31, -(1 << 31), 1 << 40)
FLOATS = (0.0, 1.0, -1.0, 0.5, 1e-45, 3.4e38, float("inf"), float("-inf"), float("nan"), 1e-5)
ATTRIBUTES = (
    *("axis", "axes", "perm", "to", "mode", "value", "group", "pads", "keepdims", "alpha", "epsilon"),
    *("kernel_shape", "strides", "dilations", "auto_pad", "hidden_size", "direction", "layout", "body"),
    *("then_branch", "equation", "shape", "starts", "ends", "split", "num_outputs", "blocksize", "dtype"),
    *("transB", "k", "largest", "min", "max", "ceil_mode", "training_mode", "block_size", "saturate"),
)
_TEXTS = (
    "",
    "cubic",
    "linear",
    "nearest",
    "SAME_UPPER",
    "VALID",
    "reflect",
    "\x1b",
    "bidirectional",
    "i,i",
    "ij,jk",
)
_EINSUM = ("ij,jk->ik", "..i,i", "...i,i->...", "i->", "ii->i", "->", ",", "ij->ji", "a" * 30)


@functools.cache
def schemas() -> Sequence[onnx.defs.OpSchema]:
    """All schemas of the default domain and of ai.onnx.ml, every version."""
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain in ("", "ai.onnx.ml")]
    return tuple(sorted(schemas, key=lambda s: (s.domain, s.name, s.since_version)))


@functools.cache
def operators() -> Sequence[str]:
    """The names of all operators, and two that are none."""
    return tuple(sorted({s.name for s in schemas()} | {"Odd", ""}))


def text(value: str) -> str:
    """As protobuf takes it."""
    return value.encode("utf-8", "replace").decode("utf-8")


def nodes_of(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of the graph, its functions and the bodies one level down."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    for node in model.graph.node:
        for attribute in node.attribute:
            nodes.extend(attribute.g.node)
    return nodes


def integer(random: random.Random) -> int:
    """Small, or one that overflows something."""
    return random.choice(INTEGERS) if random.random() < 0.5 else random.randint(-9, 9)


def sizes(random: random.Random, most: int = 5) -> list[int]:
    """A list of integers, mostly of believable dimensions."""
    if random.random() < 0.6:
        return [random.randint(0, 8) for _ in range(random.randint(0, most))]
    return [integer(random) for _ in range(random.randint(0, most))]


def reconnect(model: onnx.ModelProto, random: random.Random) -> None:
    """Another name for an end of a node."""
    node = random.choice(nodes_of(model))
    ends = random.choice((node.input, node.output))
    names = (*map(text, NAMES), *(n for other in model.graph.node for n in (*other.input, *other.output)))
    if ends:
        ends[random.randrange(len(ends))] = random.choice(names)


def resize_ends(model: onnx.ModelProto, random: random.Random) -> None:
    """Fewer or more inputs or outputs."""
    node = random.choice(nodes_of(model))
    ends = random.choice((node.input, node.output))
    if ends and random.random() < 0.5:
        del ends[random.randrange(len(ends)) :]
    else:
        ends.extend(text(random.choice(NAMES)) for _ in range(random.randint(0, 4)))


def change_op(model: onnx.ModelProto, random: random.Random) -> None:
    """Another operator or domain."""
    node = random.choice(nodes_of(model))
    node.op_type = random.choice(operators())
    node.domain = random.choice(("", "", "", "ai.onnx", "com.microsoft", "local", "ai.onnx.ml"))


def change_attribute(model: onnx.ModelProto, random: random.Random) -> None:
    """Another value, type or reference of an attribute, known or not."""
    node = random.choice(nodes_of(model))
    name = random.choice([a.name for a in node.attribute] or ["axis"])
    name = name if random.random() < 0.5 else random.choice(ATTRIBUTES)
    kept = [a for a in node.attribute if a.name != name]
    changed = _attribute(name, random.choice(tuple(_VALUES)), random)
    if random.random() < 0.2:
        changed.type = random.choice(list(AttributeProto.AttributeType.values()))
    if random.random() < 0.1:
        changed.ref_attr_name = "which"
    del node.attribute[:]
    node.attribute.extend([*kept, changed] if random.random() < 0.8 else kept)
    if random.random() < 0.05:
        node.attribute.append(changed)


def change_type(model: onnx.ModelProto, random: random.Random) -> None:
    """Another type of an input, an output or a declared value."""
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    if values:
        _set_type(random.choice(values).type, random)


def _set_type(kind: onnx.TypeProto, random: random.Random) -> None:
    choice = random.randrange(9)
    if choice == 0:
        kind.Clear()
    elif choice == 1:
        kind.sequence_type.elem_type.tensor_type.elem_type = 1
    elif choice == 2:
        kind.tensor_type.ClearField("shape")
    elif choice == 3:
        kind.tensor_type.elem_type = random.randint(-1, 40)
    elif choice == 4:
        kind.optional_type.elem_type.sequence_type.elem_type.tensor_type.elem_type = 7
    elif choice == 5:
        kind.map_type.key_type = random.choice((1, 7, 8, 99))
    elif choice == 6:
        kind.sparse_tensor_type.elem_type = 1
    else:
        dims = kind.tensor_type.shape.dim
        del dims[:]
        for size in sizes(random, 7):
            if random.random() < 0.7:
                dims.add().dim_value = size
            else:
                dims.add().dim_param = text(random.choice(("", "None", "N", "unk__0", *NAMES)))


def change_tensor(model: onnx.ModelProto, random: random.Random) -> None:
    """Another type, shape, content, place or name of a stored tensor."""
    stored = list(model.graph.initializer)
    stored += [a.t for node in model.graph.node for a in node.attribute if a.type == AttributeProto.TENSOR]
    if not stored:
        return
    tensor = random.choice(stored)
    choice = random.randrange(8)
    if choice == 0:
        tensor.data_type = random.randint(0, 30)
    elif choice == 1:
        del tensor.dims[:]
        tensor.dims.extend(sizes(random))
    elif choice == 2:
        tensor.raw_data = random.randbytes(random.randrange(40))
    elif choice == 3:
        tensor.data_location = TensorProto.EXTERNAL
        for key, values in (
            ("location", ("", "w.bin", "w.bin", "../w", "/w", "\0", "m.onnx", ".")),
            ("offset", ("", "-1", "x", "99999999999999999999", "1_0", "0", "16")),
            ("length", ("", "-1", "3", "9000000000", "0x10", "64")),
        ):
            if random.random() < 0.7:
                tensor.external_data.add(key=key, value=random.choice(values))
    elif choice == 4:
        tensor.name = text(random.choice(NAMES))
    elif choice == 5:
        tensor.ClearField("raw_data")
        tensor.float_data.extend(random.choice(FLOATS) for _ in range(random.randrange(6)))
    elif choice == 6:
        count = len(tensor.raw_data) // 4
        values = [random.choice(FLOATS) for _ in range(count)]
        tensor.raw_data = np.array(values, np.float32).tobytes()
    else:
        model.graph.initializer.append(tensor)


def change_model(model: onnx.ModelProto, random: random.Random) -> None:
    """Opsets, order, repeats, functions, what the graph declares."""
    choice = random.randrange(11)
    graph = model.graph
    if choice == 0:
        del model.opset_import[:]
    elif choice == 1 and model.opset_import:
        version = random.randint(1, 27) if random.random() < 0.7 else integer(random)
        model.opset_import[0].version = version
    elif choice == 2:
        model.ir_version = random.randint(1, 14) if random.random() < 0.7 else integer(random)
    elif choice == 3:
        del graph.node[random.randrange(len(graph.node))]
    elif choice == 4:
        graph.node.add().CopyFrom(random.choice(list(graph.node)))
    elif choice == 5:
        graph.node.reverse()
    elif choice == 6 and graph.output:
        del graph.output[random.randrange(len(graph.output)) :]
    elif choice == 7 and graph.input:
        del graph.input[random.randrange(len(graph.input))]
    elif choice == 8:
        model.opset_import.add(domain=random.choice(("", "ai.onnx", "com.microsoft", "local")), version=1)
    elif choice == 9:
        chosen = random.choice(list(graph.node))
        function = model.functions.add(name=chosen.op_type, domain=chosen.domain)
        function.node.add().CopyFrom(chosen)
        function.input.extend(chosen.input)
        function.output.extend(chosen.output)
    else:
        node = graph.node.add(op_type="Identity", name="also")
        node.input.extend([random.choice(list(graph.node)).name or "x"])
        node.output.extend([random.choice(("y", "also"))])


def nest(model: onnx.ModelProto, random: random.Random) -> None:
    """The graph as a body of an If, a Loop or a Scan of its own."""
    kind = random.choice(("If", "Loop", "Scan", "SequenceMap"))
    inner = onnx.GraphProto()
    inner.CopyFrom(model.graph)
    names = {"If": ("then_branch", "else_branch")}.get(kind, ("body",))
    attributes = [helper.make_attribute(name, inner) for name in names]
    if kind == "Scan":
        attributes.append(helper.make_attribute("num_scan_inputs", random.choice((1, 0, -1, 5))))
    inputs = [text(random.choice(("x", "", "c", "ghost"))) for _ in range(random.randint(0, 4))]
    node = helper.make_node(kind, inputs, ["nested", "y"])
    node.attribute.extend(attributes)
    model.graph.node.append(node)


CHANGES: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    *(reconnect, resize_ends, change_op, change_attribute, change_attribute, change_type, change_tensor),
    *(change_tensor, change_model, nest),
)


def damage(data: bytes, random: random.Random) -> bytes:
    """A sound model with one to five changes."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        if not model.graph.node:
            break
        random.choice(CHANGES)(model, random)
        if model.ByteSize() > 100_000:
            break
    return bytes(model.SerializeToString())


def _tensor(random: random.Random) -> onnx.TensorProto:
    dtype = random.choice(
        (np.float32, np.int64, np.int32, np.float16, np.bool_, np.uint8, np.int8, np.float64)
    )
    shape = [random.randint(0, 4) for _ in range(random.randint(0, 4))]
    if random.random() < 0.5:
        shape = [random.randint(0, 5)]
    values = [random.choice((0, 1, 2, 3, -1, 5)) for _ in range(int(np.prod(shape, dtype=int)))]
    array = np.array(values, dtype=np.int64).reshape(shape).astype(dtype)
    if np.dtype(dtype).kind == "i" and random.random() < 0.2:
        array = np.full(shape, integer(random) if dtype == np.int64 else 7, dtype)
    return numpy_helper.from_array(array, "t")


def _graph(random: random.Random) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("i", TensorProto.FLOAT, None if random.random() < 0.5 else [1])
    node = helper.make_node(random.choice(operators()), ["i"][: random.randint(0, 1)], ["o"])
    return helper.make_graph([node], "body", [value][: random.randint(0, 1)], [value][: random.randint(0, 1)])


_VALUES: dict[str, Callable[[random.Random], Any]] = {
    "INT": integer,
    "INTS": sizes,
    "FLOAT": lambda random: random.choice(FLOATS),
    "FLOATS": lambda random: [random.choice(FLOATS) for _ in range(random.randint(1, 4))],
    "STRING": lambda random: random.choice((*_TEXTS, *_EINSUM)),
    "STRINGS": lambda random: [random.choice(_TEXTS) for _ in range(random.randint(1, 4))],
    "TENSOR": _tensor,
    "GRAPH": _graph,
    "TYPE_PROTO": lambda random: helper.make_tensor_type_proto(random.choice((1, 7, 99)), sizes(random)),
}


def _attribute(name: str, kind: str, random: random.Random) -> onnx.AttributeProto:
    value = _VALUES[kind](random)
    attribute = onnx.AttributeProto(name=name, type=AttributeProto.AttributeType.Value(kind))
    if kind == "INT":
        attribute.i = value
    elif kind == "INTS":
        attribute.ints.extend(value)
    elif kind == "FLOAT":
        attribute.f = value
    elif kind == "FLOATS":
        attribute.floats.extend(value)
    elif kind == "STRING":
        attribute.s = value.encode() if random.random() < 0.9 else random.randbytes(4)
    elif kind == "STRINGS":
        attribute.strings.extend(text.encode() for text in value)
    elif kind == "TENSOR":
        attribute.t.CopyFrom(value)
    elif kind == "GRAPH":
        attribute.g.CopyFrom(value)
    else:
        attribute.tp.CopyFrom(value)
    return attribute


_ELEMENTS = (1, 1, 1, 1, 7, 7, 6, 9, 10, 3, 2, 11, 16, 8, 0, 22)


def single(schema: onnx.defs.OpSchema, random: random.Random) -> bytes:
    """A model of one node of an operator: attributes of the schema or others, inputs present or missing."""
    node = helper.make_node(schema.op_type if hasattr(schema, "op_type") else schema.name, [], [])
    node.domain = schema.domain
    for name, attribute in sorted(schema.attributes.items()):
        if random.random() < (0.95 if attribute.required else 0.4):
            kind = attribute.type.name
            if kind not in _VALUES or random.random() < 0.1:
                kind = random.choice(tuple(_VALUES))
            node.attribute.append(_attribute(name, kind, random))
    count = min(schema.max_input, 6)
    count = random.randint(min(schema.min_input, count), count)
    if random.random() < 0.1:
        count = random.randint(0, 4)
    graph = onnx.GraphProto(name="g")
    for index in range(count):
        if random.random() < 0.08:
            node.input.append("")
            continue
        name = f"i{index}"
        node.input.append(name)
        if index and random.random() < 0.6:
            tensor = _tensor(random)
            tensor.name = name
            graph.initializer.append(tensor)
            continue
        value = graph.input.add(name=name)
        value.type.tensor_type.elem_type = random.choice(_ELEMENTS)
        if random.random() < 0.1:
            _set_type(value.type, random)
        elif random.random() < 0.85:
            for size in (
                sizes(random)
                if random.random() < 0.3
                else [random.randint(1, 6) for _ in range(random.randint(0, 5))]
            ):
                value.type.tensor_type.shape.dim.add().dim_value = size
            if value.type.tensor_type.shape.dim and random.random() < 0.3:
                random.choice(value.type.tensor_type.shape.dim).dim_param = "N"
    outputs = min(max(schema.min_output, 1), 4) if random.random() < 0.8 else random.randint(0, 4)
    node.output.extend(f"o{index}" for index in range(outputs))
    graph.node.append(node)
    if random.random() < 0.3 and outputs:
        graph.node.append(helper.make_node(random.choice(operators()), ["o0", *node.input[1:2]], ["z"]))
    for name in (*node.output, "z")[: random.randint(1, 3)]:
        graph.output.add(name=name).type.tensor_type.elem_type = 1
    version = schema.since_version if random.random() < 0.7 else schema.since_version + random.randrange(9)
    imports = [helper.make_opsetid(schema.domain, version)]
    if schema.domain:
        imports.append(helper.make_opsetid("", 17))
    model = onnx.ModelProto(ir_version=random.choice((3, 8, 10)), graph=graph, opset_import=imports)
    return bytes(model.SerializeToString())


def swept(schema: onnx.defs.OpSchema, turn: int, random: random.Random) -> bytes:
    """A node of an operator: without inputs, without attributes, with those of other types, or as drawn."""
    model = onnx.ModelProto.FromString(single(schema, random))
    node = model.graph.node[0]
    if turn == 0:
        del node.input[:]
    elif turn == 1:
        del node.attribute[:]
    elif turn == 2:
        del node.attribute[:]
        for name in sorted(schema.attributes):
            node.attribute.append(_attribute(name, random.choice(tuple(_VALUES)), random))
    elif turn == 3:
        for index in range(len(node.input)):
            node.input[index] = random.choice(("", node.input[index]))
    return bytes(model.SerializeToString())
