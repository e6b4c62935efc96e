"""Other sizes for a model's inputs, including the constants that an exporter computed from the old ones.

Shape inference propagates new sizes through every op except those whose output shape is a constant. There the
constant contains the old batch: as an element of the shape that Reshape, Expand, Resize or ConstantOfShape
reads, as a repeat of Tile, or as a dimension of a stored tensor that is combined with the batch. `resize`
finds these by comparing shapes under the old and the new sizes, with one round of inference after the other,
until all shapes agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from dlclint.fix import CannotFix
from dlclint.model.constants import replace_constant
from dlclint.model.dimensions import Dimensions
from dlclint.model.edits import ModelEdit, SetDimension
from dlclint.model.evaluation.bounds import whole_numbers
from dlclint.model.evaluation.values import Values
from dlclint.model.graph import Model, Node
from dlclint.model.inference import infer, refine
from dlclint.model.op_facts import MEETING, SIZE_INPUT, STATE_INPUTS, Role, positions
from dlclint.model.tensors import Array, Unavailable

Sizes = Mapping[str, Mapping[int, int]]
"""Input name to axis to size."""
_WAVES = 500
_PER_AXIS = {**SIZE_INPUT, "Resize": positions("Resize", Role.SIZES)[0]}
"""Ops whose constant input holds one element for each axis of the output."""


def wanted_sizes(model: Model, dimensions: Dimensions) -> Sizes:
    """Overrides of dimensions as sizes of axes; names that the model does not have are ignored.

    As in the converter, a batch takes precedence over a symbol, and the dimensions of an input over both.

    Raises:
        CannotFix: a wrong number of dimensions, or two sizes for one symbol.
    """
    graph = model.graph
    by_input: dict[str, dict[int, int]] = {}
    shapes = {name: known.shape for name in graph.inputs if (known := graph.type_of(name)) is not None}
    for name, shape in shapes.items():
        axes: dict[int, int] = {}
        for axis, dim in enumerate(shape or ()):
            if isinstance(dim, str) and dim in dimensions.symbols:
                axes[axis] = dimensions.symbols[dim]
        if shape and dimensions.batch is not None:
            axes[0] = dimensions.batch
        sizes = dimensions.input_dims.get(name)
        if sizes is not None:
            if shape is None or len(shape) != len(sizes):
                rank = "no known rank" if shape is None else f"{len(shape)} dimensions"
                raise CannotFix(f"input {name!r} has {rank}, {len(sizes)} are given")
            axes = dict(enumerate(sizes))
        if axes:
            by_input[name] = axes
    for name, symbol_sizes in _by_symbol(shapes, by_input).items():
        if len(symbol_sizes) > 1:
            raise CannotFix(f"symbol {name!r} would have the sizes {sorted(symbol_sizes)}")
        for tensor, shape in shapes.items():
            for axis, dim in enumerate(shape or ()):
                if dim == name:
                    by_input.setdefault(tensor, {}).setdefault(axis, next(iter(symbol_sizes)))
    return by_input


def _by_symbol(
    shapes: Mapping[str, tuple[int | str | None, ...] | None], by_input: Sizes
) -> dict[str, set[int]]:
    sizes: dict[str, set[int]] = {}
    for tensor, axes in by_input.items():
        for axis, size in axes.items():
            dim = (shapes[tensor] or ())[axis]
            if isinstance(dim, str):
                sizes.setdefault(dim, set()).add(size)
    return sizes


def resize(model: Model, sizes: Sizes, baked: int | None = None) -> Iterator[ModelEdit]:
    """Edits that give the inputs these sizes, and replace the old batch in constants by the new one.

    Args:
        baked: the batch that constants hold where the model's own batch is a symbol.

    Raises:
        CannotFix: a constant that depends on the old size cannot be computed.
    """
    graph = model.graph
    old_batch, new_batch = baked, None
    for name, axes in sizes.items():
        known = graph.type_of(name)
        if known is None or known.shape is None:
            raise CannotFix(f"input {name!r} has no shape")
        for axis, size in axes.items():
            was = known.shape[axis]
            if was == size:
                continue
            yield SetDimension(name, axis, size)
            if axis == 0:
                new_batch = size
                if isinstance(was, int):
                    if old_batch not in (None, was):
                        raise CannotFix(f"inputs have the batches {old_batch} and {was}")
                    old_batch = was
    if old_batch is None or new_batch is None or old_batch == new_batch:
        return
    if old_batch < 1:
        raise CannotFix(f"the batch is {old_batch}, so no constant can be scaled with it")
    if old_batch == 1:
        raise CannotFix(
            "constants that hold a batch of 1 cannot be distinguished from others; export it again"
        )
    waves = _Waves(model, sizes, old_batch, new_batch)
    waves.settle()
    for (index, position), values in waves.changed.items():
        yield from replace_constant([(graph.nodes[index], position)], values)


def _with_sizes(model: Model, sizes: Sizes, batch: int | None) -> onnx.ModelProto:
    """A copy without declared types except those of the inputs, which get the sizes, or `batch` on axis 0."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    graph = proto.graph
    del graph.value_info[:]
    for value in graph.output:
        for dim in value.type.tensor_type.shape.dim:
            dim.ClearField("value")
    for value in graph.input:
        for axis, size in sizes.get(value.name, {}).items():
            if batch is None or axis != 0:
                value.type.tensor_type.shape.dim[axis].dim_value = size
            else:
                value.type.tensor_type.shape.dim[axis].dim_value = batch
    return proto


@dataclass(slots=True)
class _Waves:
    """Repeats inference, changing constants where the new shapes conflict with the old batch."""

    model: Model
    sizes: Sizes
    old_batch: int
    new_batch: int
    changed: dict[tuple[int, int], Array] = field(default_factory=dict)
    """Node index and input position to the constant's new values."""

    def settle(self) -> None:
        old = _shapes(self.model, _with_sizes(self.model, self.sizes, self.old_batch))
        proto = _with_sizes(self.model, self.sizes, None)
        for _ in range(_WAVES):
            new = _shapes(self.model, proto)
            if not self._wave(proto, old, new):
                break
        self._prove(new)

    def _wave(self, proto: onnx.ModelProto, old: _Shapes, new: _Shapes) -> bool:
        """Change every constant that is known to hold the batch; False if there is none."""
        changed = False
        for node in self.model.graph.nodes:
            if node.domain:
                continue
            if node.op_type == "Reshape":
                changes = self._reshape(node, old, new)
            elif node.op_type in _PER_AXIS:
                changes = self._shape_input(node, old)
            elif node.op_type in MEETING or node.op_type in STATE_INPUTS:
                changes = self._stored(node, old, new)
            else:
                continue
            for position, values in changes:
                if (node.index, position) not in self.changed:
                    self.changed[node.index, position] = values
                    self._put(proto, node, position, values)
                    changed = True
        return changed

    def _put(self, proto: onnx.ModelProto, node: Node, position: int, values: Array) -> None:
        name = f"dlclint:{node.index}:{position}"
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        proto.graph.node[node.index].input[position] = name

    def _value(self, node: Node, position: int) -> Array | None:
        changed = self.changed.get((node.index, position))
        if changed is not None:
            return changed
        value = node.graph.small_value(node.input(position))
        return None if whole_numbers(value) is None else value

    def _reshape(self, node: Node, old: _Shapes, new: _Shapes) -> Iterator[tuple[int, Array]]:
        shape = self._value(node, 1)
        before, after = old.get(node.input(0)), new.get(node.input(0))
        target = old.get(node.outputs[0])
        if shape is None or before is None or after is None or target is None or before == after:
            return
        if shape.ndim != 1 or len(shape) != len(target):
            return
        if len(before) != len(after):  # a Squeeze without axes drops a batch of 1
            raise CannotFix(f"with that batch {node.input(0)!r} has {len(after)} of {len(before)} dimensions")
        axes = [axis for axis, (one, two) in enumerate(zip(before, after, strict=True)) if one != two]
        if len(axes) != 1 or before[axes[0]] * self.new_batch != after[axes[0]] * self.old_batch:
            return
        if any(size < 0 for size in shape) and self._fits(node, shape, after):
            return
        ahead = math.prod(before[: axes[0]])
        for position, size in enumerate(target):
            if math.prod(target[:position]) == ahead and size % self.old_batch == 0 and size:
                if shape[position] > 0:
                    changed = np.array(shape)
                    changed[position] = size // self.old_batch * self.new_batch
                    yield 1, changed
                return

    def _fits(self, node: Node, shape: Array, sizes: tuple[int, ...]) -> bool:
        """Whether the -1 of a shape absorbs the change."""
        fixed = [sizes[i] if size == 0 and i < len(sizes) else int(size) for i, size in enumerate(shape)]
        rest = math.prod(size for size in fixed if size > 0)
        wanted = [i for i, size in enumerate(fixed) if size < 0]
        held = any(int(size) % self.old_batch == 0 and size > 0 for size in shape[: wanted[0]])
        return rest > 0 and math.prod(sizes) % rest == 0 and not held

    def _shape_input(self, node: Node, old: _Shapes) -> Iterator[tuple[int, Array]]:
        position = _PER_AXIS[node.op_type]
        shape = self._value(node, position)
        if shape is None or shape.ndim != 1 or (node.index, position) in self.changed:
            return
        is_state = node.op_type == "ConstantOfShape" and any(
            node.outputs[0] in (reader.input(p) for p in STATE_INPUTS.get(reader.op_type, ()))
            for reader in node.graph.consumers(node.outputs[0])
        )
        axis = 1 if is_state else 0
        if len(shape) <= axis or int(shape[axis]) != self.old_batch:
            return
        data = old.get(node.input(0)) if node.op_type in ("Expand", "Tile") else None
        if data is not None and len(data) == len(shape) and data[axis] != 1 and node.op_type == "Tile":
            return
        changed = np.array(shape)
        changed[axis] = self.new_batch
        yield position, changed

    def _stored(self, node: Node, old: _Shapes, new: _Shapes) -> Iterator[tuple[int, Array]]:
        """Stored tensors that have the batch as a dimension, where all samples are equal."""
        states = STATE_INPUTS.get(node.op_type)
        axis = 0 if states is None else 1
        if states is None and not any(self._is_batched(name, old, new) for name in node.inputs):
            return
        rank = max((len(s) for name in node.inputs if (s := new.get(name)) is not None), default=0)
        for position in states or range(len(node.inputs)):
            stored = node.graph.constant(node.input(position))
            if stored is None or (node.index, position) in self.changed:
                continue
            whole = states is not None or len(stored.shape) == rank
            if not whole or len(stored.shape) <= axis or stored.shape[axis] != self.old_batch:
                continue
            try:
                values = stored.array()
            except Unavailable as problem:
                raise CannotFix(str(problem)) from None
            first = np.take(values, [0], axis)
            if not (values == first).all():
                raise CannotFix(f"the stored tensor {node.input(position)!r} differs from sample to sample")
            yield position, np.repeat(first, self.new_batch, axis)

    def _is_batched(self, name: str, old: _Shapes, new: _Shapes) -> bool:
        before, after = old.get(name), new.get(name)
        return bool(before and after) and (before[0], after[0]) == (self.old_batch, self.new_batch)  # type: ignore[index]

    def _prove(self, new: _Shapes) -> None:
        """Check that every Reshape keeps its number of elements; inference checks the other ops."""
        for node in self.model.graph.nodes:
            if node.op_type == "Reshape" and not node.domain:
                data, result = new.get(node.input(0)), new.get(node.outputs[0])
                if data is not None and result is not None and math.prod(data) != math.prod(result):
                    raise CannotFix(
                        f"Reshape (node {node.index}) would turn {list(data)} into {list(result)}; "
                        "it mixes the batch with other dimensions"
                    )


_Shapes = dict[str, tuple[int, ...]]


def _shapes(model: Model, proto: onnx.ModelProto) -> _Shapes:
    """The known shapes of the main graph's tensors, inferred from a changed structure."""
    changed = Model(infer(proto, model.crashes), model.path, {}, (), Values())
    refine(changed)
    graph = changed.graph
    names = (*graph.inputs, *graph.initializers, *(name for node in graph.nodes for name in node.outputs))
    tensor_types = {name: graph.type_of(name) for name in names if name}
    return {
        name: shape
        for name, known in tensor_types.items()
        if known is not None and (shape := known.static_shape) is not None
    }
