"""The log reader: two passes, two voices, and the errors that come after validation."""

from __future__ import annotations

import logs
import pytest

from dlclint.confirm.log import read_log
from dlclint.confirm.reasons import failure_reason, provider_reason, validator_reason


def test_passes_groups_and_build() -> None:
    text = (
        logs.BUILD
        + logs.begin(1)
        + logs.trying("a", "Relu")
        + logs.judged(("Relu", "a"))
        + logs.judged(("DequantizeLinear", "d"), ("Conv", "c"), ("QuantizeLinear", "q"))
        + logs.begin(2)
        + logs.judged(("Relu", "a_token_7"))
    )
    log = read_log(text)
    assert log.build == "9.8.7.0"
    assert [[group.members for group in judged] for judged in log.passes] == [
        [
            (("Relu", "a"),),
            (("DequantizeLinear", "d"), ("Conv", "c"), ("QuantizeLinear", "q")),
        ],
        [(("Relu", "a_token_7"),)],
    ]
    assert log.passes[0][0].built_ops == ("Relu",)
    assert not log.composing


def test_what_is_built_with_float_tensors() -> None:
    log = read_log(
        logs.COMPOSING
        + logs.composed("x_dequantize", "Dequantize", "FLOAT_32")
        + logs.composed("a", "Gru", "FLOAT_32", "UFIXED_POINT_8")
        + logs.composed("b", "Relu", "UFIXED_POINT_8")
        + logs.composed("c", "Tanh", "FLOAT_16")
    )
    assert log.composed_in_float == ["a", "c"]


def test_what_the_validator_says_belongs_to_the_next_verdict() -> None:
    text = (
        logs.begin(1)
        + logs.trying("a", "Relu")
        + logs.judged(("Relu", "a"))
        + logs.refused("b", "Tanh", "[0] has incorrect Rank 5.")
        + logs.judged(("Erf", "e"), reason="Operators of type `Erf` are not supported by x.")
    )
    first, second, third = read_log(text).groups()
    assert first.taken and first.errors == ()
    assert (second.code, second.qnn_op, second.errors) == (3110, "Tanh", ("[0] has incorrect Rank 5.",))
    assert validator_reason(second) == "Tanh takes no tensor of rank 5"
    assert third.code is None
    assert provider_reason(third) == "the provider has no translation of Erf"


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        (["[4294967295] has incorrect Rank 6."], "Conv2d takes no tensor of rank 6"),
        (
            ["[1] has incorrect Value 68, expected >= 73."],
            "it needs Hexagon v73, the SoC has v68",
        ),
        (["[1] has incorrect Value 3, expected < 1."], "Conv2d has a value of 3, it must be < 1"),
        (["The SocModel doesn't support FP16"], "the SoC has no float16 on HTP"),
        (["something else about x"], "something else about x"),
        ([], "Conv2d is refused without a reason"),
        (["QnnBackend_validateOpConfig failed 3110"], "Conv2d is refused without a reason"),
    ],
)
def test_reasons(errors: list[str], reason: str) -> None:
    (group,) = read_log(logs.refused("a", "Conv2d", *errors)).groups()
    assert validator_reason(group) == reason


def test_data_types_are_read_from_the_continued_record() -> None:
    asked = "Requested I/O datatype set:\n\n   in[0]:QNN_DATATYPE_FLOAT_32\n   out[0]:QNN_DATATYPE_UINT_8\n"
    form = "Supported I/O datatype sets for the configuration: INT8\n   1:\n   in[0]:QNN_DATATYPE_INT_32\n"
    (group,) = read_log(logs.refused("a", "Asin", asked, form)).groups()
    assert group.asked_types == (("in", 0, "FLOAT_32"), ("out", 0, "UINT_8"))
    assert validator_reason(group) == (
        "Asin has no form for input 0 float32, output 0 uint8; its forms are 8-bit"
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("Cannot get shape", "a shape is unknown; give every input its size"),
        (
            "QNN EP is configured to not take Q nodes",
            "quantization at the graph's edge stays on the CPU",
        ),
        (
            "Failed to map Onnx data type to Qnn data type!",
            "the provider has no QNN type for one of its tensors",
        ),
        ("no dynamic x", "the provider says: no dynamic x"),
        ("", "the provider gives no reason"),
    ],
)
def test_provider_reasons(said: str, reason: str) -> None:
    (group,) = read_log(logs.judged(("Clip", "a"), reason=said)).groups()
    assert provider_reason(group) == reason


def test_errors_after_validation() -> None:
    text = (
        logs.judged(("Atan", "a")) + logs.COMPOSING + logs.validator('"a_2" generated: could not create op')
    )
    log = read_log(text)
    assert (log.composing, log.unprepared) == (True, ["a_2"])
    assert "no implementation" in failure_reason("EPFail: Failed to finalize QNN graph. Code: 1002", log)
    text = logs.COMPOSING + logs.record(
        "c.cc:9 ComposeQnnGraph",
        "QNN.graphAddNode() failed for node `a` of type `Relu` with error code 6005",
        "E",
    )
    log = read_log(text)
    assert log.unadded == [("a", 6005)]
    assert "size 0" in failure_reason("Failed to compose Qnn graph.", log)
    assert failure_reason("", log) == ""
    assert failure_reason("MODEL_REQUIRES_COMPILATION : x", log) == ""
    assert failure_reason("Fail: first\nsecond", log) == "Fail: first"
    refused = "Fail: [ONNXRuntimeError] : 1 : FAIL : Node (x) Op (Attention) is wrong\nmore"
    assert failure_reason(refused, log) == "ONNX Runtime refuses the model: Node (x) Op (Attention) is wrong"


def test_an_opset_that_is_too_old() -> None:
    text = logs.record("h.cc:1 x", "Q cannot be used with this model due to its ONNX opset not being y.", "W")
    assert read_log(text).old_opset


def test_a_log_cut_short_by_a_crash() -> None:
    text = logs.begin(1) + logs.trying("a", "STFT") + "2026-01-02 03:04:05.0000000"
    log = read_log(text)
    assert log.last_tried == "a"
    assert list(log.groups()) == []
