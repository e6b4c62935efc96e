"""One simulation of one model, from its view to a `Simulation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dlclint.analysis.view import ModelView
from dlclint.diagnostic import counted, plain
from dlclint.encodings.document import EncodingsDocument
from dlclint.simulate.assigning import Settings, assign, leaders
from dlclint.simulate.causes import SHOWN, error_causes
from dlclint.simulate.evaluating import Evaluator
from dlclint.simulate.folding import folded_network
from dlclint.simulate.inputs.samples import Samples
from dlclint.simulate.measuring import Error
from dlclint.simulate.network import CannotSimulate, Network, Step, network_of
from dlclint.simulate.observing import Observation
from dlclint.simulate.outcome import EngineResult, LayerError, OutputRow, PartRow
from dlclint.simulate.overrides import apply_document
from dlclint.simulate.parts import Piece, is_lost, output_pieces
from dlclint.simulate.reference import MeasuredErrors, Tick, measured_errors, observe, quiet
from dlclint.simulate.running import Runner, require_runtime
from dlclint.simulate.scheme import Scheme
from dlclint.simulate.versions import runtime_versions


@dataclass(slots=True)
class Prepared:
    """A model that is ready to be measured: its network, the observed ranges, and its grids."""

    network: Network
    evaluator: Evaluator
    samples: Samples
    settings: Settings
    shared: Mapping[str, str]
    observed: dict[str, Observation]
    scheme: Scheme
    notes: list[str] = field(default_factory=list)
    pieces: Mapping[str, Sequence[Piece]] = field(default_factory=dict)
    """The pieces of every output that holds elements of several tensors."""
    from_file: frozenset[str] = frozenset()
    """Tensors whose grids come from an override file."""

    def has_entry(self, name: str) -> bool:
        """Whether the override file has an entry for a tensor, or for one whose grid it has."""
        same = (name, self.shared.get(name, name), self.network.moved.get(name, name))
        return not self.from_file.isdisjoint(same)


def widths_text(settings: Settings) -> str:
    """A text such as `8-bit activations (tf), 8-bit weights per tensor (tf), 32-bit biases`."""
    how = "per channel" if settings.per_channel else "per tensor"
    return (
        f"{settings.act_bitwidth}-bit activations ({settings.act_quantizer}), {settings.weights_bitwidth}-bit"
        f" weights {how} ({settings.param_quantizer}), {settings.bias_bitwidth}-bit biases"
    )


def prepare(
    view: ModelView,
    samples: Samples,
    settings: Settings,
    document: EncodingsDocument | None = None,
    tick: Tick = quiet,
) -> Prepared:
    """Fold, run the float model once over the samples, and give every tensor a grid.

    Raises:
        CannotSimulate: the model has nothing to quantize, or ONNX Runtime is not installed.
        CannotRun: a step does not run.
        BadInput: a sample cannot be read.
    """
    require_runtime()
    network = network_of(view)
    runner = Runner(network)
    network = folded_network(network, runner)
    evaluator = Evaluator(network, runner)
    observed = observe(evaluator, samples, settings.needs_bins, tick)
    shared = leaders(network)
    scheme = assign(network, observed, settings, shared)
    if not scheme.activations:
        raise CannotSimulate("no tensor of the model is a float one, so that there is nothing to quantize")
    notes = list(samples.notes)
    odd = [name for name, seen in observed.items() if seen.odd]
    if odd:
        notes.append(
            f"the float model makes values that are not finite in {counted(len(odd), 'tensor')}, first in"
            f" {plain(odd[0])}; no grid holds them"
        )
    if document is not None:
        taken = apply_document(document, scheme, network, shared)
        notes += [f"grids: {taken.words()}; the rest calibrated", *taken.unused]
    names = frozenset(document.tensors.names) if document is not None else frozenset()
    pieces = output_pieces(evaluator, samples.load[0]())
    return Prepared(network, evaluator, samples, settings, shared, observed, scheme, notes, pieces, names)


def by_reference(prepared: Prepared, tick: Tick = quiet) -> EngineResult:
    """The measurements of the reference engine.

    Raises:
        CannotRun: a step does not run.
        BadInput: a sample cannot be read.
    """
    measured = measured_errors(prepared.evaluator, prepared.scheme, prepared.samples, prepared.pieces, tick)
    layers = _layers(prepared, measured)
    return EngineResult(
        "reference",
        runtime_versions(),
        tuple(output_rows(prepared, measured)),
        tuple(layers),
        notes=(
            f"{counted(len(prepared.network.folded_norms), 'batch normalization')} folded into convolutions,"
            " as the converter does",
        )
        if prepared.network.folded_norms
        else (),
    )


def output_rows(prepared: Prepared, measured: MeasuredErrors) -> list[OutputRow]:
    """The rows of a report for the measured outputs."""
    rows = []
    for name, error in measured.outputs.items():
        scores = measured.scores.get(name)
        where = ""
        if scores is not None:
            where = f"classes {scores.first} to {scores.last - 1} of axis {scores.axis}"
        agreement = measured.agreement.get(name)
        rows.append(
            OutputRow(
                plain(name),
                error.sqnr,
                error.cosine,
                error.largest,
                error.magnitude,
                agreement.rate if agreement is not None and agreement.total else None,
                where,
                _parts(measured, name),
            )
        )
    return rows


def _parts(measured: MeasuredErrors, name: str) -> tuple[PartRow, ...]:
    """The quality of each part of an output with parts of different ranges."""
    rows = []
    for part, error in measured.pieces.parts(name):
        before = [measured.arrived[each].sqnr for each in part.tensors if each in measured.arrived]
        rows.append(
            PartRow(
                tuple(map(plain, part.tensors)),
                plain(part.join),
                error.sqnr,
                min(before, default=None),
                error.magnitude,
                bool(error.signal) and not error.other,
                is_lost(error),
            )
        )
    return tuple(rows)


def _layers(prepared: Prepared, measured: MeasuredErrors) -> list[LayerError]:
    """Every layer, the one that adds most first; the worst with their causes."""
    network, scheme = prepared.network, prepared.scheme
    steps = [
        step
        for step in network.steps
        if step.outputs[0] in measured.alone and step.outputs[0] not in network.inner
    ]
    steps.sort(
        key=lambda step: (
            measured.alone[step.outputs[0]].sqnr,
            measured.arrived[step.outputs[0]].sqnr,
            step.index,
        )
    )
    worst = [step for step in steps if measured.alone[step.outputs[0]].noise or _odd(measured, step)]
    causes = error_causes(
        prepared.evaluator, scheme, prepared.observed, prepared.samples.load[0](), worst[:SHOWN]
    )
    return [_layer(prepared, measured, step, causes.get(step.outputs[0], ())) for step in steps]


def _odd(measured: MeasuredErrors, step: Step) -> bool:
    return bool(measured.alone[step.outputs[0]].odd)


def _layer(prepared: Prepared, measured: MeasuredErrors, step: Step, causes: tuple[str, ...]) -> LayerError:
    name = step.outputs[0]
    grid = prepared.scheme.activations.get(name)
    seen = prepared.observed.get(name, Observation(0.0, 0.0))
    alone, arrived = measured.alone.get(name, Error()), measured.arrived.get(name, Error())
    return LayerError(
        plain(step.node.name),
        step.node.index,
        plain(step.op),
        plain(name),
        None if grid is None else grid.bitwidth,
        alone.sqnr,
        arrived.sqnr,
        seen.low,
        seen.high,
        None if grid is None else grid.scale,
        tuple(plain(text, 400) for text in causes),
    )
