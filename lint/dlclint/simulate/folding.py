"""Computing once what does not depend on the data, as the converter's simplifier does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dlclint.model.op_facts import MOVES_ONE, RANDOM, SHAPE_READERS
from dlclint.model.tensors import Array
from dlclint.simulate.network import Network, Step
from dlclint.simulate.running import CannotRun, Runner


def folded_network(network: Network, runner: Runner) -> Network:
    """The network without the steps whose results are the same for every input.

    Where a shape is open, what is computed from it remains a step, and its results count as inner: sizes are
    not quantized.
    """
    fixed: dict[str, Array] = {}
    sizes: set[str] = set()
    moved: dict[str, str] = {}
    kept: list[Step] = []
    for step in network.steps:
        known = all(name in fixed or name in network.constants for name in step.reads)
        if step.op in RANDOM or not step.official:
            kept.append(step)
            continue
        if (known and _run(step, network, runner, fixed)) or _size(step, network, fixed):
            if step.op in MOVES_ONE and step.reads:
                source = moved.get(step.inputs[0], step.inputs[0])
                moved.update((name, source) for name in step.outputs if name)
            continue
        if step.op in SHAPE_READERS or all(
            name in sizes or name in fixed or name in network.constants for name in step.reads
        ):
            sizes.update(filter(None, step.outputs))
        kept.append(step)
    wanted = {name for step in kept for name in step.reads} | set(network.outputs)
    for name, values in fixed.items():
        if name in wanted:
            network.constants.put(name, _same(values))
    return replace(network, steps=tuple(kept), inner=network.inner | sizes, moved=moved)


def _same(values: Array) -> Callable[[], Array]:
    return lambda: values


def _run(step: Step, network: Network, runner: Runner, fixed: dict[str, Array]) -> bool:
    feed = {name: fixed[name] if name in fixed else network.constants[name] for name in step.reads}
    try:
        outputs = runner.run(step, feed)
    except CannotRun:
        return False
    if not all(value is None or isinstance(value, np.ndarray) for value in outputs):
        return False
    fixed.update((name, value) for name, value in zip(step.outputs, outputs, strict=True) if name)
    return True


def _size(step: Step, network: Network, fixed: dict[str, Array]) -> bool:
    kind = network.graph.type_of(step.inputs[0]) if step.op in SHAPE_READERS else None
    shape = None if kind is None else kind.static_shape
    if shape is None:
        return False
    sizes = np.array(shape, np.int64)
    if step.op == "Size":
        sizes = np.asarray(sizes.prod())
    else:
        start, end = step.node.attribute("start", 0), step.node.attribute("end", len(shape))
        sizes = sizes[slice(start, end)]
    fixed[step.outputs[0]] = sizes
    return True
