"""Attributes of nodes: their values, and their types in the operators' schemas."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import onnx

DOMAINS = ("", "ai.onnx.ml")
"""Domains whose operators the onnx package knows."""
_NEWEST = (1 << 31) - 1


@lru_cache(maxsize=4096)
def schema_of(op_type: str, domain: str, opset: int) -> onnx.defs.OpSchema | None:
    """The schema that a node at this opset resolves to, or None."""
    try:
        return onnx.defs.get_schema(op_type, max_inclusive_version=opset, domain=domain)
    except (onnx.defs.SchemaError, TypeError):  # TypeError: a version beyond 32 bits
        return None


@lru_cache(maxsize=4096)
def input_parameters(op_type: str, domain: str, opset: int) -> tuple[str, ...]:
    """The type parameter of each input, such as T; "" where types may differ. A variadic last one repeats."""
    schema = schema_of(op_type, domain, opset)
    stated = () if schema is None else schema.inputs
    return tuple(formal.type_str if formal.is_homogeneous else "" for formal in stated)


@lru_cache(maxsize=4096)
def _stated(op_type: str, domain: str, opset: int | None) -> Mapping[str, tuple[int, onnx.AttributeProto]]:
    """Type and default of each attribute of a schema, cached: the registry is slower than most rules."""
    schema = None if opset is None else schema_of(op_type, domain, opset)
    attributes = {} if schema is None else schema.attributes
    return {
        name: (int(stated.type), stated.default_value)  # type: ignore[call-overload]
        for name, stated in attributes.items()
    }


def mistaken_type(op_type: str, domain: str, opset: int | None, proto: onnx.AttributeProto) -> int | None:
    """The type (AttributeProto.AttributeType) that an attribute should have; None where it has that type.

    Where the operator has no such attribute at this opset, its other versions determine the type; where no
    operator of this name has it, any type is accepted.
    """
    stated = _stated(op_type, domain, opset).get(proto.name)
    wanted = _type_in_other_versions(op_type, proto.name) if stated is None else stated[0]
    return wanted if wanted is not None and wanted != proto.type else None


@lru_cache(maxsize=4096)
def _type_in_other_versions(op_type: str, attribute: str) -> int | None:
    """The type of an attribute in the newest version of an operator that has it; None where none has."""
    for domain in DOMAINS:
        version = _NEWEST
        while version:
            schema = schema_of(op_type, domain, version)
            if schema is None:
                break
            stated = _stated(op_type, domain, version).get(attribute)
            if stated is not None:
                return stated[0]
            version = int(schema.since_version) - 1
    return None


def default_of(op_type: str, domain: str, opset: int | None, attribute: str) -> Any:
    """The value that an attribute has by default; None where the schema states none."""
    stated = _stated(op_type, domain, opset).get(attribute)
    return None if stated is None else value_of(stated[1])


def type_name(kind: int) -> str:
    """The name of an attribute's type, such as INTS."""
    return str(onnx.AttributeProto.AttributeType.Name(kind))


def value_of(proto: onnx.AttributeProto) -> Any:
    """An attribute's value: strings as str, lists as lists, tensors and graphs as messages; None if empty."""
    if proto.type == onnx.AttributeProto.UNDEFINED:
        return None
    try:
        value = onnx.helper.get_attribute_value(proto)
    except ValueError:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if proto.type == onnx.AttributeProto.STRINGS:
        return [element.decode("utf-8", "replace") for element in value]
    return list(value) if proto.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value
