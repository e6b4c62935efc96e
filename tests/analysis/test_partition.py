"""Subnets and borders against counts by hand and against exhaustive search."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, parser

from dlclint.analysis.partition import PlacedNode, partition, stages
from dlclint.analysis.subnets import Costliest
from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.target import DlcKind, Runtime, Target

HEAD = '<ir_version: 8, opset_import: ["" : 13]>'
LAYER = """
  q{n} = MatMul(h{n}, w)
  k{n} = MatMul(h{n}, w)
  kt{n} = Transpose<perm = [0, 2, 1]>(k{n})
  v{n} = MatMul(h{n}, w)
  s{n} = MatMul(q{n}, kt{n})
  sm{n} = Add(s{n}, mask)
  p{n} = Softmax<axis = -1>(sm{n})
  c{n} = MatMul(p{n}, v{n})
  r{n} = Add(c{n}, h{n})
  f{n} = MatMul(r{n}, up)
  a{n} = Softplus(f{n})
  d{n} = MatMul(a{n}, down)
  h{m} = Add(d{n}, r{n})
"""


def save(text: str, folder: Path) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(parser.parse_model(text).SerializeToString())
    return path


def bert(folder: Path, layers: int = 2) -> Path:
    """An encoder of hidden size 8 on 4 tokens, with Softplus for GELU in the feed-forward of 16."""
    weights = "<float[8,8] w, float[8,16] up, float[16,8] down>"
    body = "".join(LAYER.format(n=n, m=n + 1) for n in range(layers))
    text = (
        f"{HEAD} g (float[1,4,8] h0, float[1,4,4] bias) => (float[1,4,8] h{layers}) {weights} "
        f"{{ mask = Neg(bias) {body} }}"
    )
    model = parser.parse_model(text)
    del model.graph.value_info[:]
    for name, dims in (("w", [8, 8]), ("up", [8, 16]), ("down", [16, 8])):
        values = [0.1] * (dims[0] * dims[1])
        model.graph.initializer.append(helper.make_tensor(name, onnx.TensorProto.FLOAT, dims, values))
    path = folder / "bert.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_bert_counted_by_hand(tmp_path: Path) -> None:
    """Softplus is on the CPU alone (80-63442-2 Rev BL, Supported Network Layers, row 58).

    By hand, two layers of 13 nodes and one Neg before them:
        htp  Neg, q0 k0 kt0 v0 s0 sm0 p0 c0 r0 f0                          11 nodes
        cpu  a0                                                             1
        htp  d0 h1, q1 k1 kt1 v1 s1 sm1 p1 c1 r1 f1                        12
        cpu  a1                                                             1
        htp  d1 h2                                                          2
    Borders, as floats of 4 bytes: f is 1*4*16*4 = 256, a the same, r is 1*4*8*4 = 128, and the mask
    1*4*4*4 = 64 is made in the first subnet and read in the third.
        1  f0 -> a0, and r0 and the mask live on        256 + 128 + 64 = 448
        2  a0 -> d0, with r0 and the mask               256 + 128 + 64 = 448
        3  f1 -> a1, and r1 lives on                          256 + 128 = 384
        4  a1 -> d1, with r1                                  256 + 128 = 384
    """
    view = ModelView(read(bert(tmp_path)), Target((Runtime.HTP,), kind=DlcKind(stated=True)))
    parts = view.partition(Runtime.HTP)
    assert [(subnet.on_runtime, subnet.nodes) for subnet in parts.subnets] == [
        (True, 11),
        (False, 1),
        (True, 12),
        (False, 1),
        (True, 2),
    ]
    assert [(border.tensors, border.bytes, border.unknown) for border in parts.borders] == [
        (3, 448, 0),
        (3, 448, 0),
        (2, 384, 0),
        (2, 384, 0),
    ]
    assert parts.bytes == 1664
    assert parts.costliest == Costliest("Softplus", 2, 4)
    assert parts.cuts == 4
    assert parts.subnets[1].ops == (("Softplus", 1),)
    matrix = ModelView(view.model, Target()).support_matrix()
    rows = {row.runtime: row.cuts for row in matrix.rows}
    assert rows[Runtime.HTP] == rows[Runtime.GPU] == rows[Runtime.DSP] == 4
    assert rows[Runtime.CPU] == 0


def test_quantized_activations_cross_at_their_width(tmp_path: Path) -> None:
    """The same borders at 8 and 16 bits: a quarter and a half of the float bytes."""
    model = read(bert(tmp_path))
    for kind, size in ((DlcKind(True), 416), (DlcKind(True, 16), 832), (DlcKind(float_bitwidth=16), 832)):
        assert ModelView(model, Target(kind=kind)).partition(Runtime.HTP).bytes == size


def test_a_branch_next_to_the_first_op_costs_no_subnet(tmp_path: Path) -> None:
    """Softplus reads the input, Neg works on another branch: cpu, then htp; never htp, cpu, htp."""
    text = f"""{HEAD} g (float[1,4] x, float[1,4] b) => (float[1,4] y) {{
      n = Neg(b) s = Softplus(x) y = Add(s, n) }}"""
    parts = ModelView(read(save(text, tmp_path)), Target()).partition(Runtime.HTP)
    assert [(subnet.on_runtime, subnet.nodes) for subnet in parts.subnets] == [(False, 1), (True, 2)]


def test_parallel_fallbacks_share_a_subnet(tmp_path: Path) -> None:
    """Four parallel Softplus are one stay on the CPU, however their nodes are ordered."""
    text = f"""{HEAD} g (float[1,4] x) => (float[1,4] y) {{
      a = Relu(x) b = Softplus(a) c = Neg(a) d = Softplus(c) e = Add(b, d) f = Softplus(a) y = Add(e, f) }}"""
    parts = ModelView(read(save(text, tmp_path)), Target()).partition(Runtime.HTP)
    assert [(subnet.on_runtime, subnet.nodes) for subnet in parts.subnets] == [
        (True, 2),
        (False, 3),
        (True, 2),
    ]


def test_what_runs_nowhere_cuts_nothing(tmp_path: Path) -> None:
    text = f"{HEAD} g (float[1,4] x) => (float[1,4] y) {{ a = Relu(x) b = Det(a) y = Relu(b) }}"
    parts = ModelView(read(save(text, tmp_path)), Target()).partition(Runtime.HTP)
    assert (parts.cuts, parts.nowhere, parts.costliest) == (0, 1, None)


def test_of_ops_that_save_as_many_borders_the_most_frequent_is_named(tmp_path: Path) -> None:
    """Softplus twice in one stay on the CPU, Exp once in another: each stay costs two borders."""
    text = f"""{HEAD} g (float[1,4] x) => (float[1,4] y) {{
      a = Relu(x) b = Softplus(a) c = Softplus(b) d = Relu(c) e = Exp(d) f = Relu(e) y = Neg(f) }}"""
    nodes = read(save(text, tmp_path)).graph.nodes
    placed = [PlacedNode(node, node.op_type, node.op_type in ("Softplus", "Exp")) for node in nodes]
    parts = partition(nodes[0].graph, placed, DlcKind(), Runtime.HTP, 0)
    assert (parts.cuts, parts.costliest) == (4, Costliest("Softplus", 2, 2))
    alone = [PlacedNode(node, node.op_type, node.op_type == "Relu") for node in nodes[:1]]
    assert partition(nodes[0].graph, alone, DlcKind(), Runtime.HTP, 0).costliest is None


def test_captured_tensors_are_inputs(tmp_path: Path) -> None:
    """The body of If reads s, which Softplus makes, so If comes after it."""
    text = f"""{HEAD} g (float[1,4] x, bool c) => (float[1,4] y) {{
      s = Softplus(x)
      r = If <then_branch = t () => (float[1,4] u) {{ u = Relu(s) }},
              else_branch = e () => (float[1,4] v) {{ v = Neg(s) }}> (c)
      y = Relu(r) }}"""
    view = ModelView(read(save(text, tmp_path)), Target())
    placed = [PlacedNode(node, node.op_type, node.op_type == "Softplus") for node in view.model.graph.nodes]
    assert stages(placed) == [0, 1, 1]


@pytest.fixture(scope="module")
def nodes_of(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("dags")

    def make(edges: Sequence[Sequence[int]]) -> list[object]:
        nodes = [
            helper.make_node("Sum", [f"t{source}" for source in sources] or ["x"], [f"t{index}"])
            for index, sources in enumerate(edges)
        ]
        value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
        out = helper.make_tensor_value_info(f"t{len(nodes) - 1}", onnx.TensorProto.FLOAT, [1])
        model = helper.make_model(helper.make_graph(nodes, "g", [value], [out]))
        path = folder / "m.onnx"
        path.write_bytes(model.SerializeToString())
        return list(read(path).graph.nodes)

    return make


@st.composite
def dags(draw: st.DrawFn) -> tuple[list[list[int]], list[bool | None]]:
    count = draw(st.integers(1, 6))
    edges = [
        sorted(draw(st.sets(st.integers(0, index - 1), max_size=3))) if index else []
        for index in range(count)
    ]
    return edges, draw(st.lists(st.sampled_from([True, False, None]), min_size=count, max_size=count))


@settings(max_examples=150, deadline=None)
@given(dags())
def test_shortest_convex_chain(nodes_of: object, dag: tuple[list[list[int]], list[bool | None]]) -> None:
    """No edge leads back, each subnet has one processor, and no such numbering is shorter."""
    edges, off = dag
    nodes = nodes_of(edges)  # type: ignore[operator]
    counts = stages([PlacedNode(node, "Sum", side) for node, side in zip(nodes, off, strict=True)])

    def sound(numbers: Sequence[int]) -> bool:
        forward = all(numbers[s] <= numbers[t] for t, sources in enumerate(edges) for s in sources)
        sides = [{off[n] for n, number in enumerate(numbers) if number == k} - {None} for k in set(numbers)]
        return forward and all(len(side) <= 1 for side in sides)

    assert sound(counts)
    assert min(counts) == 0
    # One subnet fewer allows no sound numbering.
    assert not any(map(sound, product(range(max(counts)), repeat=len(edges))))
