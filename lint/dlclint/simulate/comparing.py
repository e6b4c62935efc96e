"""The measurements of the HTP engine, and the layers at which it departs from the documented arithmetic.

A layer is compared on the inputs that the backend itself computed: so accumulated error does not count, and
the layer that departs is named, not the ones after it. The first such layers are also run alone, which shows
whether the op computes something else or the whole graph changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dlclint.diagnostic import plain
from dlclint.model.tensors import Array
from dlclint.simulate.evaluating import Evaluator, TensorValues
from dlclint.simulate.htp import CannotMeasure, HtpSession, layers_on_htp, outputs_on_htp
from dlclint.simulate.inputs.samples import Sample, Samples
from dlclint.simulate.measuring import Error
from dlclint.simulate.network import CannotSimulate, Step
from dlclint.simulate.outcome import Departure, EngineResult, LayerError
from dlclint.simulate.parting import BothEngines, find_parting
from dlclint.simulate.parts import PieceErrors
from dlclint.simulate.reference import MeasuredErrors, Tick, outputs_of, quiet
from dlclint.simulate.scheme import Grid, Scheme
from dlclint.simulate.simulating import Prepared, output_rows

_SHOWN = 8
_ALONE = 4
"""Layers that are run alone."""
_STEPS = {8: 2.0, 16: 32.0}
"""How many steps of the grid, by its bits, the rounding of a backend op may differ: of 230 layers of YOLOv8n
run one by one at 16 bits at most 5, and 28 where the wrapper took a layer in float16.
"""
_MATTERS = 10.0
"""Decibels above the accumulated error by the documents up to which a departure matters: a tenth of the
noise.
"""


def by_htp(
    prepared: Prepared, asked: HtpSession, packages: Mapping[str, str], tick: Tick = quiet
) -> tuple[EngineResult, tuple[Departure, ...]]:
    """The backend's measurements on all samples, and on one of them where it departs from the reference.

    Raises:
        CannotMeasure: the backend does not run the model.
        NotAvailable: the backend cannot be loaded.
        CannotSimulate: a grid or weight cannot be passed to the backend.
        BadInput: a sample cannot be read.
    """
    evaluator, scheme, samples = prepared.evaluator, prepared.scheme, prepared.samples
    measured, both = MeasuredErrors(pieces=PieceErrors(prepared.pieces)), BothEngines(prepared.pieces)
    runs = (outputs_of(evaluator, each, samples) for each in (None, scheme))
    for exact, rounded, actual in zip(
        *runs, outputs_on_htp(asked, evaluator, scheme, samples, tick), strict=True
    ):
        for name in prepared.network.outputs:
            if isinstance(exact[name], np.ndarray):
                measured.output(prepared.network, name, exact[name], actual[name])
        both.add(exact, rounded, actual)
    in_float = tuple(asked.in_float)
    layers, apart, parting = _layers(prepared, asked, both)
    versions = {**packages, "QNN": asked.build}
    which = f"sample {both.sample + 1}" + (", in which both engines differ most" if len(samples) > 1 else "")
    notes = [f"layers: of {which}, with every tensor made an output, which may change what is fused"]
    if parting:
        notes.append(parting)
    if asked.odd:
        notes.append(
            f"the backend does not give the same twice: {asked.odd:,} of {asked.asked_twice:,} values of the"
            " outputs differ when one session runs the first sample again"
        )
    return EngineResult(
        "htp", versions, tuple(output_rows(prepared, measured)), tuple(layers), in_float, tuple(notes)
    ), apart


def _layers(
    prepared: Prepared, asked: HtpSession, both: BothEngines
) -> tuple[list[LayerError], tuple[Departure, ...], str]:
    """The layers, the worst first; those that depart; and where the outputs diverge, in words (or "")."""
    network, scheme, evaluator = prepared.network, prepared.scheme, prepared.evaluator
    sample = prepared.samples.load[both.sample]()
    measured = layers_on_htp(asked, evaluator, scheme, sample)
    stored = [name for step in network.steps for name in step.outputs if name in measured]
    exact: TensorValues = evaluator.run(sample, None, keep=stored)
    rounded: TensorValues = evaluator.run(sample, scheme, keep=stored)
    own, seen = _on_its_own_inputs(prepared, sample, measured)
    rows: list[LayerError] = []
    apart: list[Departure] = []
    for step in network.steps:
        name = step.outputs[0]
        if name not in measured or name not in scheme.activations or not _is_float(exact[name]):
            continue
        on_htp = _error(exact[name], measured[name])
        by_documents = _error(exact[name], rounded[name]).sqnr
        grid, observation = scheme.activations[name], prepared.observed[name]
        rows.append(
            LayerError(
                plain(step.node.name),
                step.node.index,
                plain(step.op),
                plain(name),
                grid.bitwidth,
                None,
                on_htp.sqnr,
                observation.low,
                observation.high,
                grid.scale,
            )
        )
        off = _off(grid, own[name], measured[name])
        if off:
            between = _error(own[name], measured[name]).sqnr
            if between > by_documents + _MATTERS:
                continue
            apart.append(Departure(plain(name), plain(step.op), by_documents, on_htp.sqnr, between, off))
            if len(apart) <= _ALONE:
                apart[-1] = replace(apart[-1], alone=_alone(prepared, asked, step, own))
    figure = both.widest()
    parting = None
    if figure is not None:
        outputs = {name: evaluator.value(name, exact) for name in network.outputs}
        parting = find_parting(evaluator, scheme, figure, outputs, seen, own, stored, both.outputs)
    shown = sorted(rows, key=lambda row: row.arrived)
    return shown, tuple(apart[:_SHOWN]), "" if parting is None else parting.words()


def _on_its_own_inputs(
    prepared: Prepared, sample: Sample, measured: TensorValues
) -> tuple[TensorValues, TensorValues]:
    """For every tensor, the documented op's result on the backend's own inputs, and the measured value."""
    evaluator, scheme = prepared.evaluator, prepared.scheme
    values: TensorValues = {name: evaluator.on_grid(name, value, scheme) for name, value in sample.items()}
    own: TensorValues = dict(values)
    for step in prepared.network.steps:
        for name, value in zip(step.outputs, evaluator.quantized_step(step, values, scheme), strict=True):
            if name:
                own[name] = value
                values[name] = _shaped(measured.get(name), value)
    return own, values


def _shaped(measured: Array | None, value: Array) -> Array:
    """The measured values in the shape of the network's tensor: the backend may add axes of one."""
    return value if measured is None or measured.size != value.size else measured.reshape(value.shape)


def _off(grid: Grid, expected: Array, actual: Array) -> float:
    """The share of values that differ by more than the rounding of an op may."""
    most = _STEPS.get(grid.bitwidth, 2.0) * grid.scale
    with np.errstate(invalid="ignore"):
        return float(1.0 - (np.abs(actual - expected) <= most).mean())


def _alone(prepared: Prepared, asked: HtpSession, step: Step, own: TensorValues) -> float | None:
    """A layer run alone on its own inputs: dB compared with the documents, None if refused."""
    network, scheme = prepared.network, prepared.scheme
    steps = _until_stored(prepared, step)
    inner = {name for each in steps for name in each.outputs}
    reads = dict.fromkeys(name for each in steps for name in each.reads)
    inputs = tuple(n for n in reads if n not in network.constants and n not in inner)
    part = replace(network, steps=tuple(steps), inputs=inputs, outputs=(step.outputs[0],))
    evaluator = Evaluator(part, prepared.evaluator.runner)
    sample = {name: own[name] for name in inputs}
    expected = evaluator.run(sample, scheme)[step.outputs[0]]
    try:
        (outputs,) = outputs_on_htp(asked, evaluator, scheme, Samples("", (lambda: sample,)))
    except (CannotMeasure, CannotSimulate):
        return None
    return _error(expected, outputs[step.outputs[0]]).sqnr


def _until_stored(prepared: Prepared, step: Step) -> list[Step]:
    """A step and those before it whose results are never stored, in order."""
    makers = {name: each for each in prepared.network.steps for name in each.outputs if name}
    steps: dict[int, Step] = {}
    left = [step]
    while left:
        one = left.pop()
        steps[one.index] = one
        left += [makers[n] for n in one.reads if n in makers and not _is_stored(prepared.scheme, n, prepared)]
    return [steps[index] for index in sorted(steps)]


def _is_stored(scheme: Scheme, name: str, prepared: Prepared) -> bool:
    return name in scheme.activations and not prepared.evaluator.is_fused(name)


def _is_float(values: object) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "f"


def _error(expected: np.ndarray, actual: np.ndarray) -> Error:
    error = Error()
    error.add(expected, actual)
    return error
