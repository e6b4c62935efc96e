"""Which leading dimensions of a model's inputs are a batch: samples that are computed independently.

A leading dimension is followed through the graph, axis by axis. Where a recurrent op uses it as time or for
the states of several layers, or where it is used like a weight or as a shape, it is not a batch. Where
samples are combined (a sum over them, a softmax along them) or an op is not understood, it is unknown whether
the model computes the same one sample at a time. Where neither happens, it does.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from functools import cached_property

from dlclint.analysis.axes import Followed, follow
from dlclint.analysis.axis_steps import AxisStep
from dlclint.analysis.picked_parts import parts_meet
from dlclint.model.graph import Graph, Model
from dlclint.model.types import Dim

_TIME = frozenset(
    {"frame", "frames", "len", "length", "seq", "seqlen", "sequence", "step", "steps", "t", "time"}
    | {"timestep", "timesteps", "token", "tokens"}
)
"""Words in the name of a dimension that exporters give to time."""
_BATCH = frozenset({"batch", "batches", "batchsize", "bs"})


class Meaning(enum.Enum):
    """The meaning of the leading dimension of an input."""

    SAMPLES = "samples"
    """A batch, according to the whole graph: every sample is computed separately."""
    MIXED = "mixed"
    """Possibly a batch, but samples are combined, or an op is not understood."""
    TIME = "time"
    LAYERS = "layers"
    """The states of several layers or directions, or other parts that are selected individually."""
    OPERAND = "operand"
    """A factor of the samples, such as the rows of a weight."""
    SHAPE = "shape"
    """Numbers that configure an op, such as a shape."""
    LIST = "list"
    """The length of a list: the input has no other dimension, and no input with more has the same."""

    @property
    def is_batch(self) -> bool:
        """Whether the batch rules check it."""
        return self in (Meaning.SAMPLES, Meaning.MIXED)


_BY_STEP = {
    AxisStep.TIME: Meaning.TIME,
    AxisStep.LAYERS: Meaning.LAYERS,
    AxisStep.OPERAND: Meaning.OPERAND,
    AxisStep.SHAPE: Meaning.SHAPE,
    AxisStep.MIXED: Meaning.MIXED,
    AxisStep.PICKED: Meaning.MIXED,
}
"""The meaning of an input where a node uses it in this way; the first that occurs anywhere decides."""


def is_time(dim: Dim) -> bool:
    """Whether a dimension has a name of time, such as `sequence_length`; `batch_sequence` has not."""
    if not isinstance(dim, str):
        return False
    words = _words(dim)
    return bool(words & _TIME) and not words & _BATCH


def _names_a_batch(dim: Dim) -> bool:
    return isinstance(dim, str) and bool(_words(dim) & _BATCH)


def _words(dim: str) -> set[str]:
    return set(re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", dim).lower()))


class Batch:
    """The leading dimensions of a model's inputs, each followed on the first request."""

    def __init__(self, model: Model) -> None:
        self._graph = model.graph
        self._meanings: dict[str, Meaning] = {}

    @cached_property
    def _groups(self) -> Mapping[Dim, tuple[str, ...]]:
        """The inputs by their leading dimension; those without a name or size form one group."""
        groups: dict[Dim, list[str]] = {}
        for name in self._graph.inputs:
            tensor_type = self._graph.type_of(name)
            if tensor_type is not None and tensor_type.shape:
                groups.setdefault(tensor_type.shape[0], []).append(name)
        return {dim: tuple(names) for dim, names in groups.items()}

    def meaning(self, name: str) -> Meaning:
        """The meaning of an input's first dimension; MIXED where its rank is unknown."""
        if name not in self._meanings:
            for dim, names in self._groups.items():
                if name in names:
                    self._meanings.update(self._of_group(dim, names))
                    break
            else:
                self._meanings[name] = Meaning.MIXED
        return self._meanings[name]

    def _of_group(self, dim: Dim, names: tuple[str, ...]) -> dict[str, Meaning]:
        if is_time(dim):
            return dict.fromkeys(names, Meaning.TIME)
        together = self._followed(self._starts(dim, names))
        if (
            together.is_batch
            and not _names_a_batch(dim)
            and all(self._graph.rank(name) == 1 for name in names)
        ):
            return dict.fromkeys(names, Meaning.LIST)
        if together is Meaning.SAMPLES or len(names) == 1 or isinstance(dim, str):
            return dict.fromkeys(names, together)
        return {name: self._followed({name: 0}) for name in names}

    def _starts(self, dim: Dim, names: tuple[str, ...]) -> dict[str, int]:
        starts = dict.fromkeys(names, 0)
        if isinstance(dim, str):  # a symbol is the same size everywhere
            for name in self._graph.inputs:
                tensor_type = self._graph.type_of(name)
                shape = () if tensor_type is None or tensor_type.shape is None else tensor_type.shape
                if name not in starts and dim in shape:
                    starts[name] = shape.index(dim)
        return starts

    def _followed(self, starts: Mapping[str, int]) -> Meaning:
        followed = follow(self._graph, starts)
        steps = {event.step for event in followed.events}
        sizes = [self._graph.type_of(name) for name in starts]
        fixed = all(kind is not None and kind.shape and isinstance(kind.shape[0], int) for kind in sizes)
        if fixed and steps == {AxisStep.PICKED} and len(followed.axes) == len(starts):
            return Meaning.LAYERS  # the parts are only distinguished from each other
        if AxisStep.PICKED in steps and parts_meet(followed.events):
            return Meaning.LAYERS  # such as the steps of an unrolled recurrent op
        return next((meaning for step, meaning in _BY_STEP.items() if step in steps), Meaning.SAMPLES)

    @cached_property
    def dims(self) -> frozenset[Dim]:
        """The leading dimensions other than 1 that are a batch."""
        return frozenset(
            dim
            for dim, names in self._groups.items()
            if dim != 1 and any(self.meaning(name).is_batch for name in names)
        )

    def is_independent(self, dims: frozenset[Dim]) -> bool:
        """Whether every sample is computed separately in all inputs that have one of these batches."""
        names = (name for dim in dims for name in self._groups.get(dim, ()))
        return Meaning.MIXED not in map(self.meaning, names)

    @cached_property
    def _carried(self) -> Followed:
        starts = {}
        for dim in self.dims:
            names = tuple(name for name in self._groups[dim] if self.meaning(name).is_batch)
            starts.update(self._starts(dim, names))
        return follow(self._graph, starts)

    def axis(self, graph: Graph, tensor: str) -> int | None:
        """The axis of a tensor along which the samples of a batch other than 1 are, or None."""
        return self._carried.axis(graph, tensor)
