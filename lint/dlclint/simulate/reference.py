"""The reference engine: the documented arithmetic, step by step on ONNX Runtime's CPU.

It equals a QDQ model with the same grids without graph optimizations, and reports more: what each layer adds
alone, on float inputs, in addition to the accumulated error.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from dlclint.model.op_facts import Role
from dlclint.model.tensors import Array
from dlclint.simulate.evaluating import Evaluator, TensorValues
from dlclint.simulate.inputs.samples import Sample, Samples
from dlclint.simulate.measuring import Agreement, Error, Scores
from dlclint.simulate.network import Network, Step
from dlclint.simulate.observing import Observation
from dlclint.simulate.parts import Piece, PieceErrors
from dlclint.simulate.scheme import Scheme, what
from dlclint.simulate.scores import score_tensor

Item = TypeVar("Item")
Result = TypeVar("Result")
Tick = Callable[[], None]


def quiet() -> None:
    """The tick without a progress bar."""


@dataclass(slots=True)
class MeasuredErrors:
    """Errors by tensor over all samples: of outputs, of layers alone, of layers with accumulated error."""

    outputs: dict[str, Error] = field(default_factory=dict)
    agreement: dict[str, Agreement] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    alone: dict[str, Error] = field(default_factory=dict)
    arrived: dict[str, Error] = field(default_factory=dict)
    pieces: PieceErrors = field(default_factory=lambda: PieceErrors({}))

    def output(self, network: Network, name: str, expected: Array, actual: Array) -> None:
        """Add one output of one sample."""
        if expected.dtype.kind != "f":
            self.outputs.setdefault(name, Error()).add(expected.astype(np.float64), actual.astype(np.float64))
            return
        self.outputs.setdefault(name, Error()).add(expected, actual)
        self.pieces.add(name, expected, actual)
        if name not in self.agreement:
            scores = score_tensor(network, name, expected.ndim, expected.shape)
            if scores is None:
                return
            self.scores[name], self.agreement[name] = scores, Agreement()
        self.agreement[name].add(self.scores[name], expected, actual)


def threads() -> int:
    """The number of samples that run at once."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def mapped_in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The results of a function in the order of the items; a few items are processed at once."""
    if workers < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending = []
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) >= workers:
                yield pending.pop(0).result()
        for future in pending:
            yield future.result()


def observe(
    evaluator: Evaluator, samples: Samples, binned: bool, tick: Tick = quiet
) -> dict[str, Observation]:
    """Observations of the float model on samples: the range of every float tensor, and of stored operands.

    Raises:
        CannotRun: a step does not run.
        BadInput: a sample cannot be read.
    """
    network = evaluator.network
    observations: dict[str, Observation] = {}

    def see(name: str, values: Any) -> None:
        if isinstance(values, np.ndarray) and values.dtype.kind == "f" and name:
            observations.setdefault(name, Observation()).see(values, binned)

    for step in network.steps:
        for position, name in enumerate(step.inputs):
            stored = name in network.constants and name not in observations
            if name and stored and what(step, position, network) is Role.DATA:
                see(name, evaluator.store.constant(name))
    for sample in samples:
        for name, values in sample.items():
            see(name, values)

        def visit(step: Step, outputs: list[Any]) -> None:
            for name, values in zip(step.outputs, outputs, strict=True):
                see(name, values)

        evaluator.run(sample, None, visit=visit)
        tick()
    return observations


def measured_errors(
    evaluator: Evaluator,
    scheme: Scheme,
    samples: Samples,
    pieces: Mapping[str, Sequence[Piece]],
    tick: Tick = quiet,
) -> MeasuredErrors:
    """Float compared with quantized, for every layer, output and piece of an output.

    Raises:
        CannotRun: a step does not run.
        BadInput: a sample cannot be read.
    """
    total = MeasuredErrors(pieces=PieceErrors(pieces))
    for sample in samples:
        _measure_one(evaluator, scheme, sample, total)
        tick()
    return total


def _measure_one(evaluator: Evaluator, scheme: Scheme, sample: Sample, total: MeasuredErrors) -> None:
    network = evaluator.network
    exact: TensorValues = dict(sample)
    rounded: TensorValues = {name: evaluator.on_grid(name, value, scheme) for name, value in sample.items()}
    for name, value in sample.items():
        _add(total.alone, name, value, rounded[name])
        _add(total.arrived, name, value, rounded[name])
    exact_left, rounded_left = evaluator.uses(), evaluator.uses()
    kept = set(network.outputs)
    for step in network.steps:
        expected = evaluator.float_step(step, exact)
        arrived = evaluator.quantized_step(step, rounded, scheme)
        alone = evaluator.quantized_step(step, exact, scheme)
        for name, one, two, three in zip(step.outputs, expected, arrived, alone, strict=True):
            if not name:
                continue
            _add(total.arrived, name, one, two)
            _add(total.alone, name, one, three)
            exact[name], rounded[name] = one, two
        evaluator.release(step, exact, exact_left, kept)
        evaluator.release(step, rounded, rounded_left, kept)
    for name in network.outputs:
        one, two = evaluator.value(name, exact), evaluator.value(name, rounded)
        if isinstance(one, np.ndarray) and one.dtype.kind in "fiub":
            total.output(network, name, one, two)


def _add(errors: dict[str, Error], name: str, expected: Any, actual: Any) -> None:
    if isinstance(expected, np.ndarray) and expected.dtype.kind == "f" and expected.shape == actual.shape:
        errors.setdefault(name, Error()).add(expected, actual)


def outputs_of(
    evaluator: Evaluator, scheme: Scheme | None, samples: Samples, tick: Tick = quiet
) -> Iterator[TensorValues]:
    """The outputs of a scheme, or of the float model, sample by sample in their order."""

    def one(sample: Sample) -> TensorValues:
        outputs = evaluator.run(sample, scheme)
        tick()
        return outputs

    yield from mapped_in_order(one, samples, min(threads(), len(samples)))


def compare(
    network: Network,
    expected: Iterable[TensorValues],
    quantized: Iterable[TensorValues],
    pieces: Mapping[str, Sequence[Piece]],
) -> MeasuredErrors:
    """The errors of the outputs and their pieces, for two runs over the same samples."""
    total = MeasuredErrors(pieces=PieceErrors(pieces))
    for one, two in zip(expected, quantized, strict=True):
        for name in network.outputs:
            if isinstance(one[name], np.ndarray):
                total.output(network, name, one[name], two[name])
    return total


def share_at_16(network: Network, scheme: Scheme) -> float:
    """The share of activations that are 16-bit or float, among step outputs and model inputs."""
    names = [*network.inputs, *(name for step in network.steps for name in step.outputs)]
    stored = [
        scheme.activations.get(name) or scheme.floats[name] for name in names if is_stored(scheme, name)
    ]
    counts = Counter(grid.bitwidth >= 16 for grid in stored)
    return counts[True] / len(stored) if stored else 0.0


def is_stored(scheme: Scheme, name: str) -> bool:
    """Whether a scheme determines how an activation is stored."""
    return name in scheme.activations or name in scheme.floats
