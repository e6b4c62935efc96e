"""Bytes of parameters by DLC kind, from shapes alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from dlclint.analysis.dlc_size import Parameter, dlc_bytes, packed_bytes, parameter_bytes, parameters
from dlclint.analysis.view import ModelView
from dlclint.model.reading import read
from dlclint.target import DlcKind, Target


def test_the_documented_example() -> None:
    """80-63442-2 Rev BL: [3, 3, 3, 32] in 32 channels of 27 values takes 27 bytes a channel, packed 14."""
    assert packed_bytes((3, 3, 3, 32), 8, 3) == 32 * 27
    assert packed_bytes((3, 3, 3, 32), 4, 3) == 32 * 14
    assert packed_bytes((3, 3, 3, 32), 4, None) == 27 * 32 // 2


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.sampled_from([4, 8, 16]), st.data())
def test_packing_rounds_up_by_channel(dims: list[int], bits: int, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, len(dims) - 1))
    shape = tuple(dims)
    values = np.zeros(shape, np.uint8)
    rows = np.moveaxis(values, axis, 0).reshape(shape[axis], -1) if values.size else np.zeros((0, 0))
    assert packed_bytes(shape, bits, axis) == sum((row.size * bits + 7) // 8 for row in rows)
    assert packed_bytes(shape, bits, None) == (values.size * bits + 7) // 8


@pytest.mark.parametrize(
    ("axis", "expected"), [(-2, 6), (-1, 6), (0, 6), (1, 6)] + [(a, 5) for a in (-3, 2, 3)]
)
def test_an_axis_that_the_shape_lacks_is_none(axis: int, expected: int) -> None:
    """Three channels of three values take two bytes each; nine values together take five."""
    assert packed_bytes((3, 3), 4, axis) == expected


@pytest.mark.parametrize("kind", [DlcKind(), DlcKind(float_bitwidth=16), DlcKind(True), DlcKind(True, 8, 4)])
@pytest.mark.parametrize(("is_weight", "is_bias"), [(True, False), (False, True), (False, False)])
def test_bytes_are_whole_numbers(kind: DlcKind, is_weight: bool, is_bias: bool) -> None:
    """However many there are: a float would lose the last digits of a large model."""
    for axis in (None, 0):
        parameter = Parameter((3, 1 << 60), True, is_weight, is_bias, axis)
        size = parameter_bytes(parameter, replace(kind, per_channel=True))
        assert isinstance(size, int)
        assert size % (1 << 58) == 0


def model(folder: Path) -> ModelView:
    """Conv of 32x3x3x3 with bias and a batch normalization that folds, then MatMul of 32x5 and an index."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.normal(size=(32, 3, 3, 3)).astype(np.float32),
        "b": np.ones(32, np.float32),
        **{name: np.ones(32, np.float32) for name in ("scale", "shift", "mean", "var")},
        "fc": np.ones((32, 5), np.float32),
        "index": np.array([0, 2], np.int64),
        "unused": np.ones(1000, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
        helper.make_node("GlobalAveragePool", ["n"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "fc"], ["m"]),
        helper.make_node("Gather", ["m", "index"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    return ModelView(read(path), Target())


def test_by_kind(tmp_path: Path) -> None:
    """864 convolution weights, 32 biases, 160 matrix weights, two indices of 4 bytes; the rest is gone."""
    view = model(tmp_path)
    assert dlc_bytes(view, DlcKind()) == (864 + 32 + 160) * 4 + 8
    assert dlc_bytes(view, DlcKind(float_bitwidth=16)) == (864 + 32 + 160) * 2 + 8
    wide = DlcKind(float_bitwidth=16, float_bias_bitwidth=32)
    assert dlc_bytes(view, wide) == (864 + 160) * 2 + 32 * 4 + 8
    assert dlc_bytes(view, DlcKind(True)) == 864 + 32 + 160 + 8
    assert dlc_bytes(view, DlcKind(True, 8, 16, 32)) == 864 * 2 + 32 * 4 + 160 * 2 + 8
    assert dlc_bytes(view, DlcKind(True, 8, 4)) == 864 // 2 + 32 + 160 // 2 + 8
    # Per channel: 32 channels of 27 values take 14 bytes each; MatMul is not quantized per channel.
    assert dlc_bytes(view, DlcKind(True, 8, 4, per_channel=True)) == 32 * 14 + 32 + 160 // 2 + 8


def test_only_weights_are_packed_to_4_bits() -> None:
    """What is added or compared has no 4-bit form, and an index none at all."""
    kind = DlcKind(True, 8, 4)
    assert parameter_bytes(Parameter((1, 16), True, False, False, None), kind) == 16
    shape = (1, 5)
    assert parameter_bytes(Parameter(shape, True, True, False, None), kind) == 3
    assert parameter_bytes(Parameter(shape, True, False, False, None), kind) == 5
    assert parameter_bytes(Parameter(shape, True, False, False, None), DlcKind(True, 8, 16)) == 10
    assert parameter_bytes(Parameter(shape, False, False, False, None), kind) == 20


def test_weights_of_convolutions_alone_have_a_channel_axis(tmp_path: Path) -> None:
    axes = {name: parameter.axis for (_, name), parameter in parameters(model(tmp_path)).items()}
    assert axes == {"w": 0, "b": None, "fc": None, "index": None}


def view_of(body: str, inputs: str, constants: str, folder: Path) -> ModelView:
    path = folder / "m.onnxtxt"
    head = '<ir_version: 8, opset_import: ["" : 13, "house" : 1]>'
    path.write_text(f"{head} g ({inputs}) => (float[?,?] y) <{constants}> {{ {body} }}")
    return ModelView(read(path), Target())


@pytest.mark.parametrize(
    "body",
    ["s = Add (x, w) y = MatMul (s, w)", "s = MatMul (x, w) y = Add (s, w)"],
    ids=["added first", "multiplied first"],
)
def test_a_tensor_that_is_a_weight_anywhere_is_one(body: str, tmp_path: Path) -> None:
    view = view_of(body, "float[2,2] x", "float[2,2] w = {1, 2, 3, 4}, float[2] b = {1, 2}", tmp_path)
    assert {name: parameter.is_weight for (_, name), parameter in parameters(view).items()} == {"w": True}


def test_only_ops_with_weights_have_weights(tmp_path: Path) -> None:
    """A factor is none, nor is what an op of another domain reads, though it is called Conv."""
    body = "s = Mul (x, factor) y = house.Conv (s, other, third)"
    constants = "float[2] factor = {1, 2}, float[2,2,1] other = {1, 2, 3, 4}, float[2] third = {1, 2}"
    known = parameters(view_of(body, "float[1,2,8] x", constants, tmp_path))
    assert {name for _, name in known} == {"factor", "other", "third"}
    assert {(p.is_weight, p.is_bias, p.axis) for p in known.values()} == {(False, False, None)}


@pytest.mark.parametrize(("shape", "values"), [("[3]", "{1, 2, 3}"), ("", "{1}")])
def test_a_damaged_weight_without_a_channel_axis(shape: str, values: str, tmp_path: Path) -> None:
    view = view_of("y = Gemm (x, w)", "float[2,3] x", f"float{shape} w = {values}", tmp_path)
    ((_, known),) = parameters(view).items()
    assert (known.is_weight, known.axis) == (True, None)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("s = Conv (x, w) y = BatchNormalization (s, a, a, a, c)", {"w"}),
        ("s = Relu (x) y = BatchNormalization (s, a, a, a, c)", {"a", "c"}),
        ("s = house.Conv (x, w) y = BatchNormalization (s, a, a, a, c)", {"w", "a", "c"}),
        (
            "r = Conv (x, w) s = BatchNormalization (r, a, a, a, c) y = BatchNormalization (s, b, b, b, d)",
            {"w", "b", "d"},
        ),
    ],
    ids=["folded", "after Relu", "after another domain's Conv", "the second of two"],
)
def test_a_batch_normalization_is_folded_only_right_after_a_convolution(
    body: str, kept: set[str], tmp_path: Path
) -> None:
    constants = "float[2,2,1] w = {1, 2, 3, 4}, " + ", ".join(
        f"float[2] {name} = {{1, 2}}" for name in "abcd"
    )
    view = view_of(body, "float[1,2,8] x", constants, tmp_path)
    assert {name for _, name in parameters(view)} == kept


def test_the_first_reader_decides_unless_only_a_later_one_has_a_weight(tmp_path: Path) -> None:
    body = "a = Gemm (x, w, b) c = MatMul (a, w) y = Add (c, b)"
    view = view_of(body, "float[2,2] x", "float[2,2] w = {1, 2, 3, 4}, float[2] b = {1, 2}", tmp_path)
    known = {name: (p.is_weight, p.is_bias, p.axis) for (_, name), p in parameters(view).items()}
    assert known == {"w": (True, False, 1), "b": (False, True, None)}
