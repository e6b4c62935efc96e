"""The grids of stored inputs when a float model is checked as a quantized one.

The override file determines the width, sign and symmetry of a weight, a scale or a slope. Without an entry,
the role of the input determines them: weights have the width of the DLC kind, scales of normalizations and
slopes 8 unsigned bits (or, with 16-bit weights, the 16-bit form that HTP takes of them), which is what
AIMET's configurations for HTP give them, and other operands the width of the op.

Source: which forms HTP takes is measured (`dlclint_schemas/data/measured_side_inputs.json`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto

from dlclint.analysis.roles import channel_axis
from dlclint.confirm.ranges import UnsignedGrid, unsigned_grid
from dlclint.encodings.document import FLOAT, EncodingsDocument
from dlclint.encodings.entry_grids import StoredGrid, stored_grid
from dlclint.model.graph import Node
from dlclint.model.op_facts import CONVOLUTIONS, INTEGER_BIAS, RECURRENT, WEIGHTED_OPS, Role, role
from dlclint.model.tensors import Array
from dlclint.target import DlcKind
from dlclint_schemas.record import record

_TYPES = {
    (False, 4): (np.uint8, TensorProto.UINT4),
    (False, 8): (np.uint8, TensorProto.UINT8),
    (False, 16): (np.uint16, TensorProto.UINT16),
    (True, 4): (np.int8, TensorProto.INT4),
    (True, 8): (np.int8, TensorProto.INT8),
    (True, 16): (np.int16, TensorProto.INT16),
}
"""By whether the integers are signed, and bitwidth: what is stored, with numpy's type for it."""
_BLOCKS = ("PER_BLOCK", "LPBQ", "VECTOR")
_NOUNS = {Role.GAMMA: "scales", Role.SLOPE: "slopes"}


@record
class QuantizedInput:
    """A stored input, quantized: integers and one grid, or one grid for each channel of `axis`."""

    integers: Array
    scale: Array
    zero: Array
    kind: int
    """TensorProto's element type."""
    axis: int | None = None


def is_bias(node: Node, position: int) -> bool:
    """Whether an input is stored as int32 at input scale times weight scale."""
    return position == 2 and node.op_type in INTEGER_BIAS


def is_parameter(node: Node, position: int) -> bool:
    """Whether the role of an input determines its grid, whatever the width of the op."""
    known = role(node.op_type, position)
    if known is Role.WEIGHT:
        return position == 1 and node.op_type in WEIGHTED_OPS
    if known in (Role.RECURRENT_WEIGHT, Role.PEEPHOLE):
        return True
    return known in (Role.GAMMA, Role.SLOPE)


@dataclass(slots=True)
class StoredGrids:
    """Quantizes stored inputs, and counts the forms."""

    kind: DlcKind
    document: EncodingsDocument | None
    forms: dict[str, str] = field(default_factory=dict)
    """The form of each quantized tensor, such as `unsigned 8-bit scales`, by name."""
    from_file: set[str] = field(default_factory=set)
    """The tensors whose grid is from the file."""
    unused: dict[str, str] = field(default_factory=dict)
    """Entries that could not be used, and why."""

    def is_float(self, name: str) -> bool:
        """Whether the override file keeps a tensor float."""
        row = None if self.document is None else self.document.last_row(name)
        if row is None or self.document is None:
            return False
        return bool(self.document.elements.kind[int(self.document.tensors.first[row])] == FLOAT)

    def parameter(self, node: Node, position: int, name: str, values: Array) -> QuantizedInput:
        """A weight, scale or slope on its grid."""
        file_grid, axis = self._from_file(node, position, name, values)
        noun = _NOUNS.get(role(node.op_type, position), "weights")
        if file_grid is None:
            file_grid, axis = self._by_role(node, position, values)
        else:
            self.from_file.add(name)
        self.forms[name] = _form(file_grid, noun, axis)
        return _quantized(values, file_grid, axis)

    def ones(self, name: str, sizes: tuple[int, ...]) -> QuantizedInput:
        """The scale of a normalization that has none."""
        grid = self._of_factor(0.0, 1.0, signed=False)
        self.forms[name] = _form(grid, _NOUNS[Role.GAMMA], None)
        return _quantized(np.ones(sizes, np.float32), grid, None)

    def operand(
        self, name: str, values: Array, file_grid: UnsignedGrid | None, width: int
    ) -> tuple[QuantizedInput, UnsignedGrid]:
        """Another stored operand, on the grid of the file or that of its values, at the width of the op."""
        if file_grid is None:
            grid = unsigned_grid(float(values.min(initial=0.0)), float(values.max(initial=0.0)), width)
        else:
            grid = file_grid.at(width)
            self.from_file.add(name)
        flat = StoredGrid(np.asarray([grid.scale]), np.asarray([float(grid.zero)]), width, False, False)
        self.forms[name] = f"{width}-bit stored operands"
        return _quantized(values, flat, None), grid

    def bias(self, name: str, values: Array, scale: Array) -> QuantizedInput:
        """A bias as int32 at input scale times weight scale, saturated."""
        if 1 < scale.size < values.size:  # a grouped ConvTranspose has a scale for each channel of one group
            scale = np.tile(scale, values.size // scale.size)
        limit = np.iinfo(np.int32)
        integers = np.clip(np.rint(values.astype(np.float64) / scale), limit.min, limit.max)
        self.forms[name] = "32-bit biases"
        zero = np.zeros(scale.shape, np.int32)
        axis = 0 if scale.ndim else None
        return QuantizedInput(integers.astype(np.int32), scale, zero, TensorProto.INT32, axis)

    def _from_file(
        self, node: Node, position: int, name: str, values: Array
    ) -> tuple[StoredGrid | None, int | None]:
        row = None if self.document is None else self.document.last_row(name)
        if row is None or self.document is None:
            return None, None
        tensors = self.document.tensors
        if not np.isnan(tensors.block_size[row]) or tensors.enc_type[row] in _BLOCKS:
            self.unused[name] = "is in blocks, which the question does not hold"
            return None, None
        entry_grid = stored_grid(self.document, row, self.kind.weights_bitwidth)
        if entry_grid is None:
            return None, None
        if (False, entry_grid.bitwidth) not in _TYPES:
            self.unused[name] = f"has {entry_grid.bitwidth} bits, which the question does not hold"
            return None, None
        count = int(tensors.count[row])
        if count == 1:
            return entry_grid, None
        stated = tensors.axis[row]
        axis = channel_axis(node, position) if np.isnan(stated) else int(stated)
        if not values.ndim or not -values.ndim <= axis < values.ndim or values.shape[axis] != count:
            self.unused[name] = f"has {count} channels in the file and others in the model"
            return None, None
        return entry_grid, axis % values.ndim

    def _by_role(self, node: Node, position: int, values: Array) -> tuple[StoredGrid, int | None]:
        width = self.kind.weights_bitwidth
        known = role(node.op_type, position)
        low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
        if known in (Role.GAMMA, Role.SLOPE):
            return self._of_factor(low, high, signed=known is Role.SLOPE), None
        if self.kind.per_channel and node.op_type in CONVOLUTIONS:
            axis = channel_axis(node, 1) % values.ndim
            others = tuple(i for i in range(values.ndim) if i != axis)
            return _around_zero(np.abs(values).max(axis=others), width, True), axis
        if width == 8 or node.op_type in RECURRENT:
            return _whole(low, high, width), None
        return _around_zero(np.asarray(max(abs(low), abs(high))), width, True), None

    def _of_factor(self, low: float, high: float, *, signed: bool) -> StoredGrid:
        width = self.kind.weights_bitwidth
        if width <= 8:
            return _whole(low, high, 8)
        # PRelu takes no unsigned 16-bit slope, InstanceNormalization no signed 16-bit scale.
        return _around_zero(np.asarray(max(abs(low), abs(high))), width, signed)

    def words(self) -> list[str]:
        """The forms that were stored, such as `unsigned 8-bit weights per tensor`, most frequent first."""
        return [form for form, _ in Counter(self.forms.values()).most_common()]


def _form(grid: StoredGrid, noun: str, axis: int | None) -> str:
    sign = "signed" if grid.signed and grid.symmetric else "unsigned"
    how = ("" if noun != "weights" else " per tensor") if axis is None else " per channel"
    is_around = noun != "weights" and grid.symmetric and not grid.signed
    middle = " with the zero point in the middle" if is_around else ""
    return f"{sign} {grid.bitwidth}-bit {noun}{how}{middle}"


def _whole(low: float, high: float, width: int) -> StoredGrid:
    grid = unsigned_grid(low, high, width)
    return StoredGrid(np.asarray([grid.scale]), np.asarray([float(grid.zero)]), width, False, False)


def _around_zero(magnitude: Array, width: int, signed: bool) -> StoredGrid:
    """A symmetric grid, whose largest integer represents the largest magnitude."""
    scale = np.maximum(np.asarray(magnitude, np.float64), 1e-8).reshape(-1) / (2 ** (width - 1) - 1)
    return StoredGrid(scale, np.full(scale.shape, 2.0 ** (width - 1)), width, True, signed)


def _quantized(values: Array, grid: StoredGrid, axis: int | None) -> QuantizedInput:
    scale, zero = grid.scale.astype(np.float32), np.clip(np.rint(grid.zero), 0, 2**grid.bitwidth - 1)
    if axis is None:
        scale, zero = scale.reshape(()), zero.reshape(())
    shape = [1] * values.ndim
    if axis is not None:
        shape[axis] = -1
    wide, middle = scale.reshape(shape), zero.reshape(shape)
    integers = np.clip(np.rint(values / wide) + middle, 0, 2**grid.bitwidth - 1)
    signed = grid.signed and grid.symmetric
    dtype, kind = _TYPES[signed, grid.bitwidth]
    half = 2.0 ** (grid.bitwidth - 1) if signed else 0.0
    return QuantizedInput((integers - half).astype(dtype), scale, (zero - half).astype(dtype), kind, axis)
