"""Where the outputs of both engines diverge: the layer at which the backend's values change the outputs.

A tensor that has the same SQNR on both engines may hold other roundings, and one with another SQNR need not
matter to the outputs. So the cause is found by switching: the backend's values up to a layer, and the
documented arithmetic from there on. With a switch before the first layer, the outputs are those of the
reference engine; after the last one, those of the backend. The outputs diverge at the last layer whose values
on the backend take them from nearer to the reference engine's accuracy to nearer to the backend's.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from dlclint.diagnostic import first_few, plain
from dlclint.model.tensors import Array
from dlclint.simulate.evaluating import Evaluator, TensorValues
from dlclint.simulate.measuring import Error
from dlclint.simulate.parts import Piece, PieceErrors, joined_piece
from dlclint.simulate.scheme import Scheme
from dlclint_schemas.record import record

PART = 1.0
"""The difference, in decibels, from which the engines disagree."""
_CLAMP = 200.0
"""Decibels of outputs that do not differ at all; negative, those of lost outputs."""
_PIECES = 8
"""Pieces into which the layers are divided in one round of the search for the one that diverges."""
_FEW = 16
"""The number of values of an output up to which one step of a grid changes its SQNR by decibels."""


@record
class Figure:
    """An output, or a part of it, whose SQNR is compared."""

    output: str
    text: str
    """Its name in messages."""
    piece: Piece | None = None

    def sqnr(self, expected: Mapping[str, Array], measured: Mapping[str, Array]) -> float:
        """SQNR in dB, finite."""
        one, two = expected[self.output], measured[self.output]
        error = Error()
        if self.piece is None:
            error.add(one, two)
        else:
            error.add(self.piece.of(one), self.piece.of(two))
        return _finite(error.sqnr)


@dataclass(slots=True)
class BothEngines:
    """The quality of the outputs on the reference engine and on the backend, summed over samples."""

    pieces: Mapping[str, Sequence[Piece]]
    errors: dict[str, tuple[Error, Error]] = field(default_factory=dict)
    parts: tuple[PieceErrors, PieceErrors] = field(init=False)
    sample: int = 0
    """The sample in which the noise of both differs most."""
    outputs: TensorValues = field(default_factory=dict)
    """The backend's outputs of that sample."""
    _seen: int = 0
    _widest: float = -1.0

    def __post_init__(self) -> None:
        self.parts = PieceErrors(self.pieces), PieceErrors(self.pieces)

    def add(self, expected: TensorValues, rounded: TensorValues, on_backend: TensorValues) -> None:
        """Add the float outputs of one sample, and those of the reference engine, and of the backend."""
        for name, values in expected.items():
            if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
                continue
            of_sample = Error(), Error()
            sums = self.errors.setdefault(name, (Error(), Error()))
            for error, total, parts, outputs in zip(
                of_sample, sums, self.parts, (rounded, on_backend), strict=True
            ):
                error.add(values, outputs[name])
                total.take(error)
                parts.add(name, values, outputs[name])
            noise = [error.noise + error.odd for error in of_sample]
            wide = abs(noise[0] - noise[1]) / (of_sample[0].signal or 1.0)
            if wide > self._widest:
                self._widest, self.sample, self.outputs = wide, self._seen, on_backend
        self._seen += 1

    def widest(self) -> Figure | None:
        """The output, or part of one, whose SQNR differs most; None where all are within `PART`."""
        differences: list[tuple[float, Figure]] = []
        for name, (one, two) in self.errors.items():
            differences.append((_apart(one, two), Figure(name, plain(name))))
            pairs = zip(self.parts[0].parts(name), self.parts[1].parts(name), strict=True)
            for (part, before), (_, after) in pairs:
                piece = joined_piece(part, self.pieces[name])
                text = plain(f"{first_few(part.tensors, len(part.tensors))} in {name}")
                differences.append((_apart(before, after), Figure(name, text, piece)))
        if not differences:
            return None
        wide, figure = max(differences, key=lambda difference: difference[0])
        return figure if wide > PART else None


@record
class Parting:
    """The last layer whose values on the backend take an output to what the backend has.

    `reference` and `htp` are the SQNR in dB of the output in one sample; `before` and `after` the same with
    the backend's values up to before the layer, and up to it, and the documents from there on. `steps` is how
    far the layer is from the documented op on the backend's own inputs, in steps of its grid at the most,
    and `off` the share of its values that are another number of the grid. `plain` is the backend's SQNR where
    no other tensor is an output, which may change what the backend computes.
    """

    figure: str
    op: str
    tensor: str
    reference: float
    htp: float
    before: float
    after: float
    steps: float
    off: float
    numbers: int
    plain: float

    def words(self) -> str:
        """The layer and how much of the difference it makes, in one sentence."""
        share = (self.after - self.before) / (self.htp - self.reference)
        values = "1 value" if self.numbers == 1 else f"{self.numbers:,} values"
        said = (
            f"both engines part at {self.op} {self.tensor}: {self.figure} has {self.reference:.1f} dB by the"
            f" documents and {self.htp:.1f} on HTP; HTP's values before this layer leave {self.before:.1f}"
            f" (the documents compute the rest), and HTP's values of this layer {self.after:.1f}"
        )
        if self.off:
            most, rate = round(self.steps), 100 * self.off
            said += (
                f"; given the same inputs, {'under 1' if rate < 1 else f'{rate:.0f}'} % of its values differ"
                f" from the documented ones, by {'1 step' if most == 1 else f'{most:,} steps'} of its grid at"
                " most"
            )
        else:
            said += "; given the same inputs, its values are the documented ones"
        if abs(self.plain - self.htp) > PART:
            said += f"; where only the outputs are read, HTP has {self.plain:.1f}"
        if share < 0.5:
            said += "; no single layer causes half of the difference"
        if self.numbers <= _FEW:
            said += f"; the figure depends on {values}, so a single step of a grid changes it by decibels"
        return said


def find_parting(
    evaluator: Evaluator,
    scheme: Scheme,
    figure: Figure,
    exact: TensorValues,
    seen: TensorValues,
    own: TensorValues,
    measured: Iterable[str],
    outputs: TensorValues,
) -> Parting | None:
    """The layer at which an output diverges in one sample; None if it does not in this one.

    Args:
        evaluator: of the network.
        scheme: the grids.
        figure: the output.
        exact: the float values of the outputs.
        seen: the backend's value of every tensor, or the result of the documented op on its inputs.
        own: the results of the documented ops on the backend's inputs.
        measured: the tensors that were read from the backend.
        outputs: the backend's outputs where no other tensor is read.

    Raises:
        CannotRun: a step does not run.
    """
    known = set(measured) & scheme.activations.keys()
    placed = [
        (position, step) for position, step in enumerate(evaluator.network.steps) if step.outputs[0] in known
    ]
    layers = [step for _, step in placed]
    cuts = [0, *(position + 1 for position, _ in placed)]
    cache: dict[int, float] = {}

    def at(position: int) -> float:
        if position not in cache:
            cache[position] = figure.sqnr(exact, _switched(evaluator, scheme, seen, cuts[position]))
        return cache[position]

    low, high = 0, len(cuts) - 1
    reference, htp = at(low), at(high)
    if not layers or abs(htp - reference) <= PART:
        return None

    def has_parted(position: int) -> bool:
        return abs(at(position) - htp) < abs(at(position) - reference)

    while high - low > 1:
        size = max(1, -(-(high - low) // _PIECES))
        pairs = pairwise([*range(low, high, size), high])
        # From the end, where few steps are left to run.
        low, high = next(
            (before, after)
            for before, after in reversed(list(pairs))
            if has_parted(after) and not has_parted(before)
        )
    layer = layers[high - 1]
    name = layer.outputs[0]
    off = np.abs(own[name].astype(np.float64) - seen[name]) / scheme.activations[name].scale
    values = exact[figure.output]
    return Parting(
        figure.text,
        plain(layer.op),
        plain(name),
        reference,
        htp,
        at(low),
        at(high),
        float(off.max(initial=0.0)),
        float((off > 0.5).mean()),
        values.size if figure.piece is None else figure.piece.of(values).size,
        figure.sqnr(exact, outputs),
    )


def _switched(evaluator: Evaluator, scheme: Scheme, seen: TensorValues, start: int) -> TensorValues:
    """The outputs with the backend's values before step `start`, and the documented arithmetic from it on."""
    network = evaluator.network
    fresh: TensorValues = {}
    values: Mapping[str, object] = ChainMap(fresh, seen)
    left = evaluator.uses()
    for step in network.steps[start:]:
        results = evaluator.quantized_step(step, values, scheme)
        fresh.update((name, value) for name, value in zip(step.outputs, results, strict=True) if name)
        evaluator.release(step, fresh, left, network.outputs)
    return {name: evaluator.value(name, values) for name in network.outputs}


def _finite(value: float) -> float:
    return float(min(max(value, -_CLAMP), _CLAMP))


def _apart(one: Error, two: Error) -> float:
    return abs(_finite(one.sqnr) - _finite(two.sqnr))
