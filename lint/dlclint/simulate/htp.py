"""The HTP engine: Qualcomm's own backend for x86, in a worker process, on the same grids.

The backend must take the whole graph, including quantization at its edges: only the backend's arithmetic is
measured. Ops that it computes in float between Dequantize and Quantize are reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dlclint.confirm.log import BackendLog, read_log
from dlclint.confirm.process import Backend
from dlclint.confirm.question import Question
from dlclint.confirm.reasons import CONFIGURED, failure_reason, provider_reason, validator_reason
from dlclint.confirm.socs import AskedSoc
from dlclint.diagnostic import first_few, plain
from dlclint.model.op_facts import QDQ
from dlclint.simulate.evaluating import Evaluator, TensorValues
from dlclint.simulate.inputs.samples import Sample, Samples
from dlclint.simulate.network import Step
from dlclint.simulate.qdq import quantized_model
from dlclint.simulate.reference import Tick, quiet
from dlclint.simulate.scheme import Scheme

_AT_ONCE = 4
"""Samples of one question, so that a progress bar moves and only the files of few samples are on the disk."""


class CannotMeasure(Exception):
    """The backend does not run the model; the argument states why in one line."""


@dataclass(slots=True)
class HtpSession:
    """A backend, its SoC, and its log."""

    backend: Backend
    soc: AskedSoc
    in_float: list[str] = field(default_factory=list)
    build: str = ""
    odd: int = 0
    """Values of the outputs that differed when one session ran the first sample again, of `asked_twice`."""
    asked_twice: int = 0


def outputs_on_htp(
    asked: HtpSession, evaluator: Evaluator, scheme: Scheme, samples: Samples, tick: Tick = quiet
) -> Iterator[TensorValues]:
    """The outputs of each sample, in order.

    Raises:
        CannotMeasure: the backend does not take the whole model, or dies.
        NotAvailable: the backend cannot be loaded.
        CannotSimulate: a grid or weight cannot be passed to the backend.
        BadInput: a sample cannot be read.
    """
    for start in range(0, len(samples), _AT_ONCE):
        part = [load() for load in samples.load[start : start + _AT_ONCE]]
        again = part[:1] if not start else []
        results = _run(asked, evaluator, scheme, [*part, *again], ())
        if again:
            first, second = results[0], results.pop()
            names = evaluator.network.outputs
            asked.odd = sum(int((first[name] != second[name]).sum()) for name in names)
            asked.asked_twice = sum(first[name].size for name in names)
        for values in results:
            yield values
            tick()


def layers_on_htp(asked: HtpSession, evaluator: Evaluator, scheme: Scheme, sample: Sample) -> TensorValues:
    """Every stored activation of one sample, read from the backend, by name.

    A tensor that is fused with a Relu or Clip after it is left out: as an output it would be that op's
    output.

    Raises:
        CannotMeasure: as `outputs_on_htp`; the additional outputs may be what it does not take.
        NotAvailable: the backend cannot be loaded.
    """
    network = evaluator.network
    stored = [name for step in network.steps for name in step.outputs if name in scheme.activations]
    watched = [name for name in stored if name not in network.outputs and not evaluator.is_fused(name)]
    (values,) = _run(asked, evaluator, scheme, [sample], watched)
    return values


def _run(
    asked: HtpSession, evaluator: Evaluator, scheme: Scheme, samples: Sequence[Sample], watched: Sequence[str]
) -> list[TensorValues]:
    network = evaluator.network
    shapes = {name: samples[0][name].shape for name in network.inputs}
    kinds = {name: samples[0][name].dtype for name in network.inputs}
    for sample in samples:
        if {name: sample[name].shape for name in network.inputs} != shapes:
            raise CannotMeasure("the samples differ in shape, and the backend takes one")
    model = quantized_model(evaluator, scheme, shapes, kinds, watched)
    names = [*network.outputs, *watched]
    with TemporaryDirectory(prefix="dlclint-simulate-") as folder:
        pairs = [(Path(folder) / f"in{n}.npz", Path(folder) / f"out{n}.npz") for n in range(len(samples))]
        for sample, (inputs, _) in zip(samples, pairs, strict=True):
            np.savez(inputs, **{name: sample[name] for name in network.inputs})  # type: ignore[arg-type]
        answer = asked.backend.ask(model.SerializeToString(), Path(folder), str(asked.soc.id), run=pairs)
        log = read_log(answer.log)
        asked.build = plain(log.build)
        if answer.ended:
            raise CannotMeasure(f"the backend was lost: {answer.ended}{_while(log, network.steps)}")
        if answer.error or not all(outputs.exists() for _, outputs in pairs):
            raise CannotMeasure(_refusal(answer.error, log, network.steps))
        asked.in_float = _in_float(log, network.steps)
        results = []
        for _, outputs in pairs:
            with np.load(outputs) as loaded:
                arrays = [loaded[f"arr_{position}"] for position in range(len(names))]
            results.append(dict(zip(names, arrays, strict=True)))
    return results


def _steps(steps: Sequence[Step]) -> Question:
    """The mapping from the backend's names."""
    return Question(b"", Path(), {(0, step.index): (str(step.index), step.index) for step in steps})


def _step(name: str, steps: Sequence[Step]) -> Step | None:
    key = _steps(steps).node_of(name)
    by_index = {step.index: step for step in steps}
    return None if key is None else by_index.get(key[1])


def _text(step: Step) -> str:
    return plain(f"{step.op} {step.outputs[0]}")


def _while(log: BackendLog, steps: Sequence[Step]) -> str:
    step = _step(log.last_tried, steps)
    return "" if step is None or log.composing else f" while it checked {_text(step)}"


def _in_float(log: BackendLog, steps: Sequence[Step]) -> list[str]:
    float_steps = (_step(name, steps) for name in log.composed_in_float)
    return list(dict.fromkeys(_text(step) for step in float_steps if step is not None))


def _refusal(error: str, log: BackendLog, steps: Sequence[Step]) -> str:
    """Why the backend does not run the whole model, with the first ops that it refuses."""
    refused: dict[str, None] = {}
    for group in log.passes[-1] if log.passes else ():
        if group.taken or CONFIGURED in group.reason:
            continue
        member = next((name for op, name in group.members if op not in QDQ), "")
        step = _step(member, steps)
        why = provider_reason(group) if group.code is None else validator_reason(group)
        refused[f"{_text(step) if step is not None else group.kind}: {why}"] = None
    for name in log.unprepared:
        step = _step(name, steps)
        if step is not None:
            refused[f"{_text(step)}: compiling finds no implementation"] = None
    if refused:
        named = first_few(refused, len(refused), separator="; ")
        return plain(f"HTP does not take the whole model: {named}", 600)
    reason = failure_reason(error, log) or "the backend gave no outputs and no reason"
    return plain(re.sub(r"'?dlclint_0_(\d+)_\w*'?", lambda m: _named(m[1], steps), reason), 400)


def _named(index: str, steps: Sequence[Step]) -> str:
    return next((_text(step) for step in steps if step.index == int(index)), f"node {index}")
