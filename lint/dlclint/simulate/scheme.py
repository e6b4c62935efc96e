"""Which tensor is stored on which grid: the content of a quantized model, without its origin.

Source of the arithmetic: 80-63442-2 Rev BL, Quantized vs Non-Quantized Models; of int32 biases at input scale
times weight scale: the QNN op definitions, and the behavior of Qualcomm's backend on QDQ models.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np

from dlclint.encodings import grid
from dlclint.encodings.grid import Floats
from dlclint.model.op_facts import RECURRENT, Role, role
from dlclint.model.tensors import Array
from dlclint.simulate.network import Network, Step
from dlclint_schemas.record import record

_BLOCK = 1 << 16
"""Elements that are rounded at once, so that all passes stay in the cache."""


@record
class Grid:
    """One grid for a whole tensor: integers 0 to 2**bitwidth - 1, a number is scale * (q - zero).

    `symmetric` means that it is written as signed with offset -2**(bitwidth - 1); `fixed` that the op
    determines the range, such as 0 to 1 of Sigmoid.
    """

    scale: float
    zero: int
    bitwidth: int
    symmetric: bool = False
    fixed: bool = False

    @property
    def low(self) -> float:
        """The smallest number on the grid."""
        return -self.zero * self.scale

    @property
    def high(self) -> float:
        """The largest number on the grid."""
        return (2.0**self.bitwidth - 1 - self.zero) * self.scale

    def rounded(self, values: Array) -> Array:
        """The numbers of the grid nearest to `values`, with their element type; halves to even, as in QDQ.

        NaN becomes the smallest number, as on ONNX Runtime's CPU.
        """
        flat = np.ascontiguousarray(values).reshape(-1)
        wide = np.float64 if self.bitwidth > 16 or values.dtype == np.float64 else np.float32
        out = np.empty(flat.shape, values.dtype)
        scale, low, high = wide(self.scale), wide(-self.zero), wide(2**self.bitwidth - 1 - self.zero)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, flat.size, _BLOCK):
                part = np.divide(flat[start : start + _BLOCK], scale, dtype=wide)
                np.rint(part, part)
                np.fmin(np.fmax(part, low, part), high, part)
                np.multiply(part, scale, part)
                out[start : start + _BLOCK] = part
        return out.reshape(values.shape)

    def at(self, bitwidth: int) -> Grid:
        """The grid of the same range at another width, as a Convert op makes it."""
        if bitwidth == self.bitwidth:
            return self
        return replace(
            grid_of_range(self.low, self.high, bitwidth), symmetric=self.symmetric, fixed=self.fixed
        )


@dataclass(frozen=True, slots=True, eq=False)
class ParamGrid:
    """The grid of a stored tensor: one, one for each channel of an axis, or one for each block of it.

    `scale` and `zero` have shape [], [channels], or that of the tensor with blocks along `axis`. Integers are
    0 to 2**bitwidth - 1; `zero` is 2**(bitwidth - 1) where the grid is symmetric.
    """

    scale: Floats
    zero: Floats
    bitwidth: int
    symmetric: bool
    axis: int | None = None
    block: int | None = None

    def spread(self, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Scale and zero in a shape that broadcasts over a tensor."""
        if self.axis is None:
            return self.scale.reshape(()), self.zero.reshape(())
        if self.block is not None:
            size = shape[self.axis]
            index = np.minimum(np.arange(size) // self.block, self.scale.shape[self.axis] - 1)
            return np.take(self.scale, index, self.axis), np.take(self.zero, index, self.axis)
        spread = [1] * len(shape)
        spread[self.axis] = -1
        return self.scale.reshape(spread), self.zero.reshape(spread)

    def integers(self, values: Array) -> Array:
        """The integers that represent `values`, as int64."""
        scale, zero = self.spread(values.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            steps = np.clip(np.rint(values / scale.astype(np.float32)) + zero, 0, 2**self.bitwidth - 1)
        return np.asarray(np.nan_to_num(steps)).astype(np.int64)

    def rounded(self, values: Array) -> Array:
        """The numbers of the grid nearest to `values`, with their element type."""
        scale, zero = self.spread(values.shape)
        numbers = (self.integers(values) - zero) * scale.astype(np.float32).astype(np.float64)
        return np.asarray(numbers).astype(values.dtype)


def grid_of_range(low: float, high: float, bitwidth: int) -> Grid:
    """The grid of a range by the documented algorithm."""
    encoding = grid.fit(min(low, high), max(low, high), bitwidth)
    return Grid(float(np.float32(encoding.scale)), round(-float(encoding.offset)), bitwidth)


@record
class Floating:
    """A float activation: its bits, and the grid on which quantized steps read it, None if unknown."""

    grid: Grid | None
    bitwidth: int = 16

    def rounded(self, values: Array) -> Array:
        """The values as they are stored; values beyond float16 become infinite."""
        return half(values) if self.bitwidth == 16 else values


def half(values: Array) -> Array:
    """Values rounded to float16, with their own element type."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(values.dtype)


@dataclass(slots=True)
class Scheme:
    """Grids by tensor name. A tensor without a grid stays float; a step whose output has none runs in float.

    `activations` also holds the stored operands, such as the other operand of an Add: the op treats them like
    activations. `biases` are grids that a bias is rounded to before it is stored as int32. `floats` are
    activations that are float on purpose: the step that computes them runs in float.

    To measure the cost of one grid, a scheme may hold only that grid: then `otherwise` is the width at which
    steps without a grid run, and `edges` are roundings of what one step reads, by its index and name.

    `float_biases`: biases are added as they are stored in the model, not as int32, as in AIMET's QuantSim
    (its configurations for HTP quantize no bias).
    """

    activations: dict[str, Grid] = field(default_factory=dict)
    params: dict[str, ParamGrid] = field(default_factory=dict)
    biases: dict[str, ParamGrid] = field(default_factory=dict)
    floats: dict[str, Floating] = field(default_factory=dict)
    otherwise: int | None = None
    edges: dict[tuple[int, str], Grid] = field(default_factory=dict)
    float_biases: bool = False

    def copy(self) -> Scheme:
        """A copy that may be changed."""
        return Scheme(
            dict(self.activations),
            dict(self.params),
            dict(self.biases),
            dict(self.floats),
            float_biases=self.float_biases,
        )

    def width(self, step: Step) -> int | None:
        """The width that a step runs at: that of its output; None where it has no grid.

        Where the output is wider or narrower than an input, the converter inserts a Convert before the op
        (80-63442-2 Rev BL, mixed precision); HTP has no op of two widths (Conv with 16-bit input and 8-bit
        output does not finalize).
        """
        for name in step.outputs:
            stored_on = self.activations.get(name) if name else None
            if stored_on is not None:
                return stored_on.bitwidth
        return self.otherwise

    def read(self, name: str, width: int | None) -> Grid | None:
        """The grid on which a step of a width reads an activation; None where it is float.

        A float tensor is converted to the width of its reader, on its calibrated range.
        """
        stored_on = self.activations.get(name)
        if stored_on is None and name in self.floats and width is not None:
            converted = self.floats[name].grid
            return None if converted is None else converted.at(width)
        if stored_on is None or width is None or stored_on.bitwidth <= width:
            return stored_on
        return stored_on.at(width)

    def digest(self) -> str:
        """A short text that differs for every scheme."""
        whole = hashlib.blake2b(digest_size=8)
        for part in (self.activations, self.floats, self.edges, self.otherwise, self.float_biases):
            items = sorted(part.items(), key=repr) if isinstance(part, dict) else part
            whole.update(repr(items).encode())
        for grids in (self.params, self.biases):
            for name, each in sorted(grids.items()):
                whole.update(f"{name} {each.bitwidth} {each.symmetric} {each.axis} {each.block}".encode())
                whole.update(each.scale.tobytes() + each.zero.tobytes())
        return whole.hexdigest()

    def put_into_float(self, name: str, bitwidth: int = 16) -> None:
        """Make an activation float, with 16 or 32 bits."""
        self.floats[name] = Floating(self.activations.pop(name, None), bitwidth)

    def is_half(self, step: Step) -> bool:
        """Whether a step computes in float16."""
        return any(name in self.floats and self.floats[name].bitwidth == 16 for name in step.outputs)


def what(step: Step, position: int, network: Network) -> Role:
    """The role of a float input; roles that quantization treats alike are merged.

    DATA: an activation or a stored operand. WEIGHT: stored, on a separate grid. BIAS: int32. BOUND: float.
    """
    if not step.official:
        return Role.DATA
    known = role(step.op, position)
    stored = step.inputs[position] in network.constants
    if known in (Role.DATA, Role.UPDATES, Role.STATE):
        return Role.DATA
    if known in (Role.WEIGHT, Role.RECURRENT_WEIGHT, Role.GAMMA, Role.SLOPE):
        return Role.WEIGHT if stored else Role.DATA
    # Recurrent ops run in float in the backend's wrapper: their biases have no product of scales.
    if known in (Role.BIAS, Role.BETA) and stored and step.op not in RECURRENT:
        return Role.BIAS
    return Role.BOUND


def product_scale(step: Step, position: int, scheme: Scheme, width: int | None) -> Floats | None:
    """Input scale times weight scale, of which a bias is a multiple; None where one of the three is float."""
    if scheme.float_biases:
        return None
    data = scheme.read(step.inputs[0], width)
    weight = scheme.params.get(step.inputs[1]) if len(step.inputs) > 1 else None
    if data is None or weight is None or weight.block is not None or position < 2:
        return None
    return np.asarray(np.float32(data.scale) * weight.scale.astype(np.float32)).astype(np.float64)


def stored_bias(values: Array, scale: Floats, param_grid: ParamGrid | None) -> Array:
    """A bias as the op adds it: rounded to its own grid if it has one, then to int32 at `scale`."""
    before = values if param_grid is None else param_grid.rounded(values)
    if 1 < scale.size < values.size:  # a grouped ConvTranspose has a scale for each channel of one group
        scale = np.tile(scale, values.size // scale.size)
    steps = np.rint(before.astype(np.float64) / scale)
    integers = np.clip(steps, -(2.0**31), 2.0**31 - 1)
    return np.asarray(integers * scale).astype(values.dtype)
