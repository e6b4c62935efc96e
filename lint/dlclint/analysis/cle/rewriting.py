"""From a plan to edits of the model.

Batch normalisation stays where it is: its gamma and beta take the factor of the convolution before it,
so that every node, name and statistic survives and the quantizer's own high-bias absorption still finds
what it needs. Only where none follows are the convolution's own output channels and bias scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from dlclint.analysis.cle.layers import Floats, Layer, Stored
from dlclint.analysis.cle.plan import Chain
from dlclint.model.edits import Edit, PutInitializer, ReplaceNodes, SetInput
from dlclint.model.graph import Model, Node
from dlclint.model.tensors import Array, Produced, Tensor

_ROWS = 1 << 20
"""Values of a weight that are scaled at once."""


class Rewriter:
    """Makes the edits for chains of one model; new tensors get names that the model does not have."""

    def __init__(self, model: Model) -> None:
        self._names = {
            name
            for graph in model.graphs()
            for name in (
                *graph.inputs,
                *graph.initializers,
                *(name for node in graph.nodes for name in (*node.inputs, *node.outputs)),
            )
        }

    def edits(self, chain: Chain) -> Iterator[Edit]:
        """What makes the model compute with the chain's factors and absorbed constants."""
        for link in chain.links:
            for node in link.pair.between:
                if node.op_type == "Clip" and link.pair.relu6:
                    yield _as_relu(node)
        for position, layer in enumerate(chain.layers):
            yield from self._layer(chain, position, layer)

    def _layer(self, chain: Chain, position: int, layer: Layer) -> Iterator[Edit]:
        outputs, inputs = chain.output_factors(position), chain.input_factors(position)
        less = chain.links[position].constants if position < len(chain.links) else np.zeros(layer.outputs)
        more = _carried(layer, chain.links[position - 1].constants) if position else np.zeros(layer.outputs)
        norm = layer.norm
        if norm is None:
            yield from self._weight(layer, outputs, inputs)
            yield from self._bias(layer, outputs, more)
            return
        yield from self._weight(layer, np.ones(layer.outputs), inputs)
        if more.any():
            yield from self._vector(norm.node, 3, norm.mean, norm.mean.values() - more)
        if (outputs != 1).any():
            yield from self._vector(norm.node, 1, norm.gamma, norm.gamma.values() * outputs)
        if (outputs != 1).any() or less.any():
            yield from self._vector(norm.node, 2, norm.beta, (norm.beta.values() - less) * outputs)

    def _weight(self, layer: Layer, outputs: Floats, inputs: Floats) -> Iterator[Edit]:
        if (outputs != 1).any() or (inputs != 1).any():
            tensor = layer.weight.tensor
            scaled = Produced(tensor.data_type, tensor.shape, _Scaling.of(layer, outputs, inputs))
            yield from self._put(layer.conv, 1, layer.weight, scaled)

    def _bias(self, layer: Layer, outputs: Floats, more: Floats) -> Iterator[Edit]:
        if layer.bias is not None and ((outputs != 1).any() or more.any()):
            yield from self._vector(layer.conv, 2, layer.bias, (layer.bias.values() + more) * outputs)
        elif layer.bias is None and more.any():
            dtype = onnx.helper.tensor_dtype_to_np_dtype(layer.weight.tensor.data_type)
            name = self._fresh(f"{layer.conv.outputs[0]}_bias")
            yield PutInitializer(layer.conv.graph, name, (more * outputs).astype(dtype))
            yield SetInput(layer.conv, 2, name)

    def _vector(self, node: Node, position: int, stored: Stored, values: Floats) -> Iterator[Edit]:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(stored.tensor.data_type)
        yield from self._put(node, position, stored, Produced.of(values.astype(dtype)))

    def _put(self, node: Node, position: int, stored: Stored, values: Produced) -> Iterator[Edit]:
        """In place, or where another node reads the tensor too, in one of the node's own."""
        if stored.home is not None and not stored.is_shared:
            yield PutInitializer(stored.home, stored.name, values)
            return
        name = self._fresh(f"{stored.name}_equalized")
        yield PutInitializer(node.graph, name, values)
        yield SetInput(node, position, name)

    def _fresh(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name


@dataclass(frozen=True)
class _Scaling:
    """The values of a weight times a factor for each of its cells, some rows at a time.

    Cell (row, column) is multiplied by `rows[row]` and by `columns[group, column]`, where each group
    has the same number of rows in a row.
    """

    tensor: Tensor
    rows: Floats
    columns: Floats

    @classmethod
    def of(cls, layer: Layer, outputs: Floats, inputs: Floats) -> _Scaling:
        """Rows are output channels, or input channels where the weight lies the other way."""
        rows, columns = (inputs, outputs) if layer.transposed else (outputs, inputs)
        return cls(layer.weight.tensor, rows, columns.reshape(layer.group, -1))

    def __call__(self) -> Iterator[Array]:
        values = self.tensor.array()
        group_of = np.arange(len(values)) // (len(values) // len(self.columns))
        at_once = max(1, len(values) * _ROWS // max(1, values.size))
        for start in range(0, len(values), at_once):
            part = slice(start, start + at_once)
            scale = self.rows[part, np.newaxis] * self.columns[group_of[part]]
            scale = scale.reshape(*scale.shape, *(1 for _ in values.shape[2:]))
            yield (values[part] * scale).astype(values.dtype.newbyteorder("="))


def _carried(layer: Layer, constants: Floats) -> Floats:
    """What a constant in each input channel adds to each output channel, before any scaling."""
    if not constants.any():
        return np.zeros(layer.outputs)
    values = layer.weight.tensor.array()
    sums = values.reshape(*values.shape[:2], -1).sum(axis=2, dtype=np.float64)
    sums = sums.reshape(layer.group, -1, values.shape[1])
    return np.asarray((sums * constants.reshape(layer.group, 1, -1)).sum(axis=2).reshape(-1))


def _as_relu(clip: Node) -> Edit:
    relu = onnx.NodeProto()
    relu.CopyFrom(clip.proto)
    relu.op_type = "Relu"
    del relu.attribute[:]
    del relu.input[1:]
    return ReplaceNodes(clip.graph, (clip,), (relu,))
