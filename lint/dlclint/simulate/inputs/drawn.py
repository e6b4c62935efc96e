"""Random inputs for a first look, within what the model's first ops accept; always reported as random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from dlclint.diagnostic import plain
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import RESHAPES, Role, role
from dlclint.model.tensors import Array
from dlclint.model.types import TensorType
from dlclint.simulate.inputs.samples import BadInput, Sample, Samples, dtype_of, input_types

_PASSING = ("Cast", "Identity", *RESHAPES, "Transpose", "Expand")
_IMAGE_CHANNELS = (1, 3, 4)
_BYTE = (200.0, 256.0)
"""A division by such a number means that an input is between 0 and 255."""
_OPEN, _OPEN_IMAGE = 32, 224
_STEPS = 4
"""The number of ops after an input that are checked."""


def drawn(graph: Graph, count: int, seed: int, moments: Mapping[str, tuple[float, float]]) -> Samples:
    """Random samples from a seed.

    Args:
        graph: the model's main graph.
        count: the number of samples.
        seed: the seed of the random numbers; the same seed gives the same numbers.
        moments: mean and standard deviation of inputs.

    Raises:
        BadInput: no values can be drawn for the type of an input.
    """
    types = input_types(graph)
    rules = {name: _rule(graph, name, kind, moments) for name, kind in types.items()}
    shapes = {name: _shape(name, kind) for name, kind in types.items()}
    notes = [
        f"input {plain(name)} is {kind}; it was drawn as {list(shapes[name])}, give other sizes with -d"
        for name, kind in types.items()
        if kind.static_shape is None
    ]
    words = "; ".join(f"{plain(name)} {text}" for name, (text, _) in rules.items())
    load = tuple(
        partial(_sample, types, rules, shapes, np.random.SeedSequence([seed, position]), position)
        for position in range(count)
    )
    return Samples(f"random values, not measured data (seed {seed}): {words}", load, True, tuple(notes))


_Rule = tuple[str, tuple[str, float, float]]
"""A description, and the kind of values (normal, image, integer, truth, ones) with two numbers."""


def _sample(
    types: Mapping[str, TensorType],
    rules: Mapping[str, _Rule],
    shapes: Mapping[str, tuple[int, ...]],
    seed: np.random.SeedSequence,
    position: int,
) -> Sample:
    random = np.random.default_rng(seed)
    return {
        name: _values(rules[name][1], shapes[name], random, position).astype(dtype_of(kind))
        for name, kind in types.items()
    }


def _shape(name: str, kind: TensorType) -> tuple[int, ...]:
    """The sizes of an input; an open one is 1 if it is the first, else typical of an image or sequence."""
    open_size = _OPEN_IMAGE if len(kind.shape or ()) == 4 else _OPEN
    shape = tuple(
        dim if isinstance(dim, int) else 1 if axis == 0 else open_size
        for axis, dim in enumerate(kind.shape or ())
    )
    if min(shape, default=1) < 1:
        raise BadInput(f"input {plain(name)} has a dimension below 1 ({kind})")
    return shape


def _rule(graph: Graph, name: str, kind: TensorType, moments: Mapping[str, tuple[float, float]]) -> _Rule:
    dtype = dtype_of(kind)
    if name in moments:
        mean, deviation = moments[name]
        return f"normal with mean {mean:g} and deviation {deviation:g} as given", ("normal", mean, deviation)
    if dtype.kind == "b":
        return "true or false", ("truth", 0.0, 1.0)
    if dtype.kind in "iu":
        top = min((limit for limit in _limits(graph, name) if limit is not None), default=None)
        if top is not None:
            return f"0 to {top - 1}, as it picks from {top} rows", ("integer", 0.0, float(top))
        if not _is_mask(graph, name, kind):
            raise BadInput(
                f"input {plain(name)} is {kind} and nothing in the model tells which values it takes, so that"
                " none are drawn: give --inputs"
            )
        return "ones, and zeros after a random length", ("ones", 0.0, 1.0)
    shape = kind.shape or ()
    image = len(shape) == 4 and shape[1] in _IMAGE_CHANNELS
    if _is_divided(graph, name):
        how = "smooth, " if image else ""
        return f"{how}0 to 255, as the model divides it", ("image" if image else "uniform", 0.0, 255.0)
    if image:
        return "smooth images, 0 to 1", ("image", 0.0, 1.0)
    return "normal with mean 0 and deviation 1", ("normal", 0.0, 1.0)


def _values(
    rule: tuple[str, float, float], shape: tuple[int, ...], random: np.random.Generator, position: int
) -> Array:
    kind, one, two = rule
    if kind == "normal":
        return np.asarray(random.normal(one, two, shape))
    if kind == "truth":
        return np.asarray(random.random(shape) < 0.5)
    if kind == "integer":
        return random.integers(0, int(two), shape)
    if kind == "uniform":
        return np.asarray(random.uniform(one, two, shape))
    if kind == "ones":
        ones = np.ones(shape, np.int64)
        if position and shape and shape[-1] > 1:
            ones[..., random.integers(1, shape[-1]) :] = 0
        return ones
    return one + (two - one) * _smooth(shape, random)


def _smooth(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """Noise of several grain sizes, the coarsest strongest, as in photographs; 0 to 1."""
    noise = np.zeros(shape)
    height, width = shape[2:]
    for cells, weight in ((2, 1.0), (6, 0.6), (18, 0.35), (60, 0.2)):
        coarse = random.normal(0.0, 1.0, (*shape[:2], min(cells, height) + 1, min(cells, width) + 1))
        noise += weight * _stretched(coarse, height, width)
    low, high = np.quantile(noise, [0.01, 0.99])
    return np.asarray(np.clip((noise - low) / max(high - low, 1e-9), 0.0, 1.0))


def _stretched(coarse: Array, height: int, width: int) -> Array:
    """Linear interpolation along both axes of an image."""
    for axis, size in ((2, height), (3, width)):
        last = coarse.shape[axis] - 1
        places = np.linspace(0.0, last, size)
        below = np.minimum(places.astype(int), max(last - 1, 0))
        part = (places - below).reshape([-1 if a == axis else 1 for a in range(4)])
        above = np.minimum(below + 1, last)
        coarse = np.take(coarse, below, axis) * (1 - part) + np.take(coarse, above, axis) * part
    return coarse


def _limits(graph: Graph, name: str) -> Iterator[int | None]:
    """The sizes of what a tensor indexes, where it selects rows of a table."""
    pending, seen = [name], {name}
    while pending:
        tensor = pending.pop()
        for node in graph.consumers(tensor):
            position = node.inputs.index(tensor) if tensor in node.inputs else -1
            if not node.domain and position > 0 and role(node.op_type, position) is Role.INDICES:
                yield _size(node)
            elif not node.domain and node.op_type in _PASSING and position == 0:
                for output in node.outputs:
                    if output not in seen:
                        seen.add(output)
                        pending.append(output)


def _is_mask(graph: Graph, name: str, kind: TensorType) -> bool:
    """Whether an integer input has the shape of indices and is used with them, like masks and segments."""
    return any(
        other != name
        and (tensor_type := graph.type_of(other)) is not None
        and tensor_type.shape == kind.shape
        for other in graph.inputs
        if any(limit is not None for limit in _limits(graph, other))
    )


def _size(node: Node) -> int | None:
    kind = node.graph.type_of(node.input(0))
    axis = 0 if node.op_type in ("RoiAlign", "GatherND") else int(node.attribute("axis", 0) or 0)
    if kind is None or kind.shape is None or not -len(kind.shape) <= axis < len(kind.shape):
        return None
    dim = kind.shape[axis]
    return dim if isinstance(dim, int) else None


def _is_divided(graph: Graph, name: str) -> bool:
    """Whether one of the first ops scales an input like bytes to 0 to 1."""
    pending = [(name, 0)]
    while pending:
        tensor, depth = pending.pop()
        for node in graph.consumers(tensor) if depth < _STEPS else ():
            other = [graph.small_value(text, 8) for text in node.inputs if text != tensor]
            sizes = [float(np.abs(value).max()) for value in other if value is not None and value.size]
            if node.op_type == "Div" and any(_BYTE[0] <= size <= _BYTE[1] for size in sizes):
                return True
            if node.op_type == "Mul" and any(1 / _BYTE[1] <= size <= 1 / _BYTE[0] for size in sizes):
                return True
            if node.op_type in (*_PASSING, "Sub", "Add"):
                pending += [(output, depth + 1) for output in node.outputs]
    return False
