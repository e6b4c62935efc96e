"""Batch 1 for a whole model, including constants."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from dlclint.analysis.batch import Batch
from dlclint.analysis.matching.terms import stored_integers
from dlclint.analysis.resizing import resize
from dlclint.analysis.view import ModelView
from dlclint.diagnostic import Safety
from dlclint.fix import CannotFix, Fix
from dlclint.model.edits import ModelEdit
from dlclint.model.graph import Model, Node
from dlclint.model.op_facts import SIZE_INPUT
from dlclint.model.types import Dim


def leading_constant(node: Node) -> int | None:
    """The first element of the constant that gives a node's output its shape, or None."""
    position = SIZE_INPUT.get(node.op_type)
    if position is None or node.domain:
        return None
    value = stored_integers(node.graph, node.input(position))
    return value[0] if value else None


def batch_of_one(view: ModelView, batches: frozenset[Dim], safe: bool) -> Fix:
    """Give batch 1 to every input whose leading dimension is in `batches`, and to what depends on it inside.

    A symbol is replaced wherever an input has it. All findings about the batch share one fix. It is safe only
    where every sample is computed separately, as far as the graph shows.
    """
    safe = safe and view.batch.is_independent(batches)
    title = "set the batch to 1, in the inputs and in the constants that hold it"
    if not safe:
        title += "; the model then takes one sample at a time"
    return Fix(title, Safety.SAFE if safe else Safety.UNSAFE, lambda: _made(view, batches))


def _made(view: ModelView, batches: frozenset[Dim]) -> tuple[ModelEdit, ...]:
    edits = _edits(view.model, view.batch, batches)
    if isinstance(edits, CannotFix):
        raise CannotFix(str(edits))
    return edits


@lru_cache(maxsize=1)
def _edits(model: Model, batch: Batch, batches: frozenset[Dim]) -> tuple[ModelEdit, ...] | CannotFix:
    """Cached, because several findings request the same edits one after the other."""
    try:
        return tuple(_sized(model, batch, batches))
    except CannotFix as reason:
        return reason


def _sized(model: Model, batch: Batch, batches: frozenset[Dim]) -> Iterator[ModelEdit]:
    graph = model.graph
    sizes: dict[str, dict[int, int]] = {}
    for name in graph.inputs:
        tensor_type = graph.type_of(name)
        for axis, dim in enumerate((tensor_type and tensor_type.shape) or ()):
            leading = axis == 0 and dim in batches and batch.meaning(name).is_batch
            if leading or (isinstance(dim, str) and dim in batches):
                sizes.setdefault(name, {})[axis] = 1
    yield from resize(model, sizes, _baked(model, batch, batches))


def _baked(model: Model, batch: Batch, batches: frozenset[Dim]) -> int | None:
    """The batch in constants where the inputs' is open: one that all of them have."""
    if any(isinstance(dim, int) for dim in batches):
        return None
    held = set()
    for node in model.graph.nodes:
        leading = leading_constant(node) if node.op_type == "Reshape" else None
        data = model.graph.type_of(node.input(0))
        is_open = data is not None and bool(data.shape) and not isinstance((data.shape or (1,))[0], int)
        if leading is not None and leading > 1 and is_open and batch.axis(model.graph, node.input(0)) == 0:
            held.add(leading)
    smallest = min(held, default=None)
    return smallest if smallest and all(leading % smallest == 0 for leading in held) else None
