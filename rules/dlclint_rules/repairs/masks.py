"""Attention masks whose numbers leave the scores their range."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import onnx

from dlclint.analysis.masks import Mask, multiplies_any
from dlclint.diagnostic import Safety
from dlclint.fix import CannotFix, Fix
from dlclint.model.constants import add_constant, fresh_name
from dlclint.model.edits import ModelEdit, PutInitializer, SetAttribute, SetInput
from dlclint.model.tensors import Array, Produced, Tensor, attribute_values


def bounded_mask(mask: Mask, least: float, advice: float) -> Fix | None:
    """Replace numbers of at least a magnitude by the advised one, with their sign.

    Softmax gives the same up to float precision as long as scores differ by less than the advised number,
    except for rows that are masked completely, which become uniform with the old number only. Running both
    models shows whether the model has such rows.
    """
    graph = mask.graph
    if any(reader.graph.is_function for reader in mask.readers):
        return None
    stored, maker = graph.constant(mask.name), graph.producer(mask.name)
    bound = abs(advice)
    title = f"mask with {advice:g}: Softmax stays the same to float precision"
    safety = Safety.SAFE
    if multiplies_any(mask):
        title += " where the mask's input holds zeros and ones"
        safety = Safety.UNSAFE

    def limited(values: Array) -> Array:
        large = np.abs(values.astype(np.float64)) >= least
        return np.where(large, np.copysign(bound, values.astype(np.float64)), values).astype(values.dtype)

    def filled() -> Iterator[ModelEdit]:
        assert maker is not None
        filling = attribute_values(maker.attribute("value"))
        if filling is None:
            raise CannotFix(f"the value of ConstantOfShape (node {maker.index}) cannot be read")
        value = onnx.numpy_helper.from_array(limited(filling))
        yield SetAttribute(maker, onnx.helper.make_attribute("value", value))

    def replaced(tensor: Tensor) -> Iterator[ModelEdit]:
        values = Produced(tensor.data_type, tensor.shape, lambda: map(limited, tensor.chunks()))
        alone = {node.key for node in graph.consumers(mask.name)} <= {node.key for node in mask.readers}
        if alone and mask.name in graph.initializers:
            yield PutInitializer(graph, mask.name, values)
            return
        name = fresh_name(graph, f"{mask.name}_bounded")
        yield add_constant(graph, name, values)
        for reader in mask.readers:
            for position, read in enumerate(reader.inputs):
                if read == mask.name:
                    yield SetInput(reader, position, name)

    if stored is not None:
        return Fix(title, safety, cache(lambda: tuple(replaced(stored))))
    if maker is not None and maker.op_type == "ConstantOfShape" and len(graph.consumers(mask.name)) == 1:
        return Fix(title, safety, filled)
    return None
