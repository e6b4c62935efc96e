"""Batch 1 for a whole model, constants included."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from dlclint.analysis.resizing import resize
from dlclint.diagnostic import Safety
from dlclint.fix import Fix
from dlclint.model.edits import Edit
from dlclint.model.graph import Graph, Model, Node
from dlclint.model.op_facts import SIZE_INPUT


def leading_constant(node: Node) -> int | None:
    """The first element of the constant that gives a node's output its shape, or None."""
    position = SIZE_INPUT.get(node.op_type)
    if position is None or node.domain:
        return None
    value = node.graph.small_value(node.input(position))
    return None if value is None or value.size == 0 else int(value.reshape(-1)[0])


def batch_of_one(model: Model, batches: set[int | str | None], safe: bool) -> Fix:
    """Give batch 1 to every input whose leading dimension is one of `batches`, whatever holds it inside.

    A symbol is replaced wherever an input has it. All findings about the batch share one fix.
    """
    title = "set the batch to 1, in the inputs and in the constants that hold it"
    if not safe:
        title += "; the model then takes one sample at a time"
    return Fix(title, Safety.SAFE if safe else Safety.UNSAFE, lambda: _edits(model, frozenset(batches)))


@lru_cache(maxsize=1)
def _edits(model: Model, batches: frozenset[int | str | None]) -> tuple[Edit, ...]:
    """Cached, because several findings ask for the same edits one after the other."""
    return tuple(_sized(model, batches))


def _sized(model: Model, batches: frozenset[int | str | None]) -> Iterator[Edit]:
    graph = model.graph
    sizes: dict[str, dict[int, int]] = {}
    for name in graph.inputs:
        found = graph.type_of(name)
        for axis, dim in enumerate((found and found.shape) or ()):
            leading = axis == 0 and dim in batches
            if leading or (isinstance(dim, str) and dim in batches):
                sizes.setdefault(name, {})[axis] = 1
    yield from resize(model, sizes, _baked(graph, batches))


def _baked(graph: Graph, batches: frozenset[int | str | None]) -> int | None:
    """The batch that constants hold where the inputs' is open: one that is in all of them."""
    if any(isinstance(batch, int) for batch in batches):
        return None
    held = set()
    for node in graph.nodes:
        leading = leading_constant(node)
        data = graph.type_of(node.input(0))
        is_open = data is not None and bool(data.shape) and not isinstance((data.shape or (1,))[0], int)
        if leading is not None and leading > 1 and node.op_type == "Reshape" and is_open:
            held.add(leading)
    smallest = min(held, default=None)
    return smallest if smallest and all(leading % smallest == 0 for leading in held) else None
