"""Grids that HTP computes with: weight scales with which biases fit into int32, and ranges wide enough.

A bias is stored as an integer at input scale times weight scale. Where a channel's weights are almost zero,
or both scales are those of 16 bits, that product is so small that the bias exceeds int32 and is clipped: with
one such channel a layer measured 0.46 dB on HTP, and 44.9 dB with a larger weight scale.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace

import numpy as np

from dlclint.model.op_facts import Role
from dlclint.simulate.limits import fit_ranges
from dlclint.simulate.network import Network
from dlclint.simulate.scheme import Scheme, what

_ROOM = 2.0**30
"""Half of int32, so that the sum that starts at the bias has room as well."""


def fit_grids(
    network: Network, scheme: Scheme, shared: Mapping[str, str], kept: Container[str] = frozenset()
) -> None:
    """Fit the ranges of a scheme (see `fit_ranges`), then the weight scales, which depend on them."""
    fit_ranges(network, scheme, shared, kept)
    fit_biases(network, scheme)


def fit_biases(network: Network, scheme: Scheme) -> int:
    """Raise the weight scales of a scheme whose biases would be clipped; returns the number of channels."""
    raised = 0
    for step in network.steps:
        if len(step.inputs) < 3 or not step.inputs[2] or what(step, 2, network) is not Role.BIAS:
            continue
        width = scheme.width(step)
        data, weight = scheme.read(step.inputs[0], width), scheme.params.get(step.inputs[1])
        if width is None or data is None or weight is None or weight.block is not None:
            continue
        bias = np.abs(network.constants[step.inputs[2]].astype(np.float64)).reshape(-1)
        if weight.scale.size == 1:
            needed = np.full(weight.scale.shape, bias.max(initial=0.0))
        elif bias.size % weight.scale.size == 0:
            needed = bias.reshape(-1, weight.scale.size).max(axis=0)
        else:
            continue
        least = needed / (data.scale * _ROOM)
        if (weight.scale >= least).all():
            continue
        raised += int((weight.scale < least).sum())
        scale = np.maximum(weight.scale, least).astype(np.float32).astype(np.float64)
        scheme.params[step.inputs[1]] = replace(weight, scale=scale)
    return raised
