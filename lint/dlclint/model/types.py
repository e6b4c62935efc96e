"""Element types and shapes of tensors, and how to combine two of them."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import onnx

if TYPE_CHECKING:
    import numpy as np

from dlclint_schemas.record import record

Dim = int | str | None
"""A size, a symbol, or unknown."""
LARGEST = (1 << 63) - 1
"""The most elements that 64 bits can count."""

_FLOATS = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
)


_PACKED = {
    getattr(onnx.TensorProto, name): bits
    for bits, names in {4: "UINT4 INT4 FLOAT4E2M1", 2: "UINT2 INT2", 6: "FLOAT6E2M3 FLOAT6E3M2"}.items()
    for name in names.split()
    if hasattr(onnx.TensorProto, name)
}
"""Bits of the types that are packed in raw data, as far as the installed onnx knows them."""


def numpy_type(data_type: int) -> np.dtype[Any] | None:
    """numpy's type for such elements; None for a number that onnx does not define."""
    try:
        dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(data_type)
    except (KeyError, ValueError, TypeError):
        return None
    return dtype


def bits_per_element(data_type: int) -> int:
    """Bits that one element takes in raw data; 0 for strings and unknown types."""
    if data_type in _PACKED:
        return _PACKED[data_type]
    dtype = numpy_type(data_type)
    return 0 if dtype is None or dtype.kind == "O" else dtype.itemsize * 8


def is_float(data_type: int) -> bool:
    """Whether an element type is a float that the converter takes (which excludes the 8-bit floats)."""
    return data_type in _FLOATS


@record
class TensorType:
    """Element type (onnx.TensorProto.DataType) and shape (None where even the rank is unknown)."""

    data_type: int
    shape: tuple[Dim, ...] | None

    @property
    def static_shape(self) -> tuple[int, ...] | None:
        """The shape if every dimension is a known size, and no more elements than 64 bits can count.

        Damaged files declare more, of which no float holds the number.
        """
        if self.shape is None:
            return None
        sizes = tuple(dim for dim in self.shape if isinstance(dim, int))
        is_possible = abs(math.prod(filter(None, sizes))) <= LARGEST
        return sizes if is_possible and len(sizes) == len(self.shape) else None

    @property
    def element(self) -> str:
        """The element type in ONNX's text form, such as uint8."""
        try:
            return str(onnx.TensorProto.DataType.Name(self.data_type)).lower()
        except ValueError:
            return f"type {self.data_type}"

    def __str__(self) -> str:
        name = self.element
        if self.shape is None:
            return f"{name}[?]"
        return f"{name}[{','.join(map(dim_text, self.shape))}]"


def dim_text(dim: Dim) -> str:
    """A size or symbol as shown to users; `?` for what inference computes from symbols."""
    return "?" if dim is None or (isinstance(dim, str) and "(" in dim) else str(dim)


def element_name(value_type: TensorType | None) -> str:
    """The element type in ONNX's text form; "" where it is unknown."""
    return "" if value_type is None else value_type.element


def tensor_type(proto: onnx.TypeProto) -> TensorType | None:
    """The type of a value, or None for sequences, maps and absent types."""
    if not proto.HasField("tensor_type"):
        return None
    inner = proto.tensor_type
    if not inner.HasField("shape"):
        return TensorType(inner.elem_type, None)
    dims: list[Dim] = []
    for dim in inner.shape.dim:
        kind = dim.WhichOneof("value")
        symbol = dim.dim_param
        # Shape inference invents symbols for unknown sizes; they name nothing that a user knows.
        known = symbol and not symbol.startswith("unk__")
        dims.append(dim.dim_value if kind == "dim_value" else symbol if known else None)
    return _shared(inner.elem_type, tuple(dims))


@lru_cache(maxsize=4096)
def _shared(data_type: int, shape: tuple[Dim, ...]) -> TensorType:
    """One object for all tensors of a type."""
    return TensorType(data_type, shape)


def is_complete(value_type: TensorType | None) -> bool:
    """Whether every dimension is a known size."""
    if value_type is None or value_type.shape is None:
        return False
    # A loop takes a third of the time of all(), and this runs for every node.
    for dim in value_type.shape:  # noqa: SIM110
        if not isinstance(dim, int):
            return False
    return True


def merged(known: TensorType | None, other: TensorType) -> TensorType:
    """The combination of two types of the same tensor; where they contradict, the first is kept."""
    if known is None:
        return other
    data_type = known.data_type or other.data_type
    if known.shape is None or other.shape is None or len(known.shape) != len(other.shape):
        return TensorType(data_type, other.shape if known.shape is None else known.shape)
    dims: list[Dim] = [
        new if old is None or (isinstance(old, str) and isinstance(new, int)) else old
        for old, new in zip(known.shape, other.shape, strict=True)
    ]
    return TensorType(data_type, tuple(dims))


def joined(one: TensorType | None, other: TensorType | None) -> TensorType | None:
    """What holds for a tensor that has one type or the other."""
    if one is None or other is None or one.data_type != other.data_type:
        return None
    if one.shape is None or other.shape is None or len(one.shape) != len(other.shape):
        return TensorType(one.data_type, None)
    same = zip(one.shape, other.shape, strict=True)
    return TensorType(one.data_type, tuple(a if a == b else None for a, b in same))
