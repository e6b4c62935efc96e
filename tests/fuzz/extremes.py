"""Each field of each sound model in turn, with each value that breaks arithmetic, lists or indices.

The random mutations rarely give a field a value that is whole in itself and wrong: a shape of infinite floats
with as many elements as before, a scale of strings, an axis of -2**63. Here the number of an input says which
field gets which value; numbers beyond the last one change two fields or three.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto

from . import seeds
from .structure import FLOATS, INTEGERS, nodes_of

Change = Callable[[Any], None]
"""Gives a field, a message of the model, another value in place."""
Field = tuple[str, int]
"""The kind of a field and its number among those of its kind."""
_WHOLE = (*INTEGERS, -7, (1 << 31) - 1, 1 << 62)
_REAL = (*FLOATS, -0.0, -3.4e38, 2.0**63, 1e-12)
_WIDE = (1e300, -1e300, 5e-324)
"""Numbers of 64 bits that no float32 holds."""
_TYPES = (
    *(TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.BOOL),
    *(TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.STRING),
    *(TensorProto.COMPLEX64, TensorProto.INT4, TensorProto.FLOAT8E4M3FN, TensorProto.UINT64, 0, 99),
)
_SHAPES: tuple[tuple[int, ...], ...] = (
    *((), (0,), (1,), (2,), (5,), (4096,), (1, 1), (0, 0), (2, 2), (3, 2), (1, 1, 1, 1), (3, 1, 1, 1, 1, 1)),
)
_DIMS = (0, 1, 2, -1, 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1, -(1 << 63), "N", "", None)
_OPS = (
    *(
        "Add",
        "ArgMax",
        "Attention",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
    ),
    *("ConstantOfShape", "Conv", "ConvTranspose", "CumSum", "DepthToSpace", "DequantizeLinear", "Div"),
    *(
        "Einsum",
        "Expand",
        "Flatten",
        "Gather",
        "Gemm",
        "GridSample",
        "Identity",
        "If",
        "InstanceNormalization",
    ),
    *("LSTM", "LayerNormalization", "MatMul", "MaxPool", "Mul", "NonZero", "OneHot", "Pad", "Pow"),
    *("QuantizeLinear", "Range", "ReduceMean", "Relu", "Reshape", "Resize", "ScatterND", "Shape", "Slice"),
    *("Softmax", "Split", "Squeeze", "Tile", "TopK", "Transpose", "Unsqueeze", "Where"),
)
_LISTS = ((), (0,), (-1,), (1, 1), (-1, 0, 1, 2), (1 << 62,) * 3, (1,) * 40, (0,) * 4)
_VERSIONS = (0, 1, 5, 7, *range(9, 14), 15, *range(17, 26), 1 << 31, (1 << 63) - 1)
_FEW = 4096
"""Elements that a tensor gets at most."""


def _fill(tensor: onnx.TensorProto, kind: int, dims: Sequence[int], value: float) -> None:
    """A tensor's values, all the same, as its type stores them."""
    count = math.prod(dims)
    count = count if 0 <= count <= _FEW else 0
    tensor.CopyFrom(TensorProto(name=tensor.name, data_type=kind, dims=dims))
    is_whole = math.isfinite(value) and value == int(value)
    if kind == TensorProto.STRING:
        tensor.string_data.extend([b"x"] * count)
    elif kind in (TensorProto.FLOAT, TensorProto.COMPLEX64):
        tensor.float_data.extend([value] * count * (2 if kind == TensorProto.COMPLEX64 else 1))
    elif kind == TensorProto.DOUBLE:
        tensor.double_data.extend([value] * count)
    elif kind == TensorProto.INT64:
        tensor.int64_data.extend([int(value) if is_whole else 1] * count)
    elif kind == TensorProto.UINT64:
        tensor.uint64_data.extend([(1 << 64) - 1] * count)
    elif kind in (0, 99):
        tensor.raw_data = b"\1" * count
    else:
        fits = is_whole and abs(value) < 1 << 31
        tensor.int32_data.extend([int(value) if fits else 0x7F80] * count)


def _tensor_changes() -> Iterator[Change]:
    for value in _REAL:
        yield lambda tensor, value=value: _fill(tensor, TensorProto.FLOAT, list(tensor.dims), value)
    for value in _WIDE:
        yield lambda tensor, value=value: _fill(tensor, TensorProto.DOUBLE, list(tensor.dims), value)
    for value in _WHOLE:
        yield lambda tensor, value=value: _fill(tensor, TensorProto.INT64, list(tensor.dims), value)
    for kind in _TYPES:
        yield lambda tensor, kind=kind: _fill(tensor, kind, list(tensor.dims), 1)
    for shape in _SHAPES:
        yield lambda tensor, shape=shape: _fill(tensor, TensorProto.FLOAT, shape, 1)
        yield lambda tensor, shape=shape: _fill(tensor, TensorProto.INT64, shape, 1)
        yield lambda tensor, shape=shape: _fill(tensor, tensor.data_type, shape, 1)
    for dim in (-1, 1 << 40):
        yield lambda tensor, dim=dim: tensor.dims.__setitem__(slice(None), [dim] * max(1, len(tensor.dims)))
    yield lambda tensor: tensor.dims.append(1)
    for data in (b"", b"\1\2\3"):
        yield lambda tensor, data=data: tensor.CopyFrom(
            TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=data)
        )


def _set_attribute(attribute: onnx.AttributeProto, kind: int, **value: Any) -> None:
    attribute.CopyFrom(AttributeProto(name=attribute.name, type=kind, **value))  # type: ignore[arg-type]


def _whole_attribute(attribute: onnx.AttributeProto, value: int) -> None:
    if attribute.type == AttributeProto.INTS:
        attribute.ints[:] = [value] * max(1, len(attribute.ints))
    else:
        _set_attribute(attribute, AttributeProto.INT, i=value)


def _lengthen(attribute: onnx.AttributeProto) -> None:
    attribute.ints.append(1)


def _shorten(attribute: onnx.AttributeProto) -> None:
    del attribute.ints[-1:]


def _attribute_changes() -> Iterator[Change]:
    for value in _WHOLE:
        yield lambda attribute, value=value: _whole_attribute(attribute, value)
    for values in _LISTS:
        yield lambda attribute, values=values: _set_attribute(attribute, AttributeProto.INTS, ints=values)
    for real in _REAL:
        yield lambda attribute, real=real: _set_attribute(attribute, AttributeProto.FLOAT, f=real)
    for reals in ((), (float("nan"),)):
        yield lambda attribute, reals=reals: _set_attribute(attribute, AttributeProto.FLOATS, floats=reals)
    for data in (b"", b"\xff\x1b", b"SAME_UPPER"):
        yield lambda attribute, data=data: _set_attribute(attribute, AttributeProto.STRING, s=data)
    for shape in ((), (0,), (3, 2)):
        tensor = TensorProto(name="t")
        _fill(tensor, TensorProto.INT64, shape, -1)
        yield lambda attribute, tensor=tensor: _set_attribute(attribute, AttributeProto.TENSOR, t=tensor)
    yield _lengthen
    yield _shorten
    yield lambda attribute: setattr(attribute, "name", "gone")
    yield lambda attribute: setattr(attribute, "ref_attr_name", "which")


def _change_dim(value: onnx.ValueInfoProto, axis: int, dim: int | str | None) -> None:
    dims = value.type.tensor_type.shape.dim
    if dims:
        changed = dims[axis % len(dims)]
        changed.Clear()
        if isinstance(dim, int):
            changed.dim_value = dim
        elif dim is not None:
            changed.dim_param = dim


def _change_dims(value: onnx.ValueInfoProto, dim: int | str | None) -> None:
    for axis in range(len(value.type.tensor_type.shape.dim)):
        _change_dim(value, axis, dim)


def _add_dims(value: onnx.ValueInfoProto, rank: int, dim: int) -> None:
    dims = value.type.tensor_type.shape.dim
    for _ in range(len(dims), rank):
        dims.add().dim_value = dim


def _sequence(value: onnx.ValueInfoProto) -> None:
    value.type.Clear()
    value.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT


def _type_changes() -> Iterator[Change]:
    for axis, dim in itertools.product((0, 1, -1), _DIMS):
        yield lambda value, axis=axis, dim=dim: _change_dim(value, axis, dim)
    for dim in (0, 1, 1 << 31, 1 << 62, "N", None):
        yield lambda value, dim=dim: _change_dims(value, dim)
    for kind in _TYPES:
        yield lambda value, kind=kind: setattr(value.type.tensor_type, "elem_type", kind)
    for rank, size in ((1, 1), (6, 2), (150, 1000)):
        yield lambda value, rank=rank, size=size: _add_dims(value, rank, size)
    yield lambda value: _add_dims(value, len(value.type.tensor_type.shape.dim) + 1, 1)
    yield lambda value: value.type.tensor_type.shape.dim.__delitem__(slice(-1, None))
    yield lambda value: value.type.tensor_type.shape.CopyFrom(onnx.TensorShapeProto())
    yield lambda value: value.type.tensor_type.ClearField("shape")
    yield lambda value: value.ClearField("type")
    yield _sequence


def _set_input(node: onnx.NodeProto, position: int, name: str) -> None:
    if position < len(node.input):
        node.input[position] = name


def _swap(node: onnx.NodeProto) -> None:
    node.input[:2] = node.input[:2][::-1]


def _node_changes() -> Iterator[Change]:
    for position in range(3):
        yield lambda node, at=position: node.input.__delitem__(slice(at, at + 1))
        yield lambda node, at=position: _set_input(node, at, "")
        yield lambda node, at=position: _set_input(node, at, (*node.output, "")[0])
    yield lambda node: node.input.__setitem__(slice(None), list(node.input[:1]) * len(node.input))
    yield _swap
    for field in ("input", "output", "attribute"):
        yield lambda node, field=field: node.ClearField(field)
    yield lambda node: node.output.__setitem__(slice(0, 1), [""])
    yield lambda node: node.output.extend(list(node.output[:1]))
    yield lambda node: node.input.extend(["x", "", "nosuch"])
    yield lambda node: node.output.extend(["", "more", "more"])
    for domain in ("ai.onnx", "com.microsoft"):
        yield lambda node, domain=domain: setattr(node, "domain", domain)
    for op in _OPS:
        yield lambda node, op=op: setattr(node, "op_type", op)


def _import(model: onnx.ModelProto, version: int) -> None:
    for opset in model.opset_import:
        if not opset.domain:
            opset.version = version


def _declare(ends: Any, model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        ends.add().name = tensor.name


def _make_twice(model: onnx.ModelProto) -> None:
    first, last = model.graph.node[0].output, model.graph.node[-1].output
    if first and last:
        last[0] = first[0]


def _pass_through(model: onnx.ModelProto) -> None:
    if model.graph.input and model.graph.output:
        model.graph.output[0].name = model.graph.input[0].name


def _model_changes() -> Iterator[Change]:
    for version in _VERSIONS:
        yield lambda model, version=version: _import(model, version)
    for field in ("input", "output", "initializer"):
        yield lambda model, field=field: model.graph.ClearField(field)
    yield lambda model: model.graph.node.reverse()
    yield lambda model: model.graph.node.extend(list(model.graph.node))
    yield lambda model: _declare(model.graph.input, model)
    yield lambda model: _declare(model.graph.output, model)
    yield _make_twice
    yield _pass_through


_CHANGES: dict[str, tuple[Change, ...]] = {
    "tensor": tuple(_tensor_changes()),
    "attribute": tuple(_attribute_changes()),
    "type": tuple(_type_changes()),
    "node": tuple(_node_changes()),
    "model": tuple(_model_changes()),
}


def _fields(model: onnx.ModelProto) -> dict[str, list[Any]]:
    nodes = nodes_of(model)
    attributes = [attribute for node in nodes for attribute in node.attribute]
    graph = model.graph
    return {
        "tensor": [*graph.initializer, *(a.t for a in attributes if a.type == AttributeProto.TENSOR)],
        "attribute": [a for a in attributes if a.type != AttributeProto.GRAPH],
        "type": [*graph.input, *graph.output, *graph.value_info],
        "node": nodes,
        "model": [model],
    }


@functools.cache
def _singles() -> Sequence[tuple[int, str, int, int]]:
    """Number of the model, kind and number of the field, number of the change: all of them, shuffled."""
    every = [
        (number, kind, at, change)
        for number, data in enumerate(seeds.models())
        for kind, fields in _fields(onnx.ModelProto.FromString(data)).items()
        for at in range(len(fields))
        for change in range(len(_CHANGES[kind]))
    ]
    random.Random(0).shuffle(every)
    return tuple(every)


def singles() -> int:
    """How many inputs change one field."""
    return len(_singles())


def extreme(index: int, random: random.Random) -> bytes:
    """A sound model with one extreme, or with two or three from number `singles()` on."""
    if index < singles():
        number, kind, at, change = _singles()[index]
        model = onnx.ModelProto.FromString(seeds.models()[number])
        _apply(model, kind, at, change)
        return bytes(model.SerializeToString())
    model = onnx.ModelProto.FromString(random.choice(seeds.models()))
    for _ in range(random.choice((2, 2, 3))):
        fields = _fields(model)
        kind = random.choice([kind for kind, members in fields.items() if members])
        _apply(model, kind, random.randrange(len(fields[kind])), random.randrange(len(_CHANGES[kind])))
    return bytes(model.SerializeToString())


def _apply(model: onnx.ModelProto, kind: str, at: int, change: int) -> None:
    _CHANGES[kind][change](_fields(model)[kind][at])
