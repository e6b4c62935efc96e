"""A plan measured on inputs: the predicted and the measured effect of each choice, and which one decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dlclint.analysis.plan.decide import rechosen
from dlclint.analysis.plan.model import (
    MEASUREMENT,
    NO_DIFFERENCE,
    PREDICTION,
    USER,
    Advice,
    Choice,
    MeasuredDecision,
    Plan,
    PlanRequest,
    Topic,
    decibels_text,
)
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.noise import decibels
from dlclint.diagnostic import counted, first_few, plain
from dlclint.encodings.convert import Overrides
from dlclint.encodings.document import EncodingsDocument
from dlclint.simulate.assigning import Settings, assign
from dlclint.simulate.emission import overrides_of_scheme
from dlclint.simulate.inputs.samples import Samples
from dlclint.simulate.measuring import Error
from dlclint.simulate.network import CannotSimulate
from dlclint.simulate.outcome import OutputRow
from dlclint.simulate.reference import Tick, compare, outputs_of, quiet
from dlclint.simulate.scheme import Scheme
from dlclint.simulate.search.biases import fit_biases, fit_grids
from dlclint.simulate.search.equalizing import equalized
from dlclint.simulate.search.searching import SearchState
from dlclint.simulate.search.trials import Goal, Journal, SchemeQuality, Trials, value_text
from dlclint.simulate.simulating import Prepared, output_rows, prepare
from dlclint.target import Runtime
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

_APART = 3.0
"""Decibels from which a measurement overrides the prediction."""
_WIDE = 0.5
"""Share of activations at 16 bits from which all get them: the others save little."""
_GAIN = 1.0
"""Decibels that a measured change must gain."""


@record
class Wanted:
    """The accuracy that the outputs must keep, as the user gives it; None where the thresholds apply."""

    sqnr: float | None = None
    agreement: float | None = None

    def goal(self, trials: Trials) -> Goal:
        """The goal of a model: its scores count where nothing else is given, if it has any."""
        if self.sqnr is not None or self.agreement is not None:
            return Goal(self.sqnr, self.agreement)
        scores = threshold("output_agreement") if trials.has_scores else None
        return Goal(threshold("output_sqnr"), scores)


def measured_plan(
    view: ModelView,
    plan: Plan,
    asked: PlanRequest,
    samples: Samples,
    document: EncodingsDocument | None,
    wanted: Wanted,
    version: str,
    tick: Tick = quiet,
) -> tuple[Plan, Overrides]:
    """The plan with measured choices, changed where measurements decide otherwise, and its override file.

    Raises:
        CannotSimulate: the model cannot be run.
        CannotRun: a step does not run.
        BadInput: a sample cannot be read.
        CannotConvert: the version cannot express the result.
    """
    prepared = prepare(view, samples, _settings(view, plan.choice), document, tick)
    trials = Trials(prepared.evaluator, prepared.pieces, samples, Goal(), Journal(), tick)
    if wanted.agreement is not None and not trials.has_scores:
        raise CannotSimulate("--agreement: no output of the model holds scores that dlclint recognizes")
    work = _Work(view, plan, asked, prepared, trials, wanted.goal(trials), plan.choice)
    work.decide()
    work.widths()
    advice = [work.advice.get(position, each) for position, each in enumerate(plan.advice)]
    in_float = tuple(dict.fromkeys((*plan.in_float, *work.floats)))
    changed = replace(plan, advice=tuple(advice), wide=work.wide, in_float=in_float)
    changed = rechosen(view, changed, work.choice, asked)
    notes = [
        f"measured on {_of(samples)}, by the documented arithmetic; {'; '.join(prepared.notes)}".rstrip("; ")
    ]
    if samples.random:
        notes.insert(0, "random inputs, so these are not figures of accuracy: give real ones with --inputs")
    changed = replace(
        changed, notes=(*(plain(note, 400) for note in notes), *changed.notes), inputs=_of(samples)
    )
    return changed, overrides_of_scheme(work.prepared.network, work.prepared.scheme, version)


def _of(samples: Samples) -> str:
    return f"{counted(len(samples), 'sample')} of {samples.words}" if len(samples) > 1 else samples.words


def _settings(view: ModelView, choice: Choice) -> Settings:
    soc = view.target.soc
    return Settings(
        choice.act_bitwidth,
        choice.weights_bitwidth,
        choice.bias_bitwidth,
        choice.per_channel,
        "tf",
        choice.param_quantizer,
        hexagon=None if soc is None else soc.hexagon,
    )


@dataclass(slots=True)
class _Work:
    """The measurements, choice by choice; `advice` holds what replaces the plan's, by position."""

    view: ModelView
    plan: Plan
    asked: PlanRequest
    prepared: Prepared
    trials: Trials
    goal: Goal
    choice: Choice
    wide: tuple[str, ...] = ()
    floats: tuple[str, ...] = ()
    advice: dict[int, Advice] = field(default_factory=dict)
    _tried: int = 0

    def decide(self) -> None:
        """Measure the choices about weights and biases, and keep what the measurements decide."""
        self.wide = self.plan.wide
        measure: Mapping[Topic, Callable[[Advice], Advice]] = {
            Topic.CONVOLUTION_GRIDS: self._grid,
            Topic.WEIGHT_RANGES: self._range,
            Topic.BIASES: self._biases,
            Topic.WEIGHTS: self._weights,
            Topic.FOUR_BIT_WEIGHTS: self._four_bits,
            Topic.CLE: self._equalization,
            Topic.ONE_GRID: self._joined,
        }
        for position, advice in enumerate(self.plan.advice):
            if advice.topic in measure:
                self.advice[position] = measure[advice.topic](advice)
        self.prepared = self._anew(self.choice)

    # Figures.

    def _scheme(self, choice: Choice) -> Scheme:
        """The grids of a choice; those from an override file stay."""
        prepared = self.prepared
        scheme = assign(prepared.network, prepared.observed, _settings(self.view, choice), prepared.shared)
        for name in prepared.from_file:
            for before, after in (
                (prepared.scheme.activations, scheme.activations),
                (prepared.scheme.params, scheme.params),
            ):
                if name in before:
                    after[name] = before[name]  # type: ignore[assignment]
        fit_biases(prepared.network, scheme)
        return scheme

    def _anew(self, choice: Choice) -> Prepared:
        return replace(self.prepared, settings=_settings(self.view, choice), scheme=self._scheme(choice))

    def _of_weights(self, choice: Choice) -> float:
        """The SQNR of the worst output with only the weights quantized, in dB."""
        scheme = Scheme(params=dict(self._scheme(choice).params), otherwise=16)
        return _decibels(self.trials.noise(self._key(), scheme))

    def _whole(self, choice: Choice) -> SchemeQuality:
        return self.trials.value(self._key(), self._scheme(choice))

    def _key(self) -> str:
        self._tried += 1
        return f"choice {self._tried}"

    # Choices.

    def _grid(self, advice: Advice) -> Advice:
        each, one = (replace(self.choice, per_channel=flag) for flag in (True, False))
        gain = self._of_weights(each) - self._of_weights(one)
        predicted = _number(advice.evidence.get("mean_gain_db"))
        figure = "gain of a grid for each channel, of weights alone"
        decided = self._decided(predicted, gain, "per_channel" in self.asked.settled or self._is_v66)
        choice = advice.choice
        if decided == MEASUREMENT:
            self.choice = replace(self.choice, per_channel=gain > 0)
            choice = "per channel" if gain > 0 else "per tensor"
        return self._said(advice, choice, MeasuredDecision(figure, predicted, gain, decided))

    def _range(self, advice: Advice) -> Advice:
        plainly = "symmetric" if self.choice.per_channel else "tf"
        searched, other = (replace(self.choice, param_quantizer=word) for word in ("enhanced", plainly))
        gain = self._of_weights(searched) - self._of_weights(other)
        predicted = _number(advice.evidence.get("gain_db", 0.0))
        decided = self._decided(predicted, gain, False)
        choice = advice.choice
        if decided == MEASUREMENT:
            self.choice = searched if gain >= threshold("long_tail_gain") else other
            words = {"tf": "tf (minimum and maximum)", "enhanced": "enhanced (searched)"}
            choice = words.get(self.choice.param_quantizer, self.choice.param_quantizer)
        figure = "gain of a searched range, of weights alone"
        return self._said(advice, choice, MeasuredDecision(figure, predicted, gain, decided))

    def _biases(self, advice: Advice) -> Advice:
        narrow, wide = (self._whole(replace(self.choice, act_bitwidth=16, bias_bitwidth=w)) for w in (8, 32))
        figure = "gain of 32-bit biases, with 16-bit activations"
        decided = USER if "bias_bitwidth" in self.asked.settled else PREDICTION
        return self._said(
            advice, advice.choice, MeasuredDecision(figure, None, wide.sqnr - narrow.sqnr, decided)
        )

    def _weights(self, advice: Advice) -> Advice:
        predicted = _number(advice.evidence.get("worst_db"))
        if predicted is None:
            return advice
        figure = "worst weight; measured of the outputs, with the weights alone"
        decided = USER if "weights_bitwidth" in self.asked.settled else PREDICTION
        return self._said(
            advice, advice.choice, MeasuredDecision(figure, predicted, self._of_weights(self.choice), decided)
        )

    def _four_bits(self, advice: Advice) -> Advice:
        predicted = _number(advice.evidence.get("worst_db"))
        if predicted is None:
            return advice
        value = self._of_weights(replace(self.choice, weights_bitwidth=4))
        decided = self._decided(predicted, value, advice.by_source)
        choice = advice.choice
        if decided == MEASUREMENT:
            choice = "worth a try" if value >= threshold("weight_sqnr") else "no"
        figure = "worst weight at 4 bits; measured of the outputs, with the weights alone"
        return self._said(advice, choice, MeasuredDecision(figure, predicted, value, decided))

    def _equalization(self, advice: Advice) -> Advice:
        copy = None if self.prepared.from_file else equalized(self.view, self.choice.weights_bitwidth, False)
        if copy is None:
            return advice
        settings = _settings(self.view, self.choice)
        prepared = prepare(copy.view, self.prepared.samples, settings)
        fit_biases(prepared.network, prepared.scheme)
        trials = self.trials.of(prepared.evaluator, prepared.pieces, "equalized: ")
        after = trials.value("whole", prepared.scheme)
        gain = after.sqnr - self._whole(self.choice).sqnr
        decided = self._decided(copy.predicted, gain, False)
        choice = advice.choice
        if decided == MEASUREMENT:
            self.choice = replace(self.choice, cle=gain >= _GAIN)
            choice = "yes" if gain >= _GAIN else "no"
        figure = "gain of equalized weights, predicted of the weights; measured of the whole"
        return self._said(advice, choice, MeasuredDecision(figure, copy.predicted, gain, decided))

    def _joined(self, advice: Advice) -> Advice:
        """The quality of the tensor that a shared grid is predicted to lose."""
        output, lost = str(advice.evidence["output"]), str(advice.evidence["lost"])
        grid = self._scheme(self.choice).activations.get(output)
        outputs = {name for step in self.prepared.network.steps for name in step.outputs}
        if grid is None or lost not in outputs:
            return advice
        error = Error()
        for sample in self.prepared.samples:
            values = self.prepared.evaluator.run(sample, None, keep=[lost])[lost]
            error.add(values, grid.rounded(values))
        steps = _number(advice.evidence.get("steps"))
        # The error of values that span some steps is a twelfth of a squared step, that of others the value
        # itself.
        predicted = (
            None if steps is None else max(0.0, float(decibels(max(steps, 1e-3) ** 2 / 3.0, 1.0 / 12.0)))
        )
        value = _finite(error.sqnr)
        decided = self._decided(predicted, value, False)
        choice = advice.choice
        if decided == MEASUREMENT and value >= threshold("activation_sqnr") and output in self.wide:
            self.wide = tuple(name for name in self.wide if name != output)
            choice = "8 bits do"
        elif decided == MEASUREMENT and value < threshold("activation_sqnr") and self._takes_wide(output):
            self.wide = tuple(dict.fromkeys((*self.wide, output)))
            choice = "16 bits there"
        figure = f"what is left of {lost!r} on that grid"
        return self._said(advice, choice, MeasuredDecision(figure, predicted, value, decided))

    def _takes_wide(self, tensor: str) -> bool:
        return self.choice.runtime is Runtime.HTP and self.choice.act_bitwidth < 16

    @property
    def _is_v66(self) -> bool:
        return self.choice.runtime in (Runtime.DSP, Runtime.AIP)

    # The widths of activations, and the result of the whole plan.

    def widths(self) -> None:
        """Measure the outputs at the plan's widths, search where they are lost, and report the result."""
        position, advice = _position(self.plan.advice, Topic.ACTIVATIONS)
        _, said = _position(self.plan.advice, Topic.OUTPUTS)
        predicted = _number(said.evidence.get("predicted_db"))
        scheme = self._with_wide(self._scheme(self.choice), self.wide)
        value = self.trials.value(self._key(), scheme)
        settled = "act_bitwidth" in self.asked.settled or self._is_v66
        decided = self._decided(predicted, _finite(value.sqnr), settled)
        choice, reason = advice.choice, ""
        if decided == MEASUREMENT:
            choice, scheme, after, reason = self._chosen_width(scheme, value)
            value = after
        self.prepared = replace(self.prepared, scheme=scheme)
        figure = f"worst output at {self.choice.act_bitwidth} bits" + (
            f", {len(self.wide)} at 16" if self.wide else ""
        )
        measured_decision = MeasuredDecision(figure, predicted, _finite(value.sqnr), decided)
        reason = reason or f"measured {value_text(value)}"
        self.advice[position] = replace(
            advice, choice=choice, reason=f"{reason}; predicted: {advice.reason}", measured=measured_decision
        )
        self._outputs(said, value, predicted)

    def _chosen_width(self, scheme: Scheme, value: SchemeQuality) -> tuple[str, Scheme, SchemeQuality, str]:
        """Choice, grids, their quality, and why, by measuring 8 bits first."""
        narrow = replace(self.choice, act_bitwidth=8)
        if self.choice.act_bitwidth == 16:
            other = self._with_wide(self._scheme(narrow), self.wide)
            there = self.trials.value(self._key(), other)
            if self.goal.reached(there):
                self.choice = narrow
                return (
                    "8 bits",
                    other,
                    there,
                    f"8 bits measure {value_text(there)}, which is enough ({self.goal})",
                )
        if self.goal.reached(value):
            return (
                self._words(),
                scheme,
                value,
                f"measured {value_text(value)}, which is enough ({self.goal})",
            )
        if self.choice.act_bitwidth == 16:
            return self._words(), scheme, value, f"16 bits measure {value_text(value)}, short of {self.goal}"
        prepared = replace(self.prepared, scheme=scheme, settings=_settings(self.view, self.choice))
        soc = self.view.target.soc
        hexagon, half = (None, True) if soc is None else (soc.hexagon, soc.fp16 is not False)
        search = SearchState(
            prepared, self.trials.towards(self.goal), self.goal, self.asked.lacking, hexagon, half
        )
        search_outcome = search.widths_alone()
        wide = [name for name in search.scheme.activations if search.scheme.activations[name].bitwidth == 16]
        network = prepared.network
        self.wide = tuple(
            name for name in wide if name not in network.constants and name not in network.inputs
        )
        reached = "which is enough" if search_outcome.reached else "and no step reaches"
        reason = (
            f"8 bits measure {value_text(value)}; with 16 for {100 * search_outcome.share:.0f} % of the"
            f" activations {value_text(search.value)}, {reached} ({self.goal})"
        )
        self.floats = tuple(name for name in search.scheme.floats if name not in network.constants)
        if search_outcome.share > _WIDE and not self.asked.lacking and not self.floats:
            wider = any(grid.bitwidth == 16 for grid in search.scheme.params.values())
            bits = (
                16 if wider and "weights_bitwidth" not in self.asked.settled else self.choice.weights_bitwidth
            )
            self.choice, self.wide = replace(self.choice, act_bitwidth=16, weights_bitwidth=bits), ()
            scheme = self._scheme(self.choice)
            whole = self.trials.value(self._key(), scheme)
            so = "all get 16, and the weights too" if bits == 16 else "all get 16"
            return "16 bits", scheme, whole, f"{reason}; that is most of them, so {so}"
        return self._words(), search.scheme, search.value, reason

    def _words(self) -> str:
        bits = f"{self.choice.act_bitwidth} bits"
        return f"{bits}, 16 for {len(self.wide)}" if self.wide and self.choice.act_bitwidth == 8 else bits

    def _with_wide(self, scheme: Scheme, names: Sequence[str]) -> Scheme:
        """A scheme with 16 bits for some tensors and those that share their grids."""
        shared = self.prepared.shared
        leaders = {shared.get(name, name) for name in names}
        for name, grid in scheme.activations.items():
            if shared.get(name, name) in leaders:
                scheme.activations[name] = grid.at(16)
        fit_grids(self.prepared.network, scheme, shared, self.prepared.from_file)
        return scheme

    def _outputs(self, said: Advice, value: SchemeQuality, predicted: float | None) -> None:
        """The measured quality of every output, which replaces the prediction."""
        position, _ = _position(self.plan.advice, Topic.OUTPUTS)
        rows = list(self._rows())
        kept = self.goal.reached(value)
        worst = sorted(rows, key=lambda row: row.sqnr)
        named = first_few(map(_row, worst), len(worst), separator="; ")
        lost = "" if kept else f"; short of {self.goal}: dlclint simulate --target searches further"
        reason = f"measured: {named}{lost}; predicted without data: {said.choice}, {said.reason}"
        measured_decision = MeasuredDecision(
            "worst output as planned", predicted, _finite(value.sqnr), MEASUREMENT
        )
        self.advice[position] = Advice(
            Topic.OUTPUTS, "kept" if kept else "lost", reason, said.evidence, measured_decision
        )

    def _rows(self) -> Iterator[OutputRow]:
        evaluator, samples = self.prepared.evaluator, self.prepared.samples
        exact = outputs_of(evaluator, None, samples)
        outputs = outputs_of(evaluator, self.prepared.scheme, samples)
        yield from output_rows(
            self.prepared, compare(self.prepared.network, exact, outputs, self.prepared.pieces)
        )

    # Words.

    def _decided(self, predicted: float | None, measured: float, settled: bool) -> str:
        if settled:
            return USER
        return MEASUREMENT if predicted is None or abs(predicted - measured) > _APART else PREDICTION

    def _said(self, advice: Advice, choice: str, measured: MeasuredDecision) -> Advice:
        changed = choice != advice.choice
        reason = f"predicted ({advice.choice}): {advice.reason}" if changed else advice.reason
        reason = f"{measured.figure}; {reason}"
        return replace(advice, choice=choice, reason=reason, measured=measured)


def _position(advice: Sequence[Advice], topic: Topic) -> tuple[int, Advice]:
    return next((position, each) for position, each in enumerate(advice) if each.topic is topic)


def _row(row: OutputRow) -> str:
    agreement = "" if row.agreement is None else f", best class the same in {100 * row.agreement:.1f} %"
    return f"{row.tensor!r} {decibels_text(row.sqnr)}{agreement}"


def _finite(value: float) -> float:
    return max(min(value, NO_DIFFERENCE), -NO_DIFFERENCE)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _decibels(noise: Sequence[float]) -> float:
    worst = max(noise, default=0.0)
    return _finite(-10.0 * float(np.log10(worst))) if worst > 0 else NO_DIFFERENCE
