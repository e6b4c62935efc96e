"""Replacing the results of calibration by the entries of an override file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dlclint.analysis.roles import channel_axis
from dlclint.diagnostic import counted, plain
from dlclint.encodings.document import FLOAT, EncodingsDocument, leaves
from dlclint.encodings.entry_grids import stored_grid
from dlclint.model.op_facts import Role
from dlclint.simulate.network import Network, Step
from dlclint.simulate.scheme import Grid, ParamGrid, Scheme, grid_of_range, what


@dataclass(slots=True)
class UsedEntries:
    """What was used of a file: counts by kind, and what could not be used, in words."""

    counts: Counter[str] = field(default_factory=Counter)
    unused: list[str] = field(default_factory=list)

    def words(self) -> str:
        """One clause, such as `52 activations, 20 weights from the override file`."""
        parts = [counted(number, kind) for kind, number in self.counts.items()]
        return (", ".join(parts) or "nothing") + " from the override file"


def apply_document(
    document: EncodingsDocument, scheme: Scheme, network: Network, shared: Mapping[str, str]
) -> UsedEntries:
    """Put a file's entries into a scheme that holds a grid for every tensor.

    An entry of a tensor also applies to those that share its range and have none of their own, and to a
    constant that holds its elements in another shape; an entry with only a width changes the width of the
    calibrated range.
    """
    taken = UsedEntries()
    roles = _roles(network)
    rows = {name: row for row, name in enumerate(document.tensors.names)}
    followers: dict[str, list[str]] = {}
    for name, leader in shared.items():
        followers.setdefault(leader, []).append(name)
    moved: dict[str, list[str]] = {}
    for name, source in network.moved.items():
        moved.setdefault(source, []).append(name)
    floats: set[str] = set()
    for entry, row in rows.items():
        # A grid for each channel does not state where the channels are after a move.
        copies = moved.get(entry, ()) if int(document.tensors.count[row]) == 1 else ()
        used = False
        for name in (entry, *(copy for copy in copies if copy not in rows)):
            step, position, role = roles.get(name, (None, 0, Role.DATA))
            if role in (Role.WEIGHT, Role.BIAS) and step is not None:
                _parameter(document, row, name, scheme, (step, position, role), taken, floats)
            elif name in scheme.activations or name in network.inner:
                same = [other for other in followers.get(name, ()) if other not in rows]
                _activation(document, row, [name, *same], scheme, taken)
            else:
                continue
            used = True
        if not used:
            taken.counts["unknown or unused name"] += 1
    _spread_float(scheme, network, floats)
    return taken


def _roles(network: Network) -> dict[str, tuple[Step, int, Role]]:
    by_name: dict[str, tuple[Step, int, Role]] = {}
    for step in network.steps:
        for position, name in enumerate(step.inputs):
            if name in network.constants:
                by_name.setdefault(name, (step, position, what(step, position, network)))
    return by_name


def _activation(
    document: EncodingsDocument, row: int, names: list[str], scheme: Scheme, taken: UsedEntries
) -> None:
    elements, first = document.elements, int(document.tensors.first[row])
    if elements.kind[first] == FLOAT:
        width = 32 if elements.bitwidth[first] == 32 else 16
        for name in names:
            scheme.put_into_float(name, width)
        taken.counts["float activation"] += 1
        return
    if int(document.tensors.count[row]) > 1:
        taken.unused.append(
            f"{plain(names[0])} is an activation with a grid for each channel, which none has"
        )
        return
    before = scheme.activations.get(names[0])
    bits = _bits(elements.bitwidth[first], before.bitwidth if before is not None else 8)
    scale, offset = float(elements.scale[first]), float(elements.offset[first])
    low, high = float(elements.minimum[first]), float(elements.maximum[first])
    if scale > 0 and np.isfinite(offset):
        symmetric = elements.symmetric[first] == 1
        grid = Grid(float(np.float32(scale)), round(-offset), bits, bool(symmetric))
    elif low < high and np.isfinite([low, high]).all():
        grid = grid_of_range(low, high, bits)
    elif before is not None:
        grid = before.at(bits)
    else:
        return
    for name in names:
        scheme.activations[name] = grid
    taken.counts["activation"] += 1


def _parameter(
    document: EncodingsDocument,
    row: int,
    name: str,
    scheme: Scheme,
    use: tuple[Step, int, Role],
    taken: UsedEntries,
    floats: set[str],
) -> None:
    step, position, role = use
    elements, first = document.elements, int(document.tensors.first[row])
    if elements.kind[first] == FLOAT:
        scheme.params.pop(name, None)
        scheme.biases.pop(name, None)
        floats.add(name)
        taken.counts["float parameter"] += 1
        return
    param_grid = _param_grid(document, row, step, position, taken)
    if role is Role.BIAS:
        taken.counts["bias"] += 1
        # An int32 bias is stored at input scale times weight scale, whatever the file says.
        scheme.biases.pop(name, None)
        if param_grid is not None and param_grid.bitwidth < 32:
            scheme.biases[name] = param_grid
        return
    if param_grid is not None:
        scheme.params[name] = param_grid
        taken.counts["weight"] += 1


def _param_grid(
    document: EncodingsDocument, row: int, step: Step, position: int, taken: UsedEntries
) -> ParamGrid | None:
    tensors = document.tensors
    name, count = tensors.names[row], int(tensors.count[row])
    block = tensors.block_size[row]
    if not np.isnan(block) and block >= 1:
        return _blocks(document, row, (step, position), int(block), taken)
    entry_grid = stored_grid(document, row, 8)
    if entry_grid is None:
        return None
    bits, zero = entry_grid.bitwidth, entry_grid.zero
    symmetric = entry_grid.symmetric or bool(document.elements.symmetric[int(tensors.first[row])] == 1)
    scale = np.asarray(entry_grid.scale, np.float32).astype(np.float64)
    if count == 1:
        return ParamGrid(scale.reshape(()), zero.reshape(()), bits, symmetric)
    axis = tensors.axis[row]
    wanted = channel_axis(step.node, position) if np.isnan(axis) else int(axis)
    kind = step.node.graph.type_of(name)
    rank = len(kind.shape) if kind is not None and kind.shape is not None else 1
    if kind is not None and kind.shape is not None and kind.shape[wanted % rank] != count:
        taken.unused.append(f"{plain(name)} has {count} channels in the file and others in the model")
        return None
    return ParamGrid(scale, zero, bits, symmetric, wanted % rank)


def _blocks(
    document: EncodingsDocument, row: int, use: tuple[Step, int], block: int, taken: UsedEntries
) -> ParamGrid | None:
    """A per-block weight, plain or low-power (an integer scale per block, times one for each channel)."""
    entry: Any = document.entry(row)
    step, position = use
    name = document.tensors.names[row]
    kind = step.node.graph.type_of(name)
    shape = None if kind is None else kind.static_shape
    if shape is None or len(shape) < 2 or not isinstance(entry, dict):
        taken.unused.append(f"{plain(name)}: its blocks do not tell where they lie")
        return None
    bits = _block_bits(document, row, entry)
    channel = channel_axis(step.node, position) % len(shape)
    axis = document.tensors.axis[row]
    # Without an axis, blocks are along the input channels: the other one of the first two axes.
    along = int(axis) % len(shape) if not np.isnan(axis) else 1 - channel if channel < 2 else 0
    wanted = [1] * len(shape)
    wanted[channel], wanted[along] = shape[channel], -(-shape[along] // block)
    try:
        scale = _block_scales(entry, wanted, channel)
    except (ValueError, TypeError, KeyError):
        taken.unused.append(f"{plain(name)}: its blocks do not fit the shape {list(shape)}")
        return None
    spread = list(shape)
    spread[along] = wanted[along]
    scale = np.asarray(np.broadcast_to(scale, spread), np.float32).astype(np.float64)
    return ParamGrid(scale, np.full(scale.shape, 2.0 ** (bits - 1)), bits, True, along, block)


def _block_bits(document: EncodingsDocument, row: int, entry: Mapping[str, Any]) -> int:
    compressed = entry.get("compressed_bw")
    if isinstance(compressed, int):
        return compressed
    return _bits(document.elements.bitwidth[int(document.tensors.first[row])], 4)


def _block_scales(entry: Mapping[str, Any], wanted: list[int], channel: int) -> np.ndarray:
    """The scale of each block, in the wanted shape, for every spelling of the formats."""
    if "per_channel_float_scale" in entry or "per_block_int_scale" in entry:
        whole = np.asarray(leaves(entry["per_block_int_scale"]), np.float64)
        each = np.asarray(leaves(entry.get("per_channel_float_scale", entry.get("scale"))), np.float64)
        spread = [1] * len(wanted)
        spread[channel] = -1
        return _blockwise(whole, wanted, channel) * each.reshape(spread)
    scales = entry.get("y_scale", entry.get("scale"))
    if isinstance(scales, list) and np.ndim(scales) > 1:
        return np.asarray(scales, np.float64)
    return _blockwise(np.asarray(leaves(scales), np.float64), wanted, channel)


def _blockwise(flat: np.ndarray, wanted: list[int], channel: int) -> np.ndarray:
    """A flat list, channel by channel, in the shape of the blocks."""
    order = [channel, *(axis for axis in range(len(wanted)) if axis != channel)]
    turned = flat.reshape([wanted[axis] for axis in order])
    return turned.transpose(np.argsort(order))


def _spread_float(scheme: Scheme, network: Network, floats: set[str]) -> None:
    """One float among weight, bias and output makes all three float (80-63442-2, mixed precision)."""
    for step in network.steps:
        if any(name in floats for name in step.inputs[1:3]):
            for name in filter(None, step.outputs):
                if name not in scheme.floats:
                    scheme.put_into_float(name)
            for name in step.inputs[1:3]:
                scheme.biases.pop(name, None)


def _bits(bitwidth: float, default: int) -> int:
    return default if np.isnan(bitwidth) or not 2 <= bitwidth <= 32 else int(bitwidth)
