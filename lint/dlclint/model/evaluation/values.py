"""Values that follow from a model: small, computed when needed, and cached."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from functools import reduce
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from dlclint.model.evaluation.arithmetic import ARITHMETIC
from dlclint.model.evaluation.bounds import FAILURES, Array, UnknownValue
from dlclint.model.evaluation.movement import MOVEMENT
from dlclint.model.op_facts import ELEMENTWISE, MOVES, SHAPE_READERS
from dlclint.model.tensors import Tensor, Unavailable
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.model.graph import Graph, Node

LIMIT = 4096
"""Elements up to which a value is computed, unless another limit is given."""
_IN_ALL = 8_000_000
"""Elements that are read and computed for one model: this bounds its memory, and thereby its time."""
_KERNELS = MOVEMENT | ARITHMETIC


@record
class Value:
    """A tensor's elements. `unknown` marks those that do not follow from the model; None: all of them do."""

    elements: Array
    unknown: Array | None = None


class Values:
    """The values of a model's tensors, each computed at most once.

    Only the ancestors of a requested tensor are computed, as far as there are kernels.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._made: dict[tuple[str, int], tuple[Value | None, ...]] = {}
        self._opened: set[tuple[str, int]] = set()
        self._stored: dict[int, Value | None] = {}
        """By the tensor's identity: a tensor that many nodes read is decoded once."""
        self._left = _IN_ALL
        self.exhausted = False
        """Whether a value was left unknown because so many were computed before it."""

    def whole(self, graph: Graph, tensor: str) -> Array | None:
        """A tensor's value if all of it follows from the model, else None. It must not be written to."""
        value = self.partly(graph, tensor)
        return None if value is None or value.unknown is not None else value.elements

    def partly(self, graph: Graph, tensor: str) -> Value | None:
        """A tensor's value with marks where it does not follow; None where none of it does."""
        node = graph.producer(tensor)
        if node is not None and node.op_type != "Constant":
            self._ensure(node)
        return self._look_up(graph, tensor)

    def forget(self, graph: Graph) -> None:
        """Discard what was computed in a graph, because the known types changed."""
        for node in graph.nodes:
            self._made.pop(node.key, None)
            self._opened.discard(node.key)

    def _look_up(self, graph: Graph, tensor: str) -> Value | None:
        stored = graph.constant(tensor)
        if stored is not None:
            if id(stored) not in self._stored:
                self._stored[id(stored)] = self._read(stored)
            return self._stored[id(stored)]
        node = graph.producer(tensor)
        if node is None:
            handed = graph.root.input_values.get(tensor)
            return None if handed is None else Value(handed)
        values = self._made.get(node.key, ())
        position = node.outputs.index(tensor) if values else 0
        return values[position] if position < len(values) else None

    def _read(self, stored: Tensor) -> Value | None:
        if not 0 <= stored.count <= self.limit or not self._afford(stored.count):
            return None
        try:
            return Value(stored.array())
        except Unavailable:
            return None

    def _afford(self, elements: int) -> bool:
        """Whether so many more elements may be held."""
        if self._left < elements:
            self.exhausted = True
            return False
        self._left -= elements
        return True

    def _ensure(self, last: Node) -> None:
        """Evaluate a node after what it reads; a node that depends on itself counts as unknown."""
        pending = [last]
        while pending:
            node = pending[-1]
            waiting = []
            if node.key not in self._opened:
                self._opened.add(node.key)
                waiting = self._sources(node)
            if waiting:
                pending.extend(waiting)
                continue
            pending.pop()
            if node.key not in self._made:
                self._made[node.key] = self._evaluate(node)

    def _sources(self, node: Node) -> list[Node]:
        """The nodes whose values a node needs and that have not been evaluated."""
        if node.op_type not in _KERNELS or self._is_large(node):
            return []
        makers = (node.graph.producer(name) for name in node.inputs if name)
        return [maker for maker in makers if maker is not None and maker.key not in self._opened]

    def _is_large(self, node: Node) -> bool:
        tensor_type = node.graph.type_of(node.outputs[0]) if node.outputs else None
        shape = None if tensor_type is None else tensor_type.static_shape
        return shape is not None and math.prod(shape) > self.limit

    def _evaluate(self, node: Node) -> tuple[Value | None, ...]:
        graph = node.graph
        if node.domain or graph.model.is_function(node) or any(a.ref_attr_name for a in node.proto.attribute):
            return ()
        if node.op_type in SHAPE_READERS:
            with suppress(*FAILURES):
                return (self._shape(node),)
            return ()
        if node.op_type not in _KERNELS:
            return ()
        inputs = [self._look_up(graph, name) if name else None for name in node.inputs]
        if any(value is None for value, name in zip(inputs, node.inputs, strict=True) if name):
            return ()
        elements = [None if value is None else value.elements for value in inputs]
        if not self._afford(sum(part.size for part in elements if part is not None)):
            return ()
        try:
            with np.errstate(all="ignore"):
                results = self._run(node, elements)
                if not self._afford(sum(part.size for part in results)):
                    return ()
                marks = self._marks(node, inputs)
                pairs = list(zip(results, marks, strict=True))
                if any(mark is not None and mark.shape != part.shape for part, mark in pairs):
                    return ()  # an op with more inputs than it takes
                return tuple(
                    Value(part, mark if mark is not None and mark.any() else None) for part, mark in pairs
                )
        except FAILURES:
            return ()

    def _run(self, node: Node, inputs: list[Array | None]) -> list[Array]:
        results: Iterable[Array] = _KERNELS[node.op_type](node, inputs, self.limit)
        return list(islice(results, len(node.outputs)))

    def _marks(self, node: Node, inputs: list[Value | None]) -> list[Array | None]:
        """Marks of the outputs, derived from those of the inputs.

        Raises:
            UnknownValue: marked elements affect more than their own positions.
        """
        marked = [value is not None and value.unknown is not None for value in inputs]
        if not any(marked):
            return [None] * len(node.outputs)
        masks = [None if value is None else _mask(value) for value in inputs]
        if node.op_type in MOVEMENT and node.op_type in MOVES:
            carried = MOVES[node.op_type] or range(len(inputs))
            if any(mark and position not in carried for position, mark in enumerate(marked)):
                raise UnknownValue
            elements = [None if value is None else value.elements for value in inputs]
            return list(
                self._run(node, [(masks if i in carried else elements)[i] for i in range(len(inputs))])
            )
        if node.op_type in ELEMENTWISE:
            present = [mask for mask in masks if mask is not None]
            return [np.asarray(reduce(np.logical_or, present))]
        raise UnknownValue

    def _shape(self, node: Node) -> Value | None:
        tensor_type = node.graph.type_of(node.input(0))
        if tensor_type is None or tensor_type.shape is None:
            return None
        if node.op_type == "Size":
            sizes = tensor_type.static_shape
            if sizes is None or min(sizes, default=0) < 0:
                return None
            return Value(np.array(math.prod(sizes), np.int64))
        dims = tensor_type.shape[slice(node.attribute("start", 0), node.attribute("end"))]
        known = [isinstance(dim, int) and dim >= 0 for dim in dims]
        # 1 replaces unknown sizes, so that nothing is divided by 0.
        elements = np.array([dim if isinstance(dim, int) else 1 for dim in dims], np.int64)
        return Value(elements, None if all(known) else ~np.array(known, bool))


def _mask(value: Value) -> Array:
    return np.zeros(value.elements.shape, bool) if value.unknown is None else value.unknown
