"""GELU, HardSwish and layer normalization in the form that the converter recognizes.

The recognized form replaces the last node of the existing one; nodes that only the old form read are removed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from dlclint.analysis.matching.computed import Computed
from dlclint.diagnostic import Safety
from dlclint.fix import Fix
from dlclint.model.constants import add_constant, fresh_name
from dlclint.model.edits import ModelEdit, ReplaceNodes
from dlclint.model.types import is_float, numpy_type


def rewritten(match: Computed) -> Fix | None:
    """The recognized form, which replaces the existing one."""
    graph, last = match.last.graph, match.last
    kind = graph.type_of(last.outputs[0]) or graph.type_of(match.source)
    opset = graph.opset("")
    dtype = None if kind is None or not is_float(kind.data_type) else numpy_type(kind.data_type)
    if dtype is None or opset is None:
        return None

    def edits() -> Iterator[ModelEdit]:
        nodes: list[onnx.NodeProto] = []
        constants: list[ModelEdit] = []
        result = last.outputs[0]

        def number(name: str, value: float | list[int], of: npt.DTypeLike = dtype) -> str:
            called = fresh_name(graph, f"{result}_{name}")
            constants.append(add_constant(graph, called, np.array(value, of)))
            return called

        def step(op: str, *inputs: str, **attributes: list[int]) -> str:
            called = fresh_name(graph, f"{result}_{op.lower()}_{len(nodes)}")
            nodes.append(helper.make_node(op, inputs, [called], name=called if last.name else ""))
            nodes[-1].attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
            return called

        def mean(tensor: str) -> str:
            if opset >= 18:
                return step("ReduceMean", tensor, number(f"axes_{len(nodes)}", [-1], np.int64))
            return step("ReduceMean", tensor, axes=[-1])

        x = match.source
        if match.layer == "Gelu":
            scaled = step("Div", x, number("root_of_two", math.sqrt(2)))
            shifted = step("Add", step("Erf", scaled), number("one", 1.0))
            step("Mul", step("Mul", x, shifted), number("half", 0.5))
        elif match.layer == "HardSwish":
            shifted = step("Add", x, number("three", 3.0))
            clipped = step("Clip", shifted, number("zero", 0.0), number("six", 6.0))
            step("Div", step("Mul", x, clipped), number("divisor", 6.0))
        else:
            centered = step("Sub", x, mean(x))
            spread = mean(step("Pow", centered, number("two", 2.0)))
            step("Div", centered, step("Sqrt", step("Add", spread, number("epsilon", match.epsilon))))
        nodes[-1].output[0] = result
        nodes[-1].name = last.name
        yield from constants
        yield ReplaceNodes(graph, (last,), tuple(nodes))

    if match.layer == "HardSwish" and opset < 11:
        return None  # Clip has its bounds as attributes there, and is rarely written so
    return Fix(f"rewrite {match.layer} in the form that the converter recognizes", Safety.SAFE, edits)
