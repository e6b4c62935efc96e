"""Schemes tried on the samples: the resulting quality of the outputs, kept for the next run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlclint.model.tensors import Array
from dlclint.simulate.evaluating import Evaluator, TensorValues
from dlclint.simulate.inputs.samples import Sample, Samples
from dlclint.simulate.measuring import Agreement, Error, Scores
from dlclint.simulate.parts import Piece, is_lost, joined_piece, unlike_parts
from dlclint.simulate.reference import Tick, mapped_in_order, quiet, threads
from dlclint.simulate.scheme import Scheme
from dlclint.simulate.scores import score_tensor
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

_KEPT = 768 << 20
"""Bytes of float activations that are kept, so that a change runs only what comes after it."""
_MOST = 4
"""Samples on which single grids are tried; whole schemes are tried on all."""
_NONE = 999.0
"""The decibels of outputs that do not differ."""
_LEAST = 1e-24
"""Relative noise below which nothing is distinguished (-240 dB)."""


@record
class SchemeQuality:
    """The measured quality of a scheme: SQNR in dB of the worst output or part, and the lowest agreement.

    `part` is the SQNR of the worst part of an output with parts of different ranges, `lost` are the parts of
    which next to nothing remains.
    """

    sqnr: float
    agreement: float | None
    part: float = _NONE
    lost: tuple[str, ...] = ()


@record
class Goal:
    """The target values; None where a value does not matter.

    `part` is the SQNR in dB that each part of an output with parts of different ranges must keep in any case.
    """

    sqnr: float | None = None
    agreement: float | None = None
    part: float = field(default_factory=lambda: threshold("part_sqnr"))

    def reached(self, value: SchemeQuality) -> bool:
        """Whether a value reaches the goal."""
        if value.part < self.part or (self.sqnr is not None and value.sqnr < self.sqnr):
            return False
        return self.agreement is None or (value.agreement is not None and value.agreement >= self.agreement)

    def better(self, value: SchemeQuality, than: SchemeQuality) -> bool:
        """Whether a value is nearer to the goal, by more than chance."""
        if self.agreement is not None and value.agreement != than.agreement:
            return (value.agreement or 0.0) > (than.agreement or 0.0)
        return value.sqnr > than.sqnr + 0.05

    def __str__(self) -> str:
        parts = [f"{self.sqnr:g} dB"] if self.sqnr is not None else []
        parts += [f"agreement {self.agreement:g}"] if self.agreement is not None else []
        return " and ".join(parts)


_CLOSE = 3.0
"""Where a target cannot be reached, the search looks for what is within so many dB of the best."""
_CLOSE_AGREEMENT = 0.01


def near(goal: Goal, best: SchemeQuality) -> Goal:
    """A goal that the best value just reaches."""
    agreement = goal.agreement
    if agreement is not None:
        agreement = min(agreement, (best.agreement or 0.0) - _CLOSE_AGREEMENT)
    sqnr = None if goal.sqnr is None else min(goal.sqnr, best.sqnr - _CLOSE)
    return Goal(sqnr, agreement, min(goal.part, best.part - _CLOSE))


def value_text(value: SchemeQuality) -> str:
    """A value in words."""
    agreement = "" if value.agreement is None else f", agreement {value.agreement:.3f}"
    lost = f", lost: {value.lost[0]}" if value.lost else ""
    return f"{value.sqnr:.1f} dB{agreement}{lost}"


@dataclass(slots=True)
class Journal:
    """Earlier measurements, by what was tried; kept in a file if there is one.

    A line is one measurement, so that an interrupted run loses at most the last.
    """

    path: Path | None = None
    fingerprint: str = ""
    known: dict[str, Any] = field(default_factory=dict)
    reused: int = 0

    def open(self) -> None:
        """Read what another run of the same question left, or start again.

        Raises:
            OSError: the file cannot be read or written.
        """
        if self.path is None:
            return
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        if lines and lines[0] == self.fingerprint:
            for line in lines[1:]:
                try:
                    key, value = json.loads(line)
                except (ValueError, TypeError):
                    continue  # the line that an interruption cut off
                self.known[key] = value
            # The next line must not be appended to one that was cut off.
            whole = [self.fingerprint, *(json.dumps(entry) for entry in self.known.items())]
            self.path.write_text("\n".join(whole) + "\n", "utf-8")
            return
        if lines and not lines[0].startswith(_FIRST):
            raise OSError("the file is not a journal of a search; name another")
        self.path.write_text(self.fingerprint + "\n", "utf-8")

    def get(self, key: str, measure: Callable[[], Any]) -> Any:
        """The known value of a key, or what `measure` returns (numbers, text and lists)."""
        if key in self.known:
            self.reused += 1
            return self.known[key]
        value = self.known[key] = measure()
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([key, value]) + "\n")
        return value


class Trials:
    """The samples with the results of the float model, and the schemes tried on them."""

    def __init__(
        self,
        evaluator: Evaluator,
        pieces: Mapping[str, Sequence[Piece]],
        samples: Samples,
        goal: Goal,
        journal: Journal,
        tick: Tick = quiet,
        prefix: str = "",
    ) -> None:
        self.evaluator = evaluator
        self._prefix = prefix
        self.goal = goal
        self._tick = tick
        self._journal = journal
        self._samples = samples
        self._workers = min(threads(), len(samples))
        self._exact: list[TensorValues] = list(
            mapped_in_order(lambda sample: evaluator.run(sample, None), samples, self._workers)
        )
        self._scores = self._find_scores()
        self._parts = self._find_parts(pieces)
        self._bases: list[TensorValues] = []
        self.evaluated = 0

    def towards(self, goal: Goal) -> Trials:
        """The same trials for a goal that was not known when the samples were run."""
        self.goal = goal
        return self

    def of(self, evaluator: Evaluator, pieces: Mapping[str, Sequence[Piece]], prefix: str) -> Trials:
        """The same trials for another network of the same function; its journal keys start with `prefix`."""
        return Trials(evaluator, pieces, self._samples, self.goal, self._journal, self._tick, prefix)

    def _find_scores(self) -> dict[str, Scores]:
        by_output = {}
        for name in self.evaluator.network.outputs:
            values = self._exact[0][name]
            scores = score_tensor(self.evaluator.network, name, values.ndim, values.shape)
            if scores is not None:
                by_output[name] = scores
        return by_output

    def _find_parts(self, pieces: Mapping[str, Sequence[Piece]]) -> dict[str, dict[str, Piece]]:
        """The parts with different ranges of each output that has any, by their name."""
        parts = {}
        for name, each in pieces.items():
            sizes = [
                float(max(np.abs(piece.of(exact[name])).max(initial=0.0) for exact in self._exact))
                for piece in each
            ]
            parts[name] = {str(part): joined_piece(part, each) for part in unlike_parts(name, each, sizes)}
        return parts

    @property
    def has_scores(self) -> bool:
        """Whether an output holds scores."""
        return bool(self._scores)

    def value(self, key: str, scheme: Scheme) -> SchemeQuality:
        """The quality of the outputs with a whole scheme; `key` names it for the journal."""
        sqnr, agreement, part, lost = self._journal.get(
            self._named(key, scheme), lambda: self._measured(scheme)
        )
        return SchemeQuality(float(sqnr), agreement, float(part), tuple(lost))

    def _named(self, key: str, scheme: Scheme) -> str:
        """A key of the journal: what is tried, and with which grids, because other targets lead to others."""
        return f"{self._prefix}{key} {scheme.digest()}"

    def _measured(self, scheme: Scheme) -> list[Any]:
        self.evaluated += 1
        errors: dict[str, Error] = {}
        agreements: dict[str, Agreement] = {}
        parts: dict[str, Error] = {}

        def run(sample: Sample) -> TensorValues:
            return self.evaluator.run(sample, scheme)

        for expected, actual in zip(
            self._exact, mapped_in_order(run, self._samples, self._workers), strict=True
        ):
            for name in self.evaluator.network.outputs:
                one, two = expected[name], actual[name]
                if not isinstance(one, np.ndarray) or one.dtype.kind != "f":
                    continue
                errors.setdefault(name, Error()).add(one, two)
                for part, piece in self._parts.get(name, {}).items():
                    parts.setdefault(part, Error()).add(piece.of(one), piece.of(two))
                if name in self._scores:
                    agreements.setdefault(name, Agreement()).add(self._scores[name], one, two)
        self._tick()
        rates = [agreement.rate for agreement in agreements.values() if agreement.total]
        worst_part = _least(parts.values())
        lost = [name for name, error in parts.items() if is_lost(error)]
        return [min(_least(errors.values()), worst_part), min(rates, default=None), worst_part, lost]

    def noise(self, key: str, scheme: Scheme) -> list[float]:
        """The noise that a scheme with few grids adds to each float output, divided by the output's energy.

        Where agreement is the goal, only the scores count in an output that has some. The noise that it adds
        to each part with a different range, divided by the part's energy, follows.
        """
        noises: list[float] = self._journal.get(self._named(key, scheme), lambda: self._noise(scheme))
        return noises

    def _noise(self, scheme: Scheme) -> list[float]:
        self.evaluated += 1
        bases = self._kept()
        errors: dict[str, Error] = {}

        def one(index: int) -> TensorValues:
            if index < len(bases):
                return self.evaluator.run_from(bases[index], scheme)
            return self.evaluator.run(self._samples.load[index](), scheme)

        places = range(min(_MOST, len(self._samples)) if not bases else len(bases))
        for position, noises in zip(places, mapped_in_order(one, places, self._workers), strict=True):
            for name, expected in self._exact[position].items():
                if isinstance(expected, np.ndarray) and expected.dtype.kind == "f":
                    takers = {name: self._part(name)}
                    takers |= {part: piece.of for part, piece in self._parts.get(name, {}).items()}
                    for key, of in takers.items():
                        errors.setdefault(key, Error()).add(of(expected), of(noises[name]))
        self._tick()
        return [_relative(error) for error in errors.values()]

    def _part(self, name: str) -> Callable[[Array], Array]:
        scores = self._scores.get(name)
        if self.goal.agreement is None or scores is None:
            return lambda values: values
        return lambda values: np.take(values, range(scores.first, scores.last), scores.axis)

    def _kept(self) -> list[TensorValues]:
        """Every float activation of the first samples, as many as fit; none where one does not."""
        if self._bases:
            return self._bases
        outputs = [name for step in self.evaluator.network.steps for name in step.outputs if name]
        total = 0
        for position in range(min(_MOST, len(self._samples))):
            sample: Sample = self._samples.load[position]()
            values = {**sample, **self.evaluator.run(sample, None, keep=outputs)}
            size = sum(v.nbytes for v in values.values() if isinstance(v, np.ndarray))
            if total + size > _KEPT:
                break
            total += size
            self._bases.append(values)
        return self._bases


def _least(errors: Iterable[Error]) -> float:
    """The lowest SQNR in dB, with infinities replaced by large numbers."""
    return min(max(min((error.sqnr for error in errors), default=_NONE), -_NONE), _NONE)


def _relative(error: Error) -> float:
    if error.odd:
        return 1e6
    if not error.signal:
        return 0.0 if not error.noise else 1e6
    return max(error.noise / error.signal, _LEAST) if error.noise else 0.0


_FIRST = '{"dlclint search":'


def question_fingerprint(parts: Mapping[str, object]) -> str:
    """One line that identifies the question that a journal belongs to."""
    return json.dumps({"dlclint search": 2, **{key: str(value) for key, value in parts.items()}})
