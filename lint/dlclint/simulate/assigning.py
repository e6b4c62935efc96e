"""From settings, observed ranges and an override file to the grid of every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dlclint.analysis.roles import channel_axis
from dlclint.encodings import grid
from dlclint.model.op_facts import CLIPPING, CONVOLUTIONS, KEEPS_GRID, MOVES_ONE, Role
from dlclint.model.tensors import Array
from dlclint.simulate.limits import fit_ranges
from dlclint.simulate.network import Network, Step
from dlclint.simulate.observing import Observation
from dlclint.simulate.quantizers import activation_grid, param_grid
from dlclint.simulate.scheme import Grid, ParamGrid, Scheme, grid_of_range, what
from dlclint_schemas.outputs import bounded_outputs, op_outputs
from dlclint_schemas.quantization import quantization_facts
from dlclint_schemas.record import record
from dlclint_schemas.side_inputs import channel_scales, second_input

FIXED = {op: ends for op, ends in bounded_outputs().items() if op_outputs()[op].fixed}
"""Ops whose output HTP expects on the grid of the op's own bounds, in steps of a power of two: AIMET's
configurations for HTP fix them, and networks whose files have other grids lose their accuracy
(onnxruntime/onnxruntime-qnn issue 473).
"""
SCALE_RATIO = channel_scales().kept * 4.0
"""The smallest scale of a weight's channel divided by the largest: with some margin above the value from
which HTP saturates every value of a channel at 16-bit activations. The cost of a larger scale is less than a
step.
"""


@record
class Settings:
    """Widths and quantizers, by the names of snpe-dlc-quant."""

    act_bitwidth: int = 8
    weights_bitwidth: int = 8
    bias_bitwidth: int = 8
    per_channel: bool = False
    act_quantizer: str = "tf"
    param_quantizer: str = "tf"
    percentile: float = 99.99
    hexagon: int | None = None
    """The Hexagon version that the grids are for; None without a chip."""

    @property
    def needs_bins(self) -> bool:
        """Whether the ranges of activations depend on distributions."""
        return self.act_quantizer in ("enhanced", "percentile")


def leaders(network: Network) -> dict[str, str]:
    """For each tensor the one whose range it shares: the tensor itself where it shares none.

    An op that only moves or selects data keeps the grid of its input (AIMET's configuration for HTP quantizes
    none of these outputs), and in a supergroup that ends in Relu or Clip the grid is that of its end, on
    which the result does not change.
    """
    by_tensor = fused(network)

    def leader(name: str) -> str:
        while by_tensor.get(name, name) != name:
            name = by_tensor[name]
        return name

    for step in network.steps:
        if not step.official or not step.inputs:
            continue
        if step.op in KEEPS_GRID or step.op == "Pad":
            moved = step.outputs if step.op in MOVES_ONE else step.outputs[:1]
            for name in filter(None, moved):
                by_tensor[name] = leader(step.inputs[0])
    return {name: leader(name) for name in by_tensor}


def fused(network: Network) -> dict[str, str]:
    """Tensors whose only reader is a Relu or Clip in their supergroup, and the output of that op.

    Only the last op of a supergroup carries an encoding (AIMET's configuration for HTP), so that these
    are never stored.
    """
    groups = quantization_facts()["aimet_htp_config"]["supergroups"]
    ends = {(group[0], group[-1]) for group in groups if group[-1] in CLIPPING}
    readers = network.consumers()
    by_tensor = {}
    for step in network.steps:
        following = readers.get(step.outputs[0], ())
        if len(following) != 1 or step.outputs[0] in network.outputs or not step.official:
            continue
        end = following[0]
        if (step.op, end.op) in ends and end.official and end.inputs[0] == step.outputs[0]:
            by_tensor[step.outputs[0]] = end.outputs[0]
    return by_tensor


def second_inputs(network: Network, shared: Mapping[str, str]) -> frozenset[str]:
    """The leaders of the second operands of MatMul, where it multiplies two activations.

    HTP cuts such an operand to 8 bits unless it is symmetric, which 16 bits may be from Hexagon v73 on
    (measured).
    """
    names = set()
    for step in network.steps:
        if step.op == "MatMul" and step.official:
            first, second = step.inputs[:2]
            if first not in network.constants and second not in network.constants:
                names.add(shared.get(second, second))
    return frozenset(names)


def second_grid(low: float, high: float, hexagon: int | None) -> Grid:
    """At 16 bits, the grid of MatMul's second operand: symmetric, else with the 8 bits that remain."""
    if hexagon is not None and hexagon < second_input().kept_since:
        return grid_of_range(low, high, 8)
    encoding = grid.fit_symmetric(low, high, 16)
    return Grid(float(np.float32(encoding.scale)), 2**15, 16, symmetric=True)


def assign(
    network: Network, observed: Mapping[str, Observation], settings: Settings, shared: Mapping[str, str]
) -> Scheme:
    """A grid for every observed float tensor, and for every stored one that an op computes with.

    `shared` is the result of `leaders` for the network.
    """
    scheme = Scheme()
    makers = {name: step for step in network.steps for name in step.outputs if name}
    second = second_inputs(network, shared) if settings.act_bitwidth == 16 else frozenset()
    for name, seen in observed.items():
        if name in network.inner or not seen.is_seen:
            continue
        leader = shared.get(name, name)
        if leader not in scheme.activations:
            of = observed.get(leader, seen)
            if leader in network.constants:
                # The range is extended to zero before the minimum range applies: a stored 2 stays 2, not
                # 2.0001.
                of = replace(of, low=min(of.low, 0.0), high=max(of.high, 0.0))
            own_grid = _activation(makers.get(leader), of, settings)
            cut = leader in second and not own_grid.fixed
            scheme.activations[leader] = second_grid(of.low, of.high, settings.hexagon) if cut else own_grid
        scheme.activations[name] = scheme.activations[leader]
    for step in network.steps:
        for position, name in enumerate(step.inputs):
            if not name:
                continue
            role = what(step, position, network)
            if role is Role.WEIGHT and name not in scheme.params:
                values = network.constants[name]
                if values.dtype.kind == "f":
                    scheme.params[name] = weight_grid(step, position, values, settings)
            elif role is Role.BIAS and name not in scheme.biases and settings.bias_bitwidth < 32:
                values = network.constants[name]
                if values.dtype.kind == "f":
                    scheme.biases[name] = param_grid(values, settings.param_quantizer, settings.bias_bitwidth)
    fit_ranges(network, scheme, shared)
    return scheme


def fixed_grid(op: str, bitwidth: int) -> Grid | None:
    """The grid that an op's bounds determine; None for other ops."""
    bounds = FIXED.get(op)
    if bounds is None:
        return None
    low, high = bounds
    return Grid((high - low) / 2.0**bitwidth, 0 if low == 0 else 2 ** (bitwidth - 1), bitwidth, fixed=True)


def _activation(maker: Step | None, seen: Observation, settings: Settings) -> Grid:
    if maker is not None and maker.official:
        fixed = fixed_grid(maker.op, settings.act_bitwidth)
        if fixed is not None:
            return fixed
    return activation_grid(seen, settings.act_quantizer, settings.act_bitwidth, settings.percentile)


def weight_grid(step: Step, position: int, values: Array, settings: Settings) -> ParamGrid:
    """The grid of a weight: per channel for convolutions where that is set, else one grid.

    Factors of normalizations and slopes have 8 bits and one asymmetric grid: int8 is refused for them.
    """
    if what_gamma(step, position):
        return param_grid(values, "tf", 8)
    axis = None
    if settings.per_channel and step.op in CONVOLUTIONS and position == 1:
        axis = channel_axis(step.node, 1) % values.ndim
    result = param_grid(values, settings.param_quantizer, settings.weights_bitwidth, axis)
    if axis is None:
        return result
    least = result.scale.max(initial=0.0) * SCALE_RATIO
    return replace(result, scale=np.maximum(result.scale, least)) if (result.scale < least).any() else result


def what_gamma(step: Step, position: int) -> bool:
    """Whether an input is the factor of a normalization or a slope."""
    return position == 1 and (step.op.endswith("Normalization") or step.op == "PRelu")
