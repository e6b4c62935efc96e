"""What the sources state about precisions on HTP, and that the small copies agree with the documents."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from dlclint_schemas.devices import device_table
from dlclint_schemas.precision import (
    COMPILED,
    OBSERVED,
    SUPPLEMENT,
    TABLE,
    compiled_at,
    float_not_compiled,
    hta_ops,
    htp_voices,
    rank_limit,
    wide_weights,
)


@pytest.mark.parametrize(
    ("op", "layer", "precision", "said"),
    [
        (
            "Asin",
            "ElementWiseAsin",
            "fp16",
            {TABLE: False, SUPPLEMENT: False, OBSERVED: False, COMPILED: False},
        ),
        ("Asin", "ElementWiseAsin", "int16", {TABLE: False, SUPPLEMENT: True, OBSERVED: True}),
        ("LRN", "Lrn", "int16", {TABLE: False, SUPPLEMENT: False}),
        ("LRN", "Lrn", "int8", {TABLE: True, SUPPLEMENT: True}),
        ("NonZero", "NonZero", "fp16", {TABLE: False, SUPPLEMENT: True, COMPILED: False}),
        ("NoSuchOp", "NoSuchLayer", "int8", {}),
    ],
)
def test_voices(op: str, layer: str, precision: str, said: dict[str, bool]) -> None:
    answers = {voice.source: voice.has for voice in htp_voices(op, (layer,), precision, 4)}
    assert answers == said


def test_rank_limits_by_end() -> None:
    assert rank_limit("Tanh", "int8", "input_0") == 4
    assert rank_limit("Relu", "int8", "input_0") == 5
    assert rank_limit("Lstm", "int8", "input_0") == 3
    assert rank_limit("Lstm", "int8", "output_0") is None
    assert rank_limit("ReluMinMax", "fp16", "input_0") == 4
    assert rank_limit("ReluMinMax", "int8", "input_0") == 5


def test_compiled_by_rank() -> None:
    assert compiled_at("Atan", "npu", True, 3) is True
    assert compiled_at("Atan", "npu", True, 4) is False
    assert compiled_at("ArgMax", "npu", True, 0) is None
    assert compiled_at("Abs", "npu", True, 99) is None


def test_the_supplement_states_about_wide_weights_what_was_measured() -> None:
    raw = json.loads(files("dlclint_schemas").joinpath("data/qnn_htp_precision.json").read_text("utf-8"))
    rules = {row["layer"]: row.get("rules", ()) for row in raw["htp_op_constraints"]["ops"]}
    sentence = "16-bit weights need 16-bit activations, symmetric weights and Hexagon v73 or newer"
    for layer in ("Conv2d", "DepthWiseConv2d", "TransposeConv2d", "FullyConnected", "MatMul"):
        assert sentence in rules[layer]
    assert (wide_weights().hexagon, wide_weights().act_bitwidth) == (73, 16)


def test_the_small_tables_name_real_chips_and_ops() -> None:
    assert "Conv" in hta_ops()
    assert "LayerNormalization" not in hta_ops()
    assert {"Gather", "Elu"} <= float_not_compiled("SM8350")
    assert not float_not_compiled("SM8550")
    table = device_table()
    for row in table.rows:
        for name in (*row.socs, *row.also):
            if name in table.measured:
                assert table.measured[name].hexagon == row.hexagon, name
