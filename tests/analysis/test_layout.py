"""Which 4-D tensors hold channels in their second axis."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper, parser

from dlclint.analysis.layout import image_tensors
from dlclint.model.reading import read

MIXED = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1,3,16,16] x, float[1,64,32] t) => (float[1,4,16,8] z) <float[4,3,1,1] w, int64[4] s, int64[4] q> {
  a = Conv(x, w)
  b = Relu(a)
  c = Reshape(b, s)
  d = Sigmoid(c)
  e = Transpose<perm = [0, 3, 1, 2]>(d)
  f = MaxPool<kernel_shape = [1, 1]>(e)
  h = Reshape(t, q)
  i = Add(h, h)
  z = Softmax<axis = -1>(i)
}"""


def test_from_layout_sensitive_ops_to_where_axes_move(tmp_path: Path) -> None:
    """x to b lie in NCHW; Reshape ends it; e is one again because MaxPool reads it; h to z are tokens."""
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(MIXED).SerializeToString())
    model = read(path)
    ranks = {name: model.graph.rank(name) for name in "abcdefhiz"}
    layouts = image_tensors(model.graph)
    assert {"x", "a", "b", "e", "f"} <= layouts, ranks
    assert not layouts & {"c", "d", "h", "i", "z", "t", "w"}


SPREAD = """<ir_version: 8, opset_import: ["" : 13]>
g (float[1,64,32] t, float[8,8] k) => (float[1,8,4,64] y) <int64[4] q, float[3,4,1,1] w> {{
  a = Reshape(t, q)
  b = {op}
  y = Conv(b, w)
}}"""


@pytest.mark.parametrize(
    "op",
    [
        "Concat<axis = 1>(a, a)",
        "Add(a, a)",
        "Relu(a)",
        "Slice(a, s, s)",
        "DequantizeLinear(a, k)",
        "Pad(a, s)",
    ],
)
def test_layout_spreads_backward_through_ops_that_leave_axes_alone(op: str, tmp_path: Path) -> None:
    text = SPREAD.format(op=op).replace("float[8,8] k", "float k, int64[8] s")
    path = tmp_path / "m.onnx"
    model = parser.parse_model(text)
    for name in "ab":
        model.graph.value_info.append(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4, 8, 64])
        )
    path.write_bytes(model.SerializeToString())
    assert {"a", "b", "y"} <= image_tensors(read(path).graph)


def test_layout_does_not_spread_through_a_transpose(tmp_path: Path) -> None:
    text = SPREAD.format(op="Transpose<perm = [0, 2, 1, 3]>(a)")
    path = tmp_path / "m.onnx"
    model = parser.parse_model(text)
    for name in "ab":
        model.graph.value_info.append(
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4, 8, 64])
        )
    path.write_bytes(model.SerializeToString())
    texts = image_tensors(read(path).graph)
    assert "b" in texts and "a" not in texts


def test_only_4d_tensors_are_images(tmp_path: Path) -> None:
    """Inputs of other ranks are not seeds, and a 5-D convolution has no 4-D image."""
    text = """<ir_version: 8, opset_import: ["" : 13]>
    g (float[1,3,4,4] x, float[1,3,4] t, float[1,3,4,4,4] v) => (float[1,3,4,4,4] y) <float[3,3,1,1,1] w> {
      a = Relu(x) b = Relu(t) y = Conv(v, w) }"""
    path = tmp_path / "m.onnx"
    path.write_bytes(parser.parse_model(text).SerializeToString())
    assert image_tensors(read(path).graph) == {"x", "a"}
