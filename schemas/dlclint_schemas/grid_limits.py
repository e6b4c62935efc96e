"""Grids on which HTP computes an op wrongly, as measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from dlclint_schemas.record import record
from dlclint_schemas.resource import load

_MARGIN = 1.001
"""Factor beyond a least step that a widened range gets, because float32 rounds the step."""
_NEAR = 0.995
"""Share of the least high end from which a grid counts as reaching it: a Sigmoid's ends at 255/256."""


@record
class GridLimit:
    """What the grid of an op's first input or output needs on HTP.

    `least_high` is the number that the range must reach, `least_step` the step that it must have; one of the
    two is None. `effect` is what HTP does otherwise, with fields for `op` and `factor`, which is 1 divided by
    the high end. `measured` names the measurement.
    """

    op: str
    is_output: bool
    bitwidths: frozenset[int]
    least_high: float | None
    least_step: float | None
    effect: str
    measured: str

    def tensor(self, inputs: Sequence[str], outputs: Sequence[str]) -> str:
        """Which of an op's tensors the limit is about; "" where the op has none."""
        return next(iter(outputs if self.is_output else inputs), "")

    def is_met(self, low: float, high: float, bitwidth: int) -> bool:
        """Whether HTP computes the op with a grid from `low` to `high`."""
        if bitwidth not in self.bitwidths:
            return True
        if self.least_high is not None:
            return high >= self.least_high * _NEAR
        span = self.least_span(bitwidth)
        return span is None or high - low >= span

    def least_span(self, bitwidth: int) -> float | None:
        """What a range of that bitwidth must span for the least step; None where no step is required."""
        return None if self.least_step is None else self.least_step * (2.0**bitwidth - 1)

    def widened(self, low: float, high: float, bitwidth: int) -> tuple[float, float]:
        """The smallest range that holds another one and meets the limit."""
        if self.is_met(low, high, bitwidth):
            return low, high
        if self.least_high is not None:
            # Where 0 is not the lowest number, the grid is shifted by less than a step for it.
            return low, self.least_high + (self.least_high - low) / (2.0**bitwidth - 1) * (low < 0)
        span = self.least_span(bitwidth)
        assert span is not None
        return low, low + span * _MARGIN


@cache
def grid_limits() -> Mapping[str, GridLimit]:
    """By ONNX op, read once."""
    data = load("measured_ranges")
    limits = {
        row["op"]: GridLimit(
            row["op"],
            row["tensor"] == "output",
            frozenset(row["bitwidths"]),
            row.get("least_high"),
            row.get("least_step"),
            row["effect"],
            data["source"]["document"],
        )
        for row in data["limits"]
    }
    return MappingProxyType(limits)
