"""The facts about ops, held against onnx: its operator schemas, and its reference implementation."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from dlclint.model import op_facts
from dlclint.model.op_facts import Role
from dlclint_schemas.outputs import bounded_outputs

NEWER = {"RMSNormalization", "Swish"}
"""Ops of opsets that the oldest supported onnx does not have."""
SETS = {
    name: value
    for name, value in vars(op_facts).items()
    if name.isupper() and hasattr(value, "__iter__") and name not in ("OFFICIAL_DOMAINS", "MICROSOFT")
    if not name.endswith("ROLES") or name == "INPUT_ROLES"
}
NAMES = {
    Role.WEIGHT: ("W", "w", "B", "A", "b"),
    Role.BIAS: ("B", "C"),
    Role.GAMMA: ("scale", "Scale"),
    Role.BETA: ("B", "bias"),
    Role.MEAN: ("input_mean",),
    Role.VARIANCE: ("input_var",),
    Role.SLOPE: ("slope",),
    Role.BOUND: ("min", "max"),
    Role.STATE: ("initial_h", "initial_c"),
    Role.AXES: ("axes",),
    Role.SHAPE: ("shape", "input"),
    Role.REPEATS: ("repeats",),
    Role.INDICES: ("indices", "batch_indices"),
    Role.RECURRENT_WEIGHT: ("R",),
    Role.UPDATES: ("updates",),
    Role.PADS: ("pads",),
    Role.ZERO_POINT: ("y_zero_point", "x_zero_point", "a_zero_point", "b_zero_point", "w_zero_point"),
}


def apply(op: str, *inputs: np.ndarray, outputs: int = 1, **attributes: object) -> list[np.ndarray]:
    names = [f"i{position}" for position in range(len(inputs))]
    results = [f"o{position}" for position in range(outputs)]
    node = helper.make_node(op, names, results, **attributes)
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in zip(names, inputs, strict=True)
    ]
    graph = helper.make_graph([node], "g", values, [onnx.ValueInfoProto(name=name) for name in results])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    return ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))


@pytest.mark.parametrize("name", SETS)
def test_every_name_is_an_op(name: str) -> None:
    unknown = {op for op in SETS[name] if not onnx.defs.has(op)}
    assert unknown <= NEWER


@pytest.mark.parametrize("op", op_facts.INPUT_ROLES)
def test_roles_stand_where_the_schema_has_such_inputs(op: str) -> None:
    if op in NEWER and not onnx.defs.has(op):
        pytest.skip(f"this onnx has no {op}")
    inputs = onnx.defs.get_schema(op).inputs
    roles = op_facts.INPUT_ROLES[op]
    assert len(roles) <= len(inputs)
    for role, formal in zip(roles, inputs, strict=False):
        if role in NAMES and not op.startswith("QLinear"):
            assert formal.name in NAMES[role], (op, role)
    optional = {onnx.defs.OpSchema.FormalParameterOption.Optional}
    first = [formal for formal in inputs if formal.option not in optional]
    assert len(roles) >= len(first) or op in ("NonMaxSuppression",)


DATA = np.arange(1.0, 17.0, dtype=np.float32).reshape(1, 4, 2, 2)
MOVING = {
    "Identity": (),
    "Transpose": (),
    "Reshape": (np.array([4, 4]),),
    "Flatten": (),
    "Squeeze": (),
    "Unsqueeze": (np.array([0]),),
    "Slice": (np.array([1]), np.array([3]), np.array([1])),
    "Split": (np.array([1]),),
    "Tile": (np.array([1, 2, 1, 1]),),
    "Expand": (np.array([3, 4, 2, 2]),),
    "Gather": (np.array([0, 0]),),
    "GatherElements": (np.zeros((1, 4, 2, 2), np.int64),),
    "GatherND": (np.array([[0, 3]]),),
    "DepthToSpace": (),
    "SpaceToDepth": (),
    "ReverseSequence": (np.array([1, 2, 1, 4]),),
    "MaxPool": (),
    "GlobalMaxPool": (),
    "ReduceMax": (),
    "ReduceMin": (),
    "TopK": (np.array([1]),),
    "Dropout": (),
}
ATTRIBUTES: dict[str, dict[str, object]] = {
    "DepthToSpace": {"blocksize": 2},
    "SpaceToDepth": {"blocksize": 2},
    "MaxPool": {"kernel_shape": [2, 2]},
    "ReverseSequence": {"batch_axis": 1, "time_axis": 0},
    "TopK": {"axis": 1},
}


def test_what_keeps_its_grid_is_tried_below() -> None:
    assert set(MOVING) == op_facts.KEEPS_GRID


@pytest.mark.parametrize("op", sorted(MOVING))
def test_what_keeps_its_grid_makes_no_new_value(op: str) -> None:
    data = np.tile(DATA, (4, 1, 1, 1)) if op == "ReverseSequence" else DATA
    count = 2 if op == "TopK" else 1
    result = apply(op, data, *MOVING[op], outputs=count, **ATTRIBUTES.get(op, {}))[0]
    assert set(result.reshape(-1)) <= set(DATA.reshape(-1))


@pytest.mark.parametrize("op", ["ScatterND", "ScatterElements", "Where", "Concat"])
def test_what_moves_from_several_inputs_takes_from_those_alone(op: str) -> None:
    row, other, indices = np.array([1, 2, 3, 4.0]), np.array([5, 6, 7, 8.0]), np.array([0, 1, 2, 3])
    inputs = {
        "ScatterND": (row, indices[:2, None], other[:2]),
        "ScatterElements": (row, indices[:2], other[:2]),
        "Where": (np.array([True, False, True, False]), row, other),
        "Concat": (row, other),
    }[op]
    (result,) = apply(op, *inputs, **({"axis": 0} if op == "Concat" else {}))
    listed = op_facts.MOVES[op]
    sources = range(len(inputs)) if listed is None else listed
    for position in sources:
        assert set(result) & set(inputs[position])
    assert set(result) <= set().union(*(set(inputs[position]) for position in sources))


@pytest.mark.parametrize("op", sorted(bounded_outputs().keys() - {"Acos", "Asin"}))
def test_bounds_hold_far_out_and_are_reached(op: str) -> None:
    far = np.linspace(-60, 60, 4001).astype(np.float32)
    if op in ("Softmax", "Hardmax"):
        far = np.stack([far, -far], -1)
    (result,) = apply(op, far)
    low, high = bounded_outputs()[op]
    assert low <= result.min() and result.max() <= high
    assert result.min() < low + 0.02 and result.max() > high - 0.02


@pytest.mark.parametrize("op", sorted(op_facts.HOMOGENEOUS))
def test_a_positive_factor_passes_through(op: str) -> None:
    if op == "GlobalLpPool" or op == "LpPool":
        pytest.importorskip("onnx.reference.ops.op_lp_pool")
    data = (DATA - 8.5) * np.array([1, -2, 3, -4], np.float32).reshape(1, 4, 1, 1)
    inputs = (np.full((4, 1, 1), 0.3, np.float32),) if op == "PRelu" else ()
    attributes: dict[str, object] = {"kernel_shape": [2, 2]} if op in op_facts.POOLS else {}
    factors = np.array([1, 2, 0.5, 8], np.float32).reshape(1, 4, 1, 1)
    try:
        (plain,) = apply(op, data, *inputs, **attributes)
    except NotImplementedError:
        pytest.skip(f"onnx's reference does not compute {op}")
    except RuntimeError as error:
        pytest.skip(f"onnx's reference does not compute {op}: {error}")
    (scaled,) = apply(op, data * factors, *inputs, **attributes)
    assert np.allclose(scaled, plain * factors, rtol=1e-5)


@pytest.mark.parametrize("op", sorted(op_facts.ELEMENTWISE_UNARY - NEWER))
def test_elementwise_ops_look_at_one_place_alone(op: str) -> None:
    data = np.linspace(0.05, 0.95, 8, dtype=np.float32) + (1 if op == "Acosh" else 0)
    typed = {"Not": data > 0.5, "BitwiseNot": np.arange(8, dtype=np.uint8)}.get(op, data)
    attributes = {"to": onnx.TensorProto.INT32} if op == "Cast" else {}
    (forward,) = apply(op, typed, **attributes)
    (backward,) = apply(op, typed[::-1].copy(), **attributes)
    assert forward.shape == typed.shape
    assert np.array_equal(forward, backward[::-1])


def test_qdq_of_both_domains_is_known_and_of_no_other() -> None:
    assert op_facts.is_qdq("QuantizeLinear", "")
    assert op_facts.is_qdq("DequantizeLinear", "com.microsoft")
    assert not op_facts.is_qdq("DequantizeLinear", "acme")
    assert not op_facts.is_qdq("DynamicQuantizeLinear", "")


def test_positions_follow_from_roles() -> None:
    assert op_facts.positions("LSTM", Role.STATE) == (5, 6)
    assert op_facts.positions("Conv", Role.WEIGHT, Role.BIAS) == (1, 2)
    assert op_facts.role("Conv", 7) is Role.DATA
    assert op_facts.SIZE_INPUT == {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0}
    assert op_facts.SHAPE_INPUT == {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0}
    assert op_facts.VALUE_INPUTS["Slice"] == (1, 2, 3, 4)
    assert op_facts.VALUE_INPUTS["Pad"] == (1, 3)
    assert op_facts.VALUE_INPUTS["Resize"] == (1, 2, 3)
    assert "CumSum" not in op_facts.VALUE_INPUTS and "NonMaxSuppression" not in op_facts.VALUE_INPUTS
