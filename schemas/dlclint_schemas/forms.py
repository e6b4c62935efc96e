"""Forms of ops that HTP's validator refuses: ranks, element types, parameters.

Measured, and documented where the HTP op definition supplement covers them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.record import record
from dlclint_schemas.resource import load


@record
class RankLimit:
    """The highest rank that HTP supports for an op, and whether the supplement agrees."""

    rank: int
    documented: bool


@record
class ParameterLimit:
    """The values of an attribute that HTP supports; `types` are element types, none for all."""

    attribute: str
    takes: tuple[Any, ...]
    types: frozenset[str]


@record
class FilterStretch:
    """The number of bytes of the input from which a filter that spans them along an axis does not compile."""

    bytes: int
    bytes_v68: int
    width_multiple: int
    channels_multiple: int


@record
class Forms:
    """Everything by ONNX op; element types are named as in ONNX text, such as uint8 or float."""

    max_rank: Mapping[tuple[str, bool], RankLimit]
    """By op and whether it is quantized."""
    max_rank_of_types: Mapping[tuple[str, str], RankLimit]
    """By op and element type of its first input; for a Cast in float16 `float to bool` and the
    reverse, for a Pad its mode.
    """
    one_axis_at_rank_5: frozenset[str]
    """Ops that reduce five dimensions in float over one axis only."""
    refused_exponents: frozenset[str]
    """Element types of a stored exponent that a float Pow has no form for."""
    booleans_uncast: frozenset[str]
    """Ops after which booleans have no quantized Cast to float."""
    where_not_of_nan: frozenset[int]
    """Hexagon versions on which a quantized Where has no form for the condition IsNaN."""
    refused_types: Mapping[str, frozenset[str]]
    refused_outputs: Mapping[str, frozenset[str]]
    """Element types that an op cannot produce."""
    refused_graph_outputs: Mapping[tuple[str, str], frozenset[str]]
    """By op and element type of an output of the model: the types of the op's first input, or `stored`,
    `produced` or `input` where it is stored, produced by a node, or an input of the model.
    """
    filter_stretch: FilterStretch
    float64_taken: frozenset[str]
    taken_though_denied: frozenset[tuple[str, bool]]
    """Op and whether quantized: the SNPE layer table says no, the validator yes."""
    parameters: Mapping[str, tuple[ParameterLimit, ...]]
    refused_equations: frozenset[str]
    """Equations of Einsum, with the letters a, b, c in the order in which they occur."""
    measured: str
    supplement: str


@cache
def htp_forms() -> Forms:
    """The facts, read once."""
    data = load("measured_forms")
    ranks = {
        (op, kind == "quantized"): RankLimit(
            stretches["measured"], stretches.get("document") == stretches["measured"]
        )
        for op, kinds in data["max_rank"].items()
        for kind, stretches in kinds.items()
    }
    ranks_of_types = {
        (op, element): RankLimit(limit["measured"], "document" in limit)
        for op, elements in data["max_rank_of_types"].items()
        for element, limit in elements.items()
    }
    parameters: dict[str, tuple[ParameterLimit, ...]] = {}
    for row in data["parameters"]:
        limit = ParameterLimit(row["attribute"], tuple(row["takes"]), frozenset(row["types"]))
        parameters[row["op"]] = (*parameters.get(row["op"], ()), limit)
    return Forms(
        MappingProxyType(ranks),
        MappingProxyType(ranks_of_types),
        frozenset(data["one_axis_at_rank_5"]),
        frozenset(data["refused_exponents"]),
        frozenset(data["booleans_uncast"]),
        frozenset(data["where_not_of_nan"]),
        MappingProxyType({op: frozenset(types) for op, types in data["refused_types"].items()}),
        MappingProxyType({op: frozenset(types) for op, types in data["refused_outputs"].items()}),
        MappingProxyType(
            {
                (op, output): frozenset(read)
                for op, types in data["refused_graph_outputs"].items()
                for output, read in types.items()
            }
        ),
        FilterStretch(**data["filter_stretch"]),
        frozenset(data["float64_taken"]),
        frozenset(
            (op, kind == "quantized") for op, kinds in data["taken_though_denied"].items() for kind in kinds
        ),
        MappingProxyType(parameters),
        frozenset(data["refused_equations"]),
        str(data["source"]["document"]),
        str(data["source"]["supplement"]),
    )
