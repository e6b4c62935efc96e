"""From a plan to edits of the model.

Batch normalization stays where it is: its gamma and beta take the factor of the convolution before it, so
that every node, name and statistic is kept and the quantizer's own high-bias absorption still finds what it
needs. Only where no batch normalization follows are the convolution's own output channels and bias scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from dlclint.analysis.cle.cells import CannotScale, Cells
from dlclint.analysis.cle.layers import Layer, StoredTensor
from dlclint.analysis.cle.plan import EqualizedChain
from dlclint.analysis.weights.statistics import Floats
from dlclint.model.edits import ModelEdit, PutInitializer, ReplaceNodes, SetInput
from dlclint.model.graph import Model, Node
from dlclint.model.tensors import Array, Produced, Unavailable


class Rewriter:
    """Makes the edits for chains of one model; new tensors get unused names."""

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

    def edits(self, chain: EqualizedChain) -> Iterator[ModelEdit]:
        """The edits that apply the chain's factors and absorbed constants to the model."""
        for link in chain.links:
            for node in link.pair.between:
                if node.op_type == "Clip" and link.pair.relu6:
                    yield _as_relu(node)
        for position, layer in enumerate(chain.layers):
            yield from self._layer(chain, position, layer)

    def _layer(self, chain: EqualizedChain, position: int, layer: Layer) -> Iterator[ModelEdit]:
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

    def _weight(self, layer: Layer, outputs: Floats, inputs: Floats) -> Iterator[ModelEdit]:
        if (outputs != 1).any() or (inputs != 1).any():
            tensor = layer.stored.tensor
            scaled = Produced(tensor.data_type, tensor.shape, _Scaling(layer.weight.cells, outputs, inputs))
            yield from self._put(layer.conv, 1, layer.stored, scaled)

    def _bias(self, layer: Layer, outputs: Floats, more: Floats) -> Iterator[ModelEdit]:
        if layer.bias is not None and ((outputs != 1).any() or more.any()):
            yield from self._vector(layer.conv, 2, layer.bias, (layer.bias.values() + more) * outputs)
        elif layer.bias is None and more.any():
            dtype = onnx.helper.tensor_dtype_to_np_dtype(layer.stored.tensor.data_type)
            name = self._fresh(f"{layer.conv.outputs[0]}_bias")
            yield PutInitializer(layer.conv.graph, name, (more * outputs).astype(dtype))
            yield SetInput(layer.conv, 2, name)

    def _vector(self, node: Node, position: int, stored: StoredTensor, values: Floats) -> Iterator[ModelEdit]:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(stored.tensor.data_type)
        yield from self._put(node, position, stored, Produced.of(values.astype(dtype)))

    def _put(self, node: Node, position: int, stored: StoredTensor, values: Produced) -> Iterator[ModelEdit]:
        """Replace a tensor, or add a new one for the node where another node reads the tensor too."""
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
    """The stored values of a weight times a factor for each of its channels, block by block."""

    cells: Cells
    outputs: Floats
    inputs: Floats

    def __call__(self) -> Iterator[Array]:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(self.cells.tensor.data_type)
        try:
            for block in self.cells.blocks():
                group = len(block.values)
                scale: Floats = self.outputs[block.outputs].reshape(group, -1, 1)
                scale = scale * self.inputs[block.inputs].reshape(group, 1, -1)
                scaled = block.values * scale[..., np.newaxis].astype(block.values.dtype)
                if self.cells.transposed:
                    scaled = scaled.transpose(0, 2, 1, 3)
                yield scaled.astype(dtype, copy=False)
        except CannotScale as error:
            raise Unavailable(str(error)) from None


def _carried(layer: Layer, constants: Floats) -> Floats:
    """What a constant in each input channel adds to each output channel, before any scaling."""
    if not constants.any():
        return np.zeros(layer.outputs)
    return layer.weight.cells.weighted_sums(constants)


def _as_relu(clip: Node) -> ModelEdit:
    relu = onnx.NodeProto()
    relu.CopyFrom(clip.proto)
    relu.op_type = "Relu"
    del relu.attribute[:]
    del relu.input[1:]
    return ReplaceNodes(clip.graph, (clip,), (relu,))
