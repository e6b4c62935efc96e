"""The inputs for comparing two models: sizes of open dimensions, values, and single samples.

A batch that is 1 in the changed model is run in the original with two samples or more, and in the changed
model sample by sample. Dimensions that are open in both get more than one size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from dlclint.analysis.batch import Batch
from dlclint.model.dimensions import Dimensions
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import MOVES_ONE
from dlclint.model.tensors import Array
from dlclint.model.types import Dim, TensorType, numpy_type
from dlclint_schemas.record import record

Feed = Mapping[str, Array]
KINDS = ("normal", "uniform", "smooth", "large", "bytes")
"""The values of float inputs: around 0, from 0 to 1, as smooth images, five times as large, from 0 to 255."""
_SIZES = (16, 8, 32, 64, 128, 224, 1)
"""Sizes tried one after the other for dimensions that are open in the changed model."""
_BATCHES = (2, 3, 4, 8, 16, 32, 64, 1)
"""Sizes tried where the batch is open; 1, which makes the weakest comparison, only where nothing else runs.
"""
_MOST = 1 << 27
"""Elements of an input that are drawn at most, half a gigabyte: volumes of 512 by 512 by 512 have as many."""
_PASSES_INDICES = MOVES_ONE | {"Cast"}


class NoFeed(Exception):
    """No inputs can be made for the models; the argument states why in one line."""


@record
class Scene:
    """Sizes of open dimensions: of the batch, and of every other dimension."""

    batch: int
    size: int


class Feeds:
    """The inputs of two models.

    `asked` are sizes that the user gave the changed model: a dimension that is not a batch has only those.
    """

    def __init__(self, before: Model, after: Model, asked: Dimensions) -> None:
        self._asked = asked
        self._before, self._after = before.graph, after.graph
        self._batch = Batch(before)
        self._inputs = {name: self._types(name) for name in before.graph.inputs}
        self._split = {name: frozenset(self._split_axes(name)) for name in before.graph.inputs}

    def _types(self, name: str) -> tuple[TensorType, TensorType]:
        old = self._before.type_of(name)
        new = self._after.type_of(name) if name in self._after.inputs else old
        if old is None or new is None:
            raise NoFeed(f"input {name!r} is not a tensor")
        if old.shape is None or new.shape is None or len(old.shape) != len(new.shape):
            raise NoFeed(f"input {name!r} has no shape, or another rank")
        return old, new

    def _split_axes(self, name: str) -> Iterator[int]:
        """The axes along which the changed model takes one sample where the original takes several."""
        old, new = self._shapes(name)
        for axis, (one, two) in enumerate(zip(old, new, strict=True)):
            if two == 1 and one != 1:
                asked = self._asked
                is_asked = name in asked.input_dims or one in asked.symbols or asked.batch is not None
                leading = axis == 0 and (self._batch.meaning(name).is_batch or not is_asked)
                if leading or (one is not None and one in self._batch.dims):
                    yield axis

    def _shapes(self, name: str) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
        old, new = self._inputs[name]
        return old.shape or (), new.shape or ()

    @property
    def samples_are_single(self) -> bool:
        """Whether the changed model takes one sample at a time."""
        return any(self._split.values())

    def scenes(self) -> list[Scene]:
        """The sizes to try, one after the other."""
        fixed = {
            size
            for name, axes in self._split.items()
            for axis in axes
            if isinstance(size := self._shapes(name)[0][axis], int)
        }
        if len(fixed) > 1:
            raise NoFeed("the inputs had different batches, which cannot be compared with batch 1")
        batches = tuple(fixed) or (_BATCHES if self.samples_are_single or self._is_open(True) else (1,))
        sizes = _SIZES if self._is_open(False) else _SIZES[:1]
        return [Scene(batch, size) for size in sizes for batch in batches]

    def _is_open(self, batch: bool) -> bool:
        return any(
            not isinstance(dim, int) and self._is_batch(name, axis, dim) is batch
            for name in self._inputs
            for axis, dim in enumerate(self._shapes(name)[1])
        )

    def _is_batch(self, name: str, axis: int, dim: Dim) -> bool:
        named = isinstance(dim, str) and dim in self._batch.dims
        return named or (axis == 0 and dim is None and self._batch.meaning(name).is_batch)

    def draw(self, scene: Scene, seed: int, kind: str = KINDS[0]) -> Feed:
        """Draw inputs of the original.

        Raises:
            NoFeed: see the class.
        """
        draw = _Draw(np.random.default_rng(seed), seed, kind)
        return {name: self._values(name, scene, draw) for name in self._inputs}

    def _values(self, name: str, scene: Scene, draw: _Draw) -> Array:
        old, new = self._shapes(name)
        shape = []
        for axis, (one, two) in enumerate(zip(old, new, strict=True)):
            if axis in self._split[name]:
                shape.append(scene.batch)
            elif isinstance(two, int) or isinstance(one, int):
                shape.append(two if isinstance(two, int) else one)  # type: ignore[arg-type]
            else:
                shape.append(scene.batch if self._is_batch(name, axis, two) else scene.size)
        graph = self._after if name in self._after.inputs else self._before
        return draw.values(graph, name, self._inputs[name][1], shape)

    def singles(self, feed: Feed, scene: Scene) -> list[Feed]:
        """The same inputs in the form of the changed model, sample by sample where it takes single ones."""
        kept = {name: value for name, value in feed.items() if name in self._after.inputs}
        if not self.samples_are_single:
            return [kept]
        return [
            {name: _sample(value, self._split[name], index) for name, value in kept.items()}
            for index in range(scene.batch)
        ]


def _sample(value: Array, axes: frozenset[int], index: int) -> Array:
    for axis in axes:
        value = np.take(value, [index], axis)
    return value


def joined_batches(parts: list[Array], whole: Array) -> list[tuple[Array, Array]]:
    """Outputs of single samples paired with that of all samples: joined, or each where it has no batch."""
    if len(parts) == 1:
        return [(whole, parts[0])]
    one = parts[0].shape
    if whole.shape == one:
        return [(whole, part) for part in parts]
    for axis in range(min(whole.ndim, len(one))):
        expected = (*one[:axis], one[axis] * len(parts), *one[axis + 1 :])
        if whole.shape == expected and all(part.shape == one for part in parts):
            return [(whole, np.concatenate(parts, axis))]
    return [(whole, parts[0])]


@record
class _Draw:
    """How the values of one run are drawn."""

    random: np.random.Generator
    seed: int
    kind: str

    def values(self, graph: Graph, name: str, tensor_type: TensorType, shape: list[int]) -> Array:
        dtype = numpy_type(tensor_type.data_type) or np.dtype(object)
        if min(shape, default=1) < 0:
            raise NoFeed(f"input {name!r} has a negative dimension")
        # A dimension of 0 makes no elements, and NumPy does not make arrays of any size with it either.
        if math.prod(max(size, 1) for size in shape) > _MOST:
            raise NoFeed(f"input {name!r} has {math.prod(shape)} elements in {shape}, more than are drawn")
        if dtype.kind == "b":
            if max(shape, default=1) <= 1:  # or two draws of one value would often be the same
                return np.full(shape, self.seed % 2 == 0)
            return np.asarray(self.random.random(shape) < 0.5)
        if dtype.kind in "iu":
            top = min((limit for limit in _index_limits(graph, name) if limit is not None), default=None)
            if top is not None:
                return self.random.integers(0, max(top, 1), shape).astype(dtype)
            return self._mask(shape).astype(dtype)
        if dtype.kind == "O":
            raise NoFeed(f"input {name!r} is of a type that no values are drawn for ({tensor_type})")
        return self._floats(shape).astype(dtype)

    def _floats(self, shape: list[int]) -> Array:
        if self.kind in ("uniform", "bytes"):
            return np.asarray(self.random.random(shape, np.float32) * (255 if self.kind == "bytes" else 1))
        if self.kind == "smooth" and len(shape) >= 2:
            return self._smooth(shape)
        normal = self.random.standard_normal(shape, np.float32)
        return np.asarray(normal * 5 if self.kind in ("large", "smooth") else normal)

    def _smooth(self, shape: list[int]) -> Array:
        """Blocks along the last two axes, to which networks that detect shapes respond."""
        coarse = [*shape[:-2], *(min(size, 1 + size // 8) for size in shape[-2:])]
        value = self.random.standard_normal(coarse, np.float32) * 2
        for axis in (-2, -1):
            places = np.arange(shape[axis]) * coarse[axis] // max(shape[axis], 1)
            value = np.take(value, places, axis)
        return np.asarray(value, np.float32)

    def _mask(self, shape: list[int]) -> Array:
        """Ones, and in the later runs zeros after a random length, like attention masks."""
        ones = np.ones(shape, np.int64)
        if self.seed and shape and shape[-1] > 1:
            ones[..., self.random.integers(1, shape[-1]) :] = 0
        return ones


def _index_limits(graph: Graph, name: str) -> Iterator[int | None]:
    """The sizes of what a tensor indexes, where it selects rows of a table or is compared with a list."""
    pending, seen = [name], {name}
    while pending:
        tensor = pending.pop()
        for node in graph.consumers(tensor):
            if node.op_type == "Gather" and node.input(1) == tensor:
                yield _size(node, node.attribute("axis", 0))
            elif node.op_type == "RoiAlign" and node.input(2) == tensor:
                yield _size(node, 0)
            elif node.op_type == "Equal":
                yield from (_count(node, name) for name in node.inputs if name != tensor)
            elif node.op_type == "OneHot" and node.input(0) == tensor:
                yield _count(node, node.input(1), 0)
            elif node.op_type in _PASSES_INDICES and node.input(0) == tensor:
                for output in node.outputs:
                    if output not in seen:
                        seen.add(output)
                        pending.append(output)


def _size(node: Node, axis: int) -> int | None:
    tensor_type = node.graph.type_of(node.input(0))
    if (
        tensor_type is None
        or tensor_type.shape is None
        or not -len(tensor_type.shape) <= axis < len(tensor_type.shape)
    ):
        return None
    dim = tensor_type.shape[axis]
    return dim if isinstance(dim, int) else None


def _count(node: Node, name: str, more: int = 1) -> int | None:
    """One more than the largest of a few stored integers: a one-hot code in basic ops compares with all."""
    stored = node.graph.small_value(name)
    if stored is None or stored.dtype.kind not in "iu" or (more and stored.size < 2) or not stored.size:
        return None
    return int(stored.max()) + more
