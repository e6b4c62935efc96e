"""Ranges that HTP needs to compute an op, whatever the calibration saw."""

from __future__ import annotations

from collections.abc import Container, Mapping

from dlclint.simulate.network import Network
from dlclint.simulate.scheme import Scheme, grid_of_range
from dlclint_schemas.grid_limits import grid_limits


def fit_ranges(
    network: Network, scheme: Scheme, shared: Mapping[str, str], kept: Container[str] = frozenset()
) -> None:
    """Widen the grids of a scheme on which HTP computes an op wrongly (`dlclint_schemas.grid_limits`).

    `shared` is the result of `leaders` for the network; the grids of leaders that are `kept` stay.
    """
    for step in network.steps:
        limit = grid_limits().get(step.op) if step.official else None
        if limit is None:
            continue
        name = limit.tensor(step.inputs, step.outputs)
        grid, leader = scheme.activations.get(name), shared.get(name, name)
        if grid is None or grid.fixed or leader in kept or limit.is_met(grid.low, grid.high, grid.bitwidth):
            continue
        wide = grid_of_range(*limit.widened(grid.low, grid.high, grid.bitwidth), grid.bitwidth)
        for other in scheme.activations:
            if shared.get(other, other) == leader:
                scheme.activations[other] = wide
