"""An If with a known condition is its live branch."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.target import Target

TEXT = """<ir_version: 8, opset_import: ["" : 17]>
g (float[1,1,16] x) => (float y) <bool c = {VALUE}, int64[1] axis = {1}>
{ r = If (c) <
     then_branch = t () => (float[1,16] short) { short = Squeeze(x, axis) },
     else_branch = e () => (float[1,1,16] long) { long = Abs(x) }
   >
   y = Relu(r) }"""


@pytest.mark.parametrize(("value", "ops", "shape"), [(1, "Squeeze", (1, 16)), (0, "Abs", (1, 1, 16))])
def test_the_live_branch_is_left(value: int, ops: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    text = TEXT.replace("VALUE", str(value))
    path = tmp_path / "model.onnx"
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(proto, path)
    view = ModelView(read(path), Target())
    assert {node.op_type for node in view.nodes()} == {ops, "Relu"}
    tensor_type = view.model.graph.type_of("y")
    assert tensor_type is not None
    assert tensor_type.shape == shape
    assert ModelView(view.model, Target(simplify=False)).branches.resolved == frozenset()
