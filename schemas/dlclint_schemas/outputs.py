"""What an op's output can be, whatever it reads, and which of these ranges HTP expects as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from dlclint_schemas.record import record
from dlclint_schemas.resource import load


@record
class OutputRange:
    """The values that an op can produce: `low` to `high`, of which one may be infinite.

    `fixed` says that HTP expects the whole range on the output's grid, and `since` from which Hexagon
    version AIMET's configurations write it so; before, they calibrate it.
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
    """Of `op_outputs`, those that lie between two numbers."""
    ends = {op: (known.low, known.high) for op, known in op_outputs().items()}
    return MappingProxyType({op: both for op, both in ends.items() if all(map(math.isfinite, both))})


@cache
def fused_behind() -> frozenset[str]:
    """The ops inside which a Relu or Clip after them runs, so that only its grid is left of the bound."""
    return frozenset(load("op_outputs")["fused_behind"]["ops"])
