"""A first override file: encodings of the weights, and estimated ones of activations if wanted."""

from __future__ import annotations

import numpy as np

from dlclint import __version__
from dlclint.analysis.plan.figures import carried
from dlclint.analysis.plan.model import Choice, Plan
from dlclint.analysis.roles import CONVOLUTIONS
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.clipping import best_clipping
from dlclint.analysis.weights.statistics import Floats
from dlclint.analysis.weights.store import ConvertedWeight
from dlclint.encodings import grid
from dlclint.encodings.convert import Entry, written
from dlclint.model.tensors import Unavailable
from dlclint.target import Runtime
from dlclint_schemas.thresholds import threshold


def overrides(view: ModelView, plan: Plan, version: str, activations: bool) -> str:
    """The override file of a plan as text.

    Weights of convolutions get a symmetric encoding for each channel if the plan chose that, all others
    one for the tensor; a batch normalisation that the converter folds is folded in. Biases get none:
    the quantizer's --bias_bitwidth sets them. `activations`: those with an estimated range get an
    encoding too, of 16 bits for the few that the plan found too narrow for 8.
    """
    entries = _weights(view, plan.choice)
    if activations:
        entries += _activations(view, plan)
    return written(entries, version, {"package": "dlclint", "version": __version__})


def _weights(view: ModelView, choice: Choice) -> list[Entry]:
    by_name: dict[str, list[ConvertedWeight]] = {}
    for weight in view.weights.converted():
        if weight.statistics.finite == weight.statistics.count:
            by_name.setdefault(weight.name, []).append(weight)
    return [_weight(name, uses, choice) for name, uses in by_name.items()]


def _weight(name: str, uses: list[ConvertedWeight], choice: Choice) -> Entry:
    """One entry for a tensor, whatever number of ops read it."""
    first, bits = uses[0], choice.weights_bitwidth
    axes = {use.use.axis for use in uses}
    convolved = all(use.use.node.op_type in CONVOLUTIONS for use in uses)
    by_channel = choice.per_channel and convolved and len(axes) == 1
    if by_channel:
        low: Floats = np.min([use.minimum for use in uses], axis=0)
        high: Floats = np.max([use.maximum for use in uses], axis=0)
    else:
        low, high = np.array([min(use.low for use in uses)]), np.array([max(use.high for use in uses)])
        if choice.param_quantizer == "enhanced" and len(uses) == 1:
            low, high = _searched(first, bits, low, high)
    symmetric = by_channel or choice.param_quantizer == "symmetric"
    made = (grid.fit_symmetric if symmetric else grid.fit)(low, high, bits)
    axis = first.use.axis % len(first.use.tensor.shape) if by_channel and first.use.axis is not None else None
    return _entry(name, True, made, symmetric, by_channel, axis)


def _searched(weight: ConvertedWeight, bits: int, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    try:
        found = best_clipping(weight, bits, threshold("long_tail_gain"))
    except Unavailable:
        found = None
    return (low, high) if found is None else (np.array([found.low]), np.array([found.high]))


def _activations(view: ModelView, plan: Plan) -> list[Entry]:
    entries = []
    wide = {row.tensor for row in plan.narrow} if plan.choice.runtime is Runtime.HTP else set()
    for name, _ in carried(view):
        estimate = view.activations.get(name)
        if estimate is not None:
            bits = 16 if name in wide else plan.choice.act_bitwidth
            made = grid.fit([estimate.minimum], [estimate.maximum], bits)
            entries.append(_entry(name, False, made, False, False, None))
    return entries


def _entry(
    name: str, is_param: bool, made: grid.Encoding, symmetric: bool, by_channel: bool, axis: int | None
) -> Entry:
    bits = int(made.bitwidth.reshape(-1)[0])
    scale = tuple(made.scale.reshape(-1).tolist())
    offset = tuple(int(place) for place in made.offset.reshape(-1))
    return Entry(name, is_param, False, bits, symmetric, by_channel, scale, offset, axis)
