"""Constants that mask attention scores: stored numbers that reach a Softmax through its input.

A mask is added to the scores, selected by Where, or multiplied from zeros and ones, possibly after some
reshaping. Only those ops are followed, backward from Softmax, so a large number elsewhere is not a mask.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from dlclint.analysis.folding import NodeKey
from dlclint.analysis.view import ModelView
from dlclint.analysis.weights.store import Home, home
from dlclint.encodings import grid
from dlclint.model.graph import Graph, Node
from dlclint.model.op_facts import COMPARES, MOVES, SHARES, SIGN_CHANGES, SUMS
from dlclint.model.tensors import attribute_values
from dlclint.model.types import is_float
from dlclint_schemas.record import record
from dlclint_schemas.thresholds import threshold

_FOLLOWED: dict[str, tuple[int, ...] | None] = {
    **MOVES,
    **dict.fromkeys((*SUMS, "Mul", *COMPARES), (0, 1)),
    **dict.fromkeys(("Cast", "CastLike", "Neg", "Trilu", "Div"), (0,)),
    "Sum": None,
}
"""Op to the inputs through which a mask's numbers pass; None: all of them."""
_STEPS = 512
"""Inputs of ops that are followed back from one Softmax, so that the cost of all of them is linear."""


@record
class Mask:
    """A constant, its number farthest from zero, the Softmax nodes it reaches and the op that reads it."""

    name: str
    graph: Graph
    value: float
    readers: tuple[Node, ...]
    softmaxes: tuple[Node, ...]


def find_masks(view: ModelView, least: float) -> tuple[Mask, ...]:
    """Constants with a number of at least this magnitude (infinity too) that reach a Softmax."""
    by_home: dict[Home, tuple[str, Graph, float, dict[NodeKey, Node], dict[NodeKey, Node]]] = {}
    for graph in view.model.graphs():
        for node in graph.nodes:
            if node.op_type not in SHARES or node.domain:
                continue
            for name, reader, either_sign in _reaching(node):
                value = _extreme(view, reader.graph, name, either_sign)
                if value is not None and abs(value) >= least:
                    entry = by_home.setdefault(home(reader.graph, name), (name, reader.graph, value, {}, {}))
                    entry[3][reader.key], entry[4][node.key] = reader, node
    return tuple(
        Mask(name, graph, value, tuple(readers.values()), tuple(softmaxes.values()))
        for name, graph, value, readers, softmaxes in by_home.values()
    )


def multiplies_any(mask: Mask) -> bool:
    """Whether the other factor of a mask's product may be between zero and one, as far as is known.

    Then a number of -100 masks less than one of -3.4e38: a float input may hold any numbers, whereas a cast
    of integers or a comparison holds zeros and ones where exporters write it.
    """
    return any(
        reader.op_type == "Mul" and any(_is_any(reader, name) for name in reader.inputs if name != mask.name)
        for reader in mask.readers
    )


def _is_any(node: Node, name: str) -> bool:
    """Whether a tensor comes from a float input through ops that keep values between zero and one."""
    pending, seen = [(node.graph, name)], {name}
    while pending:
        graph, tensor = pending.pop()
        producer = graph.producer(tensor)
        if producer is None:
            tensor_type = graph.type_of(tensor)
            if graph.constant(tensor) is None and (tensor_type is None or is_float(tensor_type.data_type)):
                return True
            continue
        source = producer.graph.type_of(producer.input(0))
        if producer.op_type == "Cast" and source is not None and not is_float(source.data_type):
            continue
        if producer.domain:
            continue
        inputs = {producer.input(index) for index in _inputs(producer)} - seen - {""}
        seen |= inputs
        pending.extend((producer.graph, name_read) for name_read in inputs)
    return False


def coarse_mask(bitwidth: int) -> float:
    """The magnitude from which a mask leaves scores too few steps on a grid of so many bits."""
    return threshold("mask_step") * float(grid.steps(bitwidth))


def coarse_masks(view: ModelView, bitwidth: int) -> tuple[Mask, ...]:
    """The masks that are too large for a grid of so many bits."""
    return find_masks(view, coarse_mask(bitwidth))


def coarse_mask_homes(view: ModelView, bitwidth: int) -> frozenset[Home]:
    """Where the masks that are too large are stored, in the model that the quantizer sees."""
    return frozenset(home(mask.graph, mask.name) for mask in coarse_masks(view.as_float, bitwidth))


def carries_mask(graph: Graph, name: str, masks: Collection[Home]) -> bool:
    """Whether a tensor gets its values from one of these masks, by ops that a mask's numbers pass through."""
    pending, seen = [(graph, name)], {name}
    while pending:
        where, name = pending.pop()
        if home(where, name) in masks:
            return True
        producer = where.producer(name)
        if producer is None or producer.domain:
            continue
        inputs = {producer.input(index) for index in _inputs(producer)} - seen - {""}
        seen |= inputs
        pending.extend((producer.graph, name_read) for name_read in inputs)
    return False


def is_masked(view: ModelView, graph: Graph, name: str, masks: Collection[Home]) -> bool:
    """Whether a tensor of one of the model's graphs carries a mask, in the model that the quantizer sees."""
    if not masks:
        return False
    if view.carried is not None:
        graph = next((each for each in view.as_float.model.graphs() if each.path == graph.path), graph)
    return carries_mask(graph, name, masks)


def _reaching(softmax: Node) -> Iterator[tuple[str, Node, bool]]:
    """Tensors that no followed op produces: name, reader, whether the sign may change."""
    pending = [(softmax, 0, False)]
    seen: set[tuple[NodeKey, int, bool]] = set()
    while pending and len(seen) < _STEPS:
        node, position, either = pending.pop()
        if (node.key, position, either) in seen:
            continue
        seen.add((node.key, position, either))
        name = node.input(position)
        producer = node.graph.producer(name)
        if producer is None or producer.domain or not _inputs(producer):
            if name:
                yield name, node, either
            continue
        either = either or producer.op_type in SIGN_CHANGES
        pending.extend((producer, index, either) for index in _inputs(producer))


def _inputs(node: Node) -> tuple[int, ...]:
    followed = _FOLLOWED.get(node.op_type, ())
    return tuple(range(len(node.inputs))) if followed is None else followed


def _extreme(view: ModelView, graph: Graph, name: str, either_sign: bool) -> float | None:
    """The constant's number farthest below zero (or from it, if the sign may change), if it is one."""
    tensor_statistics = view.weights.statistics(graph, name)
    if tensor_statistics is not None:
        if tensor_statistics.infinite:
            return -math.inf
        return _far(tensor_statistics.minimum, tensor_statistics.maximum, either_sign)
    producer = graph.producer(name)
    if producer is None or producer.op_type != "ConstantOfShape" or producer.domain:
        return None
    filling = producer.attribute("value")
    values = None if filling is None else attribute_values(filling)
    if values is None or values.size != 1 or filling.data_type not in (1, 10, 11, 16):
        return None
    number = float(values.reshape(-1)[0])
    return _far(number, number, either_sign)


def _far(low: float, high: float, either_sign: bool) -> float:
    return high if either_sign and high > -low else min(low, 0.0)
