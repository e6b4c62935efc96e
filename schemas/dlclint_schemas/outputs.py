"""The possible range of an op's output, whatever its input, and which of these ranges HTP expects whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from dlclint_schemas.record import record
from dlclint_schemas.resource import load


@record
class OutputRange:
    """The values that an op can produce: `low` to `high`, one of which may be infinite.

    `fixed` means that HTP expects the whole range on the output's grid, and `since` is the Hexagon version
    from which AIMET's configurations write it so; for older ones, they calibrate it.
    """

    op: str
    low: float
    high: float
    fixed: bool
    since: int
    source: str


@cache
def op_outputs() -> Mapping[str, OutputRange]:
    """By ONNX op, read once. Clip, whose bounds are its inputs, is not among them."""
    rows = load("op_outputs")["outputs"]
    return MappingProxyType(
        {
            row["op"]: OutputRange(
                row["op"],
                row.get("low", -math.inf),
                row.get("high", math.inf),
                row.get("fixed", False),
                row.get("since", 0),
                row["source"],
            )
            for row in rows
        }
    )


@cache
def bounded_outputs() -> Mapping[str, tuple[float, float]]:
    """Those of `op_outputs` that are between two numbers."""
    ends = {op: (known.low, known.high) for op, known in op_outputs().items()}
    return MappingProxyType({op: both for op, both in ends.items() if all(map(math.isfinite, both))})


@cache
def fused_behind() -> frozenset[str]:
    """The ops inside which a Relu or Clip after them runs, so that only its grid keeps the bound."""
    return frozenset(load("op_outputs")["fused_behind"]["ops"])
