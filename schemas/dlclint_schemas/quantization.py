"""Quantization facts: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models, and Tools."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from dlclint_schemas.record import record
from dlclint_schemas.resource import frozen, load


@cache
def quantization_facts() -> Mapping[str, Any]:
    """The page as data: algorithm, bit widths, overrides, examples; read once."""
    facts: Mapping[str, Any] = frozen(load("snpe_quantization"))
    return facts


@cache
def _tools() -> dict[str, Any]:
    return dict(load("snpe_quantizer_options")["tools"])


@cache
def tool_options(tool: str) -> Mapping[str, Mapping[str, Any]]:
    """The options of a tool by name, read once.

    Raises:
        KeyError: the page has no such tool.
    """
    rows = _tools()[tool]["options"]
    return {row["name"]: frozen(row) for row in rows}


def widths(kind: str) -> frozenset[int]:
    """The documented bit widths of weights, activations, bias, float or float_bias."""
    return frozenset(quantization_facts()["bit_widths"][kind]["allowed"])


@record
class Compatibility:
    """How a runtime takes a DLC of one kind: at all, unchanged, and what happens otherwise."""

    accepted: bool
    as_is: bool
    condition: str
    """The condition of `as_is`, if there is one; else ""."""
    effect: str


@cache
def runtime_compatibility() -> Mapping[tuple[str, bool], Compatibility]:
    """By (runtime: cpu, gpu, dsp or aip; whether the DLC is quantized), read once."""
    rows = load("snpe_quantization")["runtime_compatibility"]
    compatibilities = {}
    for row in rows:
        native = row["native"]
        compatibilities[row["runtime"], row["dlc"] == "quantized"] = Compatibility(
            row["compatible"],
            native is True,
            native if isinstance(native, str) else "",
            row["effect"],
        )
    return MappingProxyType(compatibilities)
