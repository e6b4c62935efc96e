"""Which 4-D tensors hold channels in their second axis."""

from __future__ import annotations

from pathlib import Path

from onnx import parser

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
    found = image_tensors(model.graph)
    assert {"x", "a", "b", "e", "f"} <= found, ranks
    assert not found & {"c", "d", "h", "i", "z", "t", "w"}
