"""A scheme as an override file: activations, weights, stored operands, and biases in some versions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dlclint.diagnostic import counted
from dlclint.encodings.convert import CommonEntry, Overrides, written
from dlclint.model.op_facts import Role
from dlclint.simulate.assigning import fused
from dlclint.simulate.network import Network, Step
from dlclint.simulate.scheme import Grid, ParamGrid, Scheme, product_scale, what
from dlclint.version import __version__

VERSIONS = ("0.6.1", "1.0.0", "2.0.0")
FLOATLESS = "2.0.0"
"""The format version in which a tensor without an entry is a float one."""
WITH_BIASES = "2.0.0"
"""The format version in which AIMET writes int32 biases; in others the quantizer's own option sets them."""


def overrides_of_scheme(network: Network, scheme: Scheme, version: str) -> Overrides:
    """The override file of a scheme.

    Raises:
        CannotConvert: the version cannot express the scheme.
    """
    activations = list(_activations(network, scheme, version))
    params = list(_params(network, scheme, version))
    biases = list(_biases(network, scheme, version))
    entries = [*activations, *params, *biases]
    text = written(entries, version, {"package": "dlclint", "version": __version__})
    notes = [
        f"written to the override file: {counted(len(activations), 'activation')},"
        f" {counted(len(params), 'parameter')}, {len(biases)} biases"
    ]
    wide = sum(entry.bitwidth == 16 and not entry.is_float for entry in activations)
    if wide:
        notes[0] += f"; {counted(wide, 'activation')} at 16 bits"
    left = len(_int32_biases(network, scheme) - {entry.name for entry in biases})
    if left:
        what_is = "1 int32 bias" if left == 1 else f"{left} int32 biases"
        why = "made of batch normalizations" if version == WITH_BIASES else f"which {version} does not hold"
        notes.append(
            f"not written: {what_is}, {why}; for the same result, the quantizer needs --bias_bitwidth 32, and"
            " `dlclint simulate` --bias-bitwidth 32"
        )
    elif not biases:
        notes.append("not written: biases; no op has one that is quantized")
    return Overrides(text, tuple(notes))


def _activations(network: Network, scheme: Scheme, version: str) -> Iterator[CommonEntry]:
    never_stored = fused(network)
    names = [*network.inputs, *(name for step in network.steps for name in step.outputs)]
    for name in dict.fromkeys(filter(None, names)):
        if name in never_stored or name in network.constants:
            continue
        grid = scheme.activations.get(name)
        if grid is not None:
            yield _per_tensor(name, grid, False)
        elif name in scheme.floats and version != FLOATLESS:
            yield CommonEntry(name, False, True, scheme.floats[name].bitwidth, False, False, (), ())


def _params(network: Network, scheme: Scheme, version: str) -> Iterator[CommonEntry]:
    done: set[str] = set()
    for step in network.steps:
        for position, name in enumerate(step.inputs):
            if not name or name in done or name not in network.constants or not _is_stored(network, name):
                continue
            role = what(step, position, network)
            if role is Role.WEIGHT and name in scheme.params:
                done.add(name)
                users = [user for user in network.steps if name in user.inputs]
                if all(any(out in scheme.floats for out in user.outputs) for user in users):
                    # One float among weight, bias and output makes all three float; in 2.0.0 by having no
                    # entry.
                    if version != FLOATLESS:
                        yield CommonEntry(name, True, True, 16, False, False, (), ())
                    continue
                yield _entry(name, scheme.params[name])
            elif role is Role.DATA and name in scheme.activations:
                done.add(name)
                yield _per_tensor(name, scheme.activations[name], True)


def _biases(network: Network, scheme: Scheme, version: str) -> Iterator[CommonEntry]:
    uses: dict[str, list[tuple[Step, int]]] = {}
    for step in network.steps:
        for position, name in enumerate(step.inputs):
            if name and what(step, position, network) is Role.BIAS and _is_stored(network, name):
                uses.setdefault(name, []).append((step, position))
    for name, places in uses.items():
        param_grid = scheme.biases.get(name)
        if param_grid is not None:
            yield _entry(name, param_grid)
            continue
        if version != WITH_BIASES or len(places) > 1:
            continue
        step, position = places[0]
        if step.inputs[position] != step.node.input(position):
            continue  # from a batch normalization: the model has no tensor for it
        scale = product_scale(step, position, scheme, scheme.width(step))
        if scale is not None and scale.size in (1, network.constants[name].size):
            zero = np.full(scale.shape, 2.0**31)
            yield _entry(name, ParamGrid(scale, zero, 32, True, 0 if scale.ndim else None))


def _int32_biases(network: Network, scheme: Scheme) -> set[str]:
    """The biases that ops add as int32."""
    return {
        name
        for step in network.steps
        for position, name in enumerate(step.inputs)
        if name
        and name not in scheme.biases
        and what(step, position, network) is Role.BIAS
        and product_scale(step, position, scheme, scheme.width(step)) is not None
    }


def _is_stored(network: Network, name: str) -> bool:
    """Whether a constant is in the file, not only in what the converter folds."""
    return network.graph.constant(name) is not None


def _per_tensor(name: str, grid: Grid, is_param: bool) -> CommonEntry:
    return CommonEntry(
        name, is_param, False, grid.bitwidth, grid.symmetric, False, (float(grid.scale),), (-grid.zero,)
    )


def _entry(name: str, grid: ParamGrid) -> CommonEntry:
    scale = tuple(grid.scale.reshape(-1).tolist())
    offset = tuple(-int(zero) for zero in np.broadcast_to(grid.zero, grid.scale.shape).reshape(-1))
    return CommonEntry(
        name,
        True,
        False,
        grid.bitwidth,
        grid.symmetric,
        grid.axis is not None,
        scale,
        offset,
        grid.axis,
    )
