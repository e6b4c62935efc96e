"""The converter's own dimension overrides, applied before anything else is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from dlclint_schemas.record import record

if TYPE_CHECKING:
    import onnx


@record
class Dimensions:
    """Overrides by the converter's names.

    Source: 80-63442-2 Rev BL, Tools, snpe-onnx-to-dlc: `-d/--input_dim` (input name and its
    comma-separated dimensions), `-s/--define_symbol` (symbol and value), `-b/--batch`.
    """

    input_dims: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    symbols: Mapping[str, int] = field(default_factory=dict)
    batch: int | None = None

    def __bool__(self) -> bool:
        return bool(self.input_dims or self.symbols or self.batch is not None)


@record
class DeclaredShapes:
    """What the model declared where overrides were written."""

    symbols: tuple[str, ...] = ()
    """The symbols of its inputs, in their order."""
    other_ranks: tuple[tuple[str, int, int], ...] = ()
    """Inputs whose override has another number of dimensions: name, overridden rank, declared rank."""


def clear_negative(graph: onnx.GraphProto) -> None:
    """Remove sizes below 0 from what a graph declares: exporters write -1 where a size is not known."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.HasField("tensor_type"):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_value < 0:
                    dim.ClearField("value")


NOTHING = DeclaredShapes()
"""Where nothing was overridden."""


def write_dimensions(dimensions: Dimensions, graph: onnx.GraphProto) -> DeclaredShapes:
    """Write the overrides into the graph's inputs."""
    if not dimensions:
        return NOTHING
    initializers = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in initializers]
    symbols: dict[str, None] = {}
    other_ranks: list[tuple[str, int, int]] = []
    for value in inputs:
        if not value.type.HasField("tensor_type"):
            continue
        shape = value.type.tensor_type.shape
        for position, dim in enumerate(shape.dim):
            if dim.dim_param:
                symbols[dim.dim_param] = None
            if dim.dim_param in dimensions.symbols:
                dim.dim_value = dimensions.symbols[dim.dim_param]
            if position == 0 and dimensions.batch is not None:
                dim.dim_value = dimensions.batch
        override = dimensions.input_dims.get(value.name)
        if override is not None:
            if value.type.tensor_type.HasField("shape") and len(override) != len(shape.dim):
                other_ranks.append((value.name, len(override), len(shape.dim)))
            del shape.dim[:]
            for size in override:
                shape.dim.add().dim_value = size
    # Types declared for the old dimensions would contradict what follows from the new ones.
    del graph.value_info[:]
    for output in graph.output:
        if output.type.HasField("tensor_type"):
            for dim in output.type.tensor_type.shape.dim:
                dim.ClearField("value")
    return DeclaredShapes(tuple(symbols), tuple(other_ranks))
