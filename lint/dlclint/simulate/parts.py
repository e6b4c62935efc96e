"""Outputs with parts of different ranges: which elements of an output come from which tensor.

A Concat or Stack puts boxes of hundreds of pixels next to scores of 0 to 1, and gives both one grid. The
decibels of the whole output are those of the boxes; the scores may be lost. So each part is measured
separately.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dlclint.diagnostic import first_few
from dlclint.model.op_facts import BROADCASTING, ELEMENTWISE_UNARY, MOVES, MOVES_ONE, UNCHANGED
from dlclint.model.tensors import Array
from dlclint.simulate.assigning import FIXED
from dlclint.simulate.evaluating import Evaluator, TensorValues
from dlclint.simulate.inputs.samples import Sample
from dlclint.simulate.measuring import Error
from dlclint.simulate.network import Step
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The elements of an output that come from one tensor: flat positions in the output.

    `bound` is the largest magnitude that the op which computes the tensor can return; None where it has none.
    """

    tensor: str
    join: str
    """The output of the op that joined the tensor with others, whose grid it shares."""
    places: Array
    size: int
    """Elements of the whole output, whose shape is that of the first sample."""
    bound: float | None

    def of(self, values: Array) -> Array:
        """The piece's elements of an output; none where the output has another size."""
        return values.reshape(-1)[self.places] if values.size == self.size else np.zeros(0, values.dtype)


def output_pieces(evaluator: Evaluator, sample: Sample) -> dict[str, tuple[Piece, ...]]:
    """The pieces of every float output that holds elements of more than one tensor.

    The tensors are found by going back from the output through ops that move data; the origin of each element
    by running these ops on numbers that represent the tensors.

    Raises:
        CannotRun: a step does not run.
    """
    traces = [_Trace(evaluator, name) for name in evaluator.network.outputs]
    traces = [trace for trace in traces if len(trace.joins) > 1]
    if not traces:
        return {}
    wanted = dict.fromkeys(name for trace in traces for name in trace.needed)
    values = {**sample, **evaluator.run(sample, None, keep=list(wanted))}
    traced = ((trace.output, trace.pieces(values)) for trace in traces)
    return {name: pieces for name, pieces in traced if len(pieces) > 1}


@dataclass(slots=True)
class _Trace:
    """The path back from an output to the tensors that it holds elements of."""

    evaluator: Evaluator
    output: str
    joins: dict[str, str] = field(default_factory=dict)
    """Each such tensor, and the output of the op that joins it with others ("" before any does)."""
    steps: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The steps on the path, each with those of its inputs whose elements it passes on."""
    computed: set[str] = field(default_factory=set)
    """What an op computes, element by element, from tensors that are joined already."""
    _makers: dict[str, Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._makers = {name: step for step in self.evaluator.network.steps for name in step.outputs if name}
        seen: set[str] = set()
        pending = [(self.output, "")]
        while pending:
            name, join = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            maker = self._makers.get(name)
            handed = None if maker is None else self._handed(maker, name, join)
            if maker is None or handed is None:
                if name not in self.evaluator.network.constants:
                    self.joins[name] = join
                continue
            self.steps[maker.index] = handed
            here = maker.outputs[0] if maker.op in MOVES and maker.op not in MOVES_ONE else join
            pending += [(each, here) for each in reversed(handed)]

    def _handed(self, maker: Step, name: str, join: str) -> tuple[str, ...] | None:
        """The inputs whose elements an op passes on; None for an op that computes.

        After the join, an elementwise computation keeps each element in its position; before it, it is an op
        that computes a part.
        """
        if not maker.official:
            return None
        if maker.op in MOVES or maker.op in UNCHANGED or maker.op == "Cast":
            places = MOVES.get(maker.op, (0,))
            if maker.op.startswith("Scatter") and maker.node.attribute("reduction", "none") != "none":
                return None
            inputs = maker.inputs if places is None else [maker.inputs[position] for position in places]
            return tuple(dict.fromkeys(each for each in inputs if each))
        if join or maker.op not in ELEMENTWISE_UNARY | BROADCASTING:
            return None
        active = [each for each in maker.inputs if each and each not in self.evaluator.network.constants]
        if len(active) != 1:
            return None
        self.computed.add(name)
        return tuple(active)

    @property
    def needed(self) -> list[str]:
        """The tensors that must be computed to know sizes, and what the ops on the path read in addition."""
        outputs = {name for step in self._way() for name in step.outputs} - self.computed
        read = {name for step in self._way() for name in step.reads}
        wanted = {*self.joins, *read, *self.computed} - outputs
        return sorted(name for name in wanted if name not in self.evaluator.network.constants)

    def _way(self) -> list[Step]:
        return [step for step in self.evaluator.network.steps if step.index in self.steps]

    def pieces(self, values: TensorValues) -> tuple[Piece, ...]:
        """The pieces; none where an element's origin is not known."""
        numbers: TensorValues = {
            name: np.full_like(values[name], index)
            for index, name in enumerate(self.joins, 1)
            if isinstance(values[name], np.ndarray) and values[name].dtype.kind == "f"
        }
        if len(numbers) != len(self.joins) or len(self.joins) > _MOST:
            return ()
        for step in self._way():
            handed = self.steps[step.index]
            if step.outputs[0] in self.computed:
                if numbers[handed[0]].shape != values[step.outputs[0]].shape:
                    return ()
                numbers[step.outputs[0]] = numbers[handed[0]]
                continue
            feed = {name: values[name] for name in step.reads if name in values}
            for name in handed:
                # A stored tensor belongs to no part.
                feed[name] = (
                    numbers[name] if name in numbers else np.zeros_like(self.evaluator.store.constant(name))
                )
            outputs = self.evaluator.float_step(step, feed)
            numbers.update((n, value) for n, value in zip(step.outputs, outputs, strict=True) if n)
        whose = numbers[self.output].reshape(-1)
        plainly = not self.computed
        return tuple(
            Piece(
                name,
                join or self.output,
                np.flatnonzero(whose == position).astype(np.int64),
                whose.size,
                self._bound(name) if plainly else None,
            )
            for position, (name, join) in enumerate(self.joins.items(), 1)
            if (whose == position).any()
        )

    def _bound(self, name: str) -> float | None:
        maker = self._makers.get(name)
        bounds = FIXED.get(maker.op) if maker is not None and maker.official else None
        return None if bounds is None else max(map(abs, bounds))


_MOST = 256
"""Maximum number of tensors in one output that is split into parts."""


@record
class Part:
    """Pieces of one output with similar ranges, unlike those of its other parts."""

    output: str
    tensors: tuple[str, ...]
    join: str
    pieces: tuple[int, ...]
    """Their indices among the pieces of the output."""

    def __str__(self) -> str:
        """A text such as `scores in output0`."""
        return f"{first_few(self.tensors, len(self.tensors))} in {self.output}"


def unlike_parts(output: str, pieces: Sequence[Piece], magnitudes: Sequence[float]) -> tuple[Part, ...]:
    """The parts of an output, the widest first; none where all pieces have similar ranges.

    Args:
        output: the name of the output.
        pieces: its pieces.
        magnitudes: the largest float value of each piece over all samples. A piece that its op bounds, such
            as the output of Sigmoid, counts with the bound, which determines its grid wherever it is stored
            alone.
    """
    sizes = [
        size if piece.bound is None else piece.bound for piece, size in zip(pieces, magnitudes, strict=True)
    ]
    ranked = sorted(
        (number for number, size in enumerate(magnitudes) if size > 0),
        key=lambda number: (-sizes[number], number),
    )
    alike: list[list[int]] = []
    for position in ranked:
        if alike and sizes[position] * threshold("unlike_parts") > sizes[alike[-1][0]]:
            alike[-1].append(position)
        else:
            alike.append([position])
    if len(alike) < 2:
        return ()
    return tuple(
        Part(output, tuple(pieces[index].tensor for index in each), pieces[each[0]].join, tuple(each))
        for each in map(sorted, alike)
    )


def joined_piece(part: Part, pieces: Sequence[Piece]) -> Piece:
    """All elements of a part as one piece."""
    places = np.concatenate([pieces[index].places for index in part.pieces])
    return replace(pieces[part.pieces[0]], places=places)


def is_lost(error: Error) -> bool:
    """Whether so little remains of a part that no target counts as reached."""
    return error.sqnr < threshold("part_sqnr")


@dataclass(slots=True)
class PieceErrors:
    """The errors of the pieces of outputs, summed over samples."""

    pieces: Mapping[str, Sequence[Piece]]
    errors: dict[str, list[Error]] = field(default_factory=dict)

    def add(self, output: str, expected: Array, actual: Array) -> None:
        """Add one output of one sample."""
        pieces = self.pieces.get(output, ())
        errors = self.errors.setdefault(output, [Error() for _ in pieces])
        for piece, error in zip(pieces, errors, strict=True):
            error.add(piece.of(expected), piece.of(actual))

    def parts(self, output: str) -> tuple[tuple[Part, Error], ...]:
        """The parts of an output with different ranges, each with its summed error."""
        pieces, errors = self.pieces.get(output, ()), self.errors.get(output, [])
        unlike = unlike_parts(output, pieces, [error.magnitude for error in errors])
        return tuple((part, _merged(errors[position] for position in part.pieces)) for part in unlike)


def _merged(errors: Iterable[Error]) -> Error:
    total = Error()
    for error in errors:
        total.take(error)
    return total
