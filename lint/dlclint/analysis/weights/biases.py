"""What 8 bits do to a bias: its error compared with the steps of the sum that it is added to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dlclint.analysis.roles import (
    absorbed_chain,
    added_bias,
    bias_name,
    fold_factors,
    folded_norm,
    vector,
    weight_positions,
)
from dlclint.analysis.shared import Span, expected_spans
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.noise import per_channel_scale, per_tensor_scale
from dlclint.analysis.weights.statistics import Floats
from dlclint.analysis.weights.store import ConvertedWeight, Home, home
from dlclint.encodings import grid
from dlclint.encodings.grid import ACCUMULATOR
from dlclint.model.graph import Node
from dlclint.model.op_facts import CONVOLUTIONS, RECURRENT
from dlclint.target import DlcKind
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold


@record
class BiasError:
    """A bias as the quantizer sees it, and the cost of a narrow grid.

    `error` is the largest error of a channel. `output_steps` and `accumulator_steps` are the error in steps
    of the output's grid and of the 32-bit accumulator (input step times weight step), None where the
    activation's range cannot be estimated. `vanishing` of the nonzero biases become 0.
    """

    weight: ConvertedWeight
    name: str
    """The stored bias; "" where only a batch normalization makes one."""
    values: Floats
    error: float
    vanishing: int
    output_steps: float | None
    accumulator_steps: float | None

    @property
    def vanishing_share(self) -> float:
        """Share of the nonzero biases that become 0."""
        alive = int(np.count_nonzero(self.values))
        return self.vanishing / alive if alive else 0.0


def bias_errors(view: ModelView) -> Iterator[BiasError]:
    """Every bias that has one grid for all its channels, including that of a folded batch normalization.

    The sum to which a recurrent op adds its bias is internal, so its error is not given in steps.
    """
    kind = view.target.kind
    for weight in view.weights.converted():
        values = converted_bias(weight)
        if values is None or not np.isfinite(values).all() or not values.any():
            continue
        encoding = grid.fit(values.min(), values.max(), kind.bias_bitwidth)
        rounded = grid.dequantize(grid.quantize(values, encoding), encoding)
        error = float(np.abs(values - rounded).max())
        vanishing = int(np.count_nonzero((rounded == 0.0) & (values != 0.0)))
        node = weight.use.node
        inside = node.op_type in RECURRENT
        add = added_bias(node)
        last = (absorbed_chain(add or node) or [add or node])[-1]
        output = None if inside else _step(view, last.outputs[0])
        input_step = None if inside else _step(view, node.input(0))
        accumulator = (
            None if input_step is None else input_step * per_tensor_scale(weight, kind.weights_bitwidth)
        )
        yield BiasError(
            weight,
            bias_name(node),
            values,
            error,
            vanishing,
            None if not output else error / output,
            None if not accumulator else error / accumulator,
        )


@record
class Saturation:
    """A bias that does not fit the accumulator, or would not for some ranges of the op's input.

    In `channel`, whose `value` is the bias and `scale` the weight's, the bias is clipped where the input's
    range is smaller than `limit`; `span` is that range, where it is known. With weight scales of at least
    `floors`, [channels], all fit: at that range, or else at the smallest range that was checked.
    """

    weight: ConvertedWeight
    name: str
    channel: int
    value: float
    scale: float
    limit: float
    span: Span | None
    floors: Floats
    channels: int
    """The number of clipped channels."""


def saturations(view: ModelView, kind: DlcKind) -> Iterator[Saturation]:
    """Biases beyond 32 bits at input scale times weight scale, in graph order.

    Where the input's range is not known, those that are clipped at ranges as common as 1. A grid for each
    channel is that of convolutions.
    """
    least = threshold("common_range")
    for weight in view.weights.converted():
        node = weight.use.node
        values = None if node.op_type in RECURRENT else converted_bias(weight)
        if values is None or not np.isfinite(values).all() or not values.any():
            continue
        if kind.per_channel and node.op_type in CONVOLUTIONS:
            scale = per_channel_scale(weight, kind.weights_bitwidth)
        else:
            scale = np.array([per_tensor_scale(weight, kind.weights_bitwidth)])
        if len(scale) not in (1, len(values)):
            continue
        steps = float(grid.steps(kind.act_bitwidth))
        limits = np.abs(values) * steps / (scale * ACCUMULATOR)
        span = expected_spans(view, node.graph, True)(node.input(0))
        at = span if span is not None and span.tight and span.reach > 0 else None
        known = least if at is None else at.reach
        if (limits <= known).all():
            continue
        channel = int(np.argmax(limits))
        yield Saturation(
            weight,
            bias_name(node),
            channel,
            float(values[channel]),
            float(np.broadcast_to(scale, values.shape)[channel]),
            float(limits[channel]),
            at,
            np.abs(values) * steps / (known * (ACCUMULATOR - 1)),
            int((limits > known).sum()),
        )


@record
class SharedBias:
    """A bias that several ops add at scales which differ by at most `ratio`."""

    name: str
    nodes: tuple[Node, ...]
    ratio: float


def shared_biases(view: ModelView) -> Iterator[SharedBias]:
    """Every nonzero stored bias that more than one op reads, in graph order.

    The scales are those of the weights, times those of the inputs where the ranges of all can be estimated. A
    bias into which a batch normalization is folded belongs to a single op.
    """
    by_home: dict[Home, list[ConvertedWeight]] = {}
    for weight in view.weights.converted():
        node = weight.use.node
        _, position = weight_positions(node)
        if position is None or node.op_type in RECURRENT or weight.factors is not None:
            continue
        name = node.input(position)
        if name and node.graph.constant(name) is not None:
            by_home.setdefault(home(node.graph, name), []).append(weight)
    for (_, name), weights in by_home.items():
        values = vector(weights[0].use.node.graph, name) if len(weights) > 1 else None
        if values is None or not np.isfinite(values).all() or not values.any():
            continue
        scales = [per_tensor_scale(weight, view.target.kind.weights_bitwidth) for weight in weights]
        steps = [_step(view, weight.use.node.input(0)) for weight in weights]
        if all(steps):
            scales = [scale * (step or 1.0) for scale, step in zip(scales, steps, strict=True)]
        if min(scales) > 0:
            nodes = tuple(weight.use.node for weight in weights)
            yield SharedBias(name, nodes, max(scales) / min(scales))


def _step(view: ModelView, tensor: str) -> float | None:
    estimate = view.activations.get(tensor)
    if estimate is None:
        return None
    return grid.step_of_range(estimate.minimum, estimate.maximum, view.target.kind.act_bitwidth)


def converted_bias(weight: ConvertedWeight) -> Floats | None:
    """beta + (bias - mean) * factor by channel, or the bias itself where nothing is folded."""
    node = weight.use.node
    if weight.name != node.input(1):
        return None  # a recurrent op has two weights and one bias
    own = vector(node.graph, bias_name(node))
    bias = None if own is None else own.reshape(-1)
    if weight.factors is None:
        return bias
    norm = folded_norm(weight.use)
    factors = None if norm is None else fold_factors(norm)
    beta, mean = (None if norm is None else vector(norm.graph, norm.input(index)) for index in (2, 3))
    if beta is None or mean is None or factors is None or beta.shape != factors.shape:
        return None
    if mean.shape != factors.shape or (bias is not None and bias.shape != factors.shape):
        return None
    return np.asarray(beta + ((0.0 if bias is None else bias) - mean) * factors)
