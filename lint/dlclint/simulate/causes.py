"""The causes of the errors of the worst layers, as far as their numbers show them.

The error that a layer adds is divided by cause: each stored input is put on its grid separately, and so is
the output. A source of at least half of the error is its cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from dlclint.diagnostic import plain
from dlclint.model.op_facts import Role
from dlclint.model.tensors import Array
from dlclint.simulate.assigning import what_gamma
from dlclint.simulate.evaluating import Evaluator, TensorValues
from dlclint.simulate.inputs.samples import Sample
from dlclint.simulate.network import Step
from dlclint.simulate.observing import Observation
from dlclint.simulate.running import CannotRun
from dlclint.simulate.scheme import Grid, Scheme, product_scale, what

SHOWN = 12
"""Layers that are analyzed."""
_SHARE = 0.5
"""The share of the error that makes it the cause."""
_SPREAD = 10.0
"""Ratio of channel ranges from which one grid for all channels is called a cause."""
_LEVELS = 8.0
"""Steps of the shared grid below which a part of a Concat is reported as lost in it."""
_TAIL = 12.0
"""Ratio of range to root mean square from which a range is reported as wide for its values."""


def error_causes(
    evaluator: Evaluator,
    scheme: Scheme,
    observed: Mapping[str, Observation],
    sample: Sample,
    steps: Iterable[Step],
) -> dict[str, tuple[str, ...]]:
    """The causes of the error that each step adds, by its first output, from one sample."""
    steps = list(steps)
    outputs = {name for other in evaluator.network.steps for name in other.outputs if name}
    wanted = [name for step in steps for name in (*step.reads, *step.outputs) if name in outputs]
    values: TensorValues = {**sample, **evaluator.run(sample, None, keep=wanted)}
    return {
        step.outputs[0]: tuple(dict.fromkeys(_causes(evaluator, scheme, observed, step, values)))
        for step in steps
    }


def _causes(
    evaluator: Evaluator,
    scheme: Scheme,
    observed: Mapping[str, Observation],
    step: Step,
    values: TensorValues,
) -> Iterator[str]:
    name = step.outputs[0]
    expected = values.get(name)
    if not isinstance(expected, np.ndarray) or expected.dtype.kind != "f":
        return
    try:
        noise = _by_part(evaluator, scheme, step, values, expected)
    except CannotRun:
        return
    total = sum(noise.values())
    for position in sorted(noise, key=lambda key: -noise[key]):
        if not total or noise[position] < _SHARE * total:
            continue
        if position < 0:
            yield from _output(scheme, observed, step, values)
        else:
            yield from _stored(evaluator, scheme, step, position)


def _by_part(
    evaluator: Evaluator, scheme: Scheme, step: Step, values: TensorValues, expected: Array
) -> dict[int, float]:
    """The energy of the error that each input's grid causes alone, by position; -1 for the output's."""
    exact = {name: evaluator.value(name, values) for name in step.reads}
    rounded = evaluator.quantized_feed(step, values, scheme)
    energies: dict[int, float] = {}
    for position, name in enumerate(step.inputs):
        if not name or rounded[name] is exact[name]:
            continue
        output = evaluator.runner.run(step, {**exact, name: rounded[name]})[0]
        energies[position] = _energy(output, expected)
    energies[-1] = _energy(evaluator.on_grid(step.outputs[0], expected, scheme), expected)
    return energies


def _energy(actual: Array, expected: Array) -> float:
    apart = actual.astype(np.float64) - expected.astype(np.float64)
    return float(np.nansum(apart * apart))


def _output(
    scheme: Scheme, observed: Mapping[str, Observation], step: Step, values: TensorValues
) -> Iterator[str]:
    name = step.outputs[0]
    grid = scheme.activations.get(name)
    seen = observed.get(name)
    if grid is None or seen is None:
        return
    if step.op == "Concat":
        lost = list(_lost(grid, observed, step))
        if lost:
            yield f"shared grid: {'; '.join(lost)}"
            return
    step_size = grid.scale
    if not grid.fixed and (seen.high > grid.high + 1.5 * step_size or seen.low < grid.low - 1.5 * step_size):
        yield (
            f"range cut: values reach {seen.low:.4g} to {seen.high:.4g}, the grid {grid.low:.4g} to"
            f" {grid.high:.4g}"
        )
        return
    spread = (seen.squares / seen.count) ** 0.5 if seen.count else 0.0
    reach = max(abs(seen.low), abs(seen.high))
    if spread and reach > _TAIL * spread:
        yield (
            f"wide range: values reach {reach:.4g} and have a root mean square of {spread:.3g}, and a step"
            f" is {step_size:.3g}"
        )
    else:
        yield f"rounding of its output: a step of {step_size:.3g} at {grid.bitwidth} bits"


def _lost(grid: Grid, observed: Mapping[str, Observation], step: Step) -> Iterator[str]:
    """The parts of a Concat that span few steps of its grid."""
    for part in dict.fromkeys(step.inputs):
        seen = observed.get(part)
        if seen is None or not seen.is_seen:
            continue
        reach = max(abs(seen.low), abs(seen.high))
        if not reach or reach / grid.scale >= _LEVELS:
            continue
        becomes = "every value becomes 0" if reach < grid.scale / 2 else "few values are left of it"
        yield (f"{plain(part)} ({seen.low:.4g} to {seen.high:.4g}) on a step of {grid.scale:.3g}, {becomes}")


def _stored(evaluator: Evaluator, scheme: Scheme, step: Step, position: int) -> Iterator[str]:
    name = step.inputs[position]
    role = what(step, position, evaluator.network)
    if role is Role.BIAS:
        yield _bias(evaluator, scheme, step, position)
    elif role is Role.WEIGHT:
        param = scheme.params.get(name)
        if param is None:
            yield f"weight {plain(name)} in float16"
            return
        if what_gamma(step, position):
            yield f"{plain(name)} (factor or slope) at {param.bitwidth} bits"
            return
        values = evaluator.store.constant(name)
        spread = _channel_spread(values)
        if param.axis is None and spread >= _SPREAD:
            yield f"weight {plain(name)}: one grid for channels whose ranges differ {spread:.0f} times"
        else:
            yield f"weight {plain(name)} at {param.bitwidth} bits"
    else:
        grid = scheme.read(name, scheme.width(step))
        bits = "" if grid is None else f" at {grid.bitwidth} bits"
        yield f"its input {plain(name)}{bits}"


def _channel_spread(values: Array) -> float:
    """The largest range of an output channel divided by the median one (first axis; the last of a matrix)."""
    axis = 0 if values.ndim > 2 else values.ndim - 1
    others = tuple(i for i in range(values.ndim) if i != axis)
    ranges = np.abs(values).max(axis=others)
    middle = float(np.median(ranges))
    return float(ranges.max()) / middle if middle else 1.0


def _bias(evaluator: Evaluator, scheme: Scheme, step: Step, position: int) -> str:
    name = step.inputs[position]
    values = evaluator.store.constant(name).astype(np.float64)
    scale = product_scale(step, position, scheme, scheme.width(step))
    if scale is not None:
        size = scale if scale.size in (1, values.size) else np.tile(scale, values.size // scale.size)
        beyond = int((np.abs(values) / size > 2.0**31).sum())
        if beyond:
            return (
                f"bias {plain(name)}: {beyond} of {values.size} exceed int32 at input scale times weight"
                " scale, and are cut"
            )
    param_grid = scheme.biases.get(name)
    return f"bias {plain(name)} at {32 if param_grid is None else param_grid.bitwidth} bits"
