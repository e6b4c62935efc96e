"""Two models are compared by what they compute; what cannot be compared says why."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import parser

from dlclint import verify as verifying
from dlclint.model.dimensions import Dimensions
from dlclint.verify import ComparisonResult, Verification, verify

pytest.importorskip("onnxruntime")


def compare(folder: Path, original: str, changed: str) -> Verification:
    paths = []
    for name, text in (("a", original), ("b", changed)):
        opset = 'opset_import: ["" : 17, "com.example" : 1]'
        model = parser.parse_model(f"<ir_version: 8, {opset}> g {text}")
        paths.append(folder / f"{name}.onnx")
        paths[-1].write_bytes(model.SerializeToString())
    return verify(*paths)


LSTM = (
    "<float[1,8,4] w = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5}, "
    "float[1,8,2] r = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}> { y = LSTM <hidden_size = 2> (x, w, r) }"
)
RELU = "(float[1,8] x) => (float[1,8] y) { y = Relu(x) }"
ADD = "(float[1,8] x) => (float[1,8] y) <float[8] w = {1,2,3,4,5,6,7,8}> { y = Add(x, w) }"

EQUAL = {
    "itself": (ADD, ADD),
    "operands swapped": (ADD, ADD.replace("Add(x, w)", "Add(w, x)")),
    "an unused input gone": (ADD.replace("x)", "x, float[1] u)"), ADD),
    "batch made 1": (
        "(float[3,8] x) => (float[3,8] y) { y = Softmax(x) }",
        "(float[1,8] x) => (float[1,8] y) { y = Softmax(x) }",
    ),
    "a batch that is the second axis of a state": (
        "(float[N,4] x, float[2,N,3] h) => (float[N,4] y, float[2,N,3] z) { y = Relu(x) z = Neg(h) }",
        "(float[1,4] x, float[2,1,3] h) => (float[1,4] y, float[2,1,3] z) { y = Relu(x) z = Neg(h) }",
    ),
    "a batch of which the original takes 1 only": (
        "(float[N,4] x) => (float[1,4] y) <int64[2] s = {1, 4}> { y = Reshape(x, s) }",
        "(float[1,4] x) => (float[1,4] y) <int64[2] s = {1, 4}> { y = Reshape(x, s) }",
    ),
    "a one-hot code spelled out": (
        "(int64[1,6,1] ids) => (bool[1,6,3] y) <int64[3] all = {0, 1, 2}> { y = Equal(ids, all) }",
    )
    * 2,
    "open dimensions": ("(float[N,T] x) => (float[N,T] y) { y = Relu(x) }",) * 2,
    "open dimension that must be 64": (
        "(float[1,T] x) => (float[2,32] y) <int64[2] s = {2, 32}> { y = Reshape(x, s) }",
    )
    * 2,
    "indices": (
        "(int64[1,6] ids) => (float[1,6,1] y) <float[3,1] table = {1, 2, 3}> "
        "{ c = Identity(ids) y = Gather(table, c) }",
    )
    * 2,
    "a gate near zero, rounded as a part of 1": (
        "(float[1,8] x) => (float[1,8] y) <float b = {-14}> { s = Add(x, b) y = Sigmoid(s) }",
        "(float[1,8] x) => (float[1,8] y) <float b = {-14.000001}> { s = Add(x, b) y = Sigmoid(s) }",
    ),
    "a truth value of rank 0": ("(bool c) => (bool y) { y = Not(c) }",) * 2,
    "float16": ("(float16[1,8] x) => (float16[1,8] y) { y = Exp(x) }",) * 2,
}


@pytest.mark.parametrize("case", EQUAL)
def test_equal(tmp_path: Path, case: str) -> None:
    verification = compare(tmp_path, *EQUAL[case])
    assert (verification.verdict, verification.reason) == (ComparisonResult.EQUAL, "")
    assert verification.runs >= verifying.ROUNDS
    assert all(output.relative <= output.allowed for output in verification.outputs)


DIFFERENT = {
    "time taken for a batch": (
        f"(float[S,1,4] x) => (float[S,1,1,2] y) {LSTM}",
        f"(float[1,1,4] x) => (float[1,1,1,2] y) {LSTM}",
        "differs by",
    ),
    "time taken for a batch, a state as well": (
        "(float[N,4] x) => (float[N,4] y) <int64 i = {0}> { y = CumSum(x, i) }",
        "(float[1,4] x) => (float[1,4] y) <int64 i = {0}> { y = CumSum(x, i) }",
        "differs by",
    ),
    "a size that only one of both takes": (
        "(float[1,T] x) => (float[1,T] y) { y = Relu(x) }",
        "(float[1,T] x) => (float[1,16] y) <int64[2] s = {1, 16}> { r = Relu(x) y = Reshape(r, s) }",
        "the changed model does not run",
    ),
    "an open batch that is mixed": (
        "(float[N,8] x) => (float[N,8] y) { y = Relu(x) }",
        "(float[N,8] x) => (float[N,8] y) <int64 i = {0}> { a = CumSum(x, i) y = Relu(a) }",
        "differs by",
    ),
    "a gate": (
        "(float[1,8] x) => (float[1,8] y) { y = Sigmoid(x) }",
        "(float[1,8] x) => (float[1,8] y) <float b = {0.001}> { s = Add(x, b) y = Sigmoid(s) }",
        "differs by",
    ),
    "one weight": (ADD, ADD.replace("{1,", "{1.01,"), "differs by"),
    "another op": (ADD, ADD.replace("Add", "Sub"), "differs by"),
    "shape": (RELU, "(float[1,8] x) => (float[8,1] y) { z = Relu(x) y = Transpose(z) }", "differs by"),
    "an output gone": (
        "(float[1,8] x) => (float[1,8] y, float[1,8] z) { y = Relu(x) z = Relu(y) }",
        RELU,
        "'z' is missing",
    ),
    "indices": (
        "(float[1,8] x) => (int64[1,1] y) { y = ArgMax <axis = 1> (x) }",
        "(float[1,8] x) => (int64[1,1] y) { y = ArgMin <axis = 1> (x) }",
        "differs by",
    ),
    "batch mixed": (
        "(float[3,8] x) => (float[3,8] y) { y = Softmax <axis = 0> (x) }",
        "(float[1,8] x) => (float[1,8] y) { y = Softmax <axis = 0> (x) }",
        "differs by",
    ),
    "NaN": (ADD, ADD.replace("y = Add(x, w)", "z = Sub(x, x) y = Div(z, z)"), "differs by"),
    "does not load": (ADD, ADD.replace("Add", "com.example.Add"), "the changed model does not run"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_different(tmp_path: Path, case: str) -> None:
    original, changed, reason = DIFFERENT[case]
    verification = compare(tmp_path, original, changed)
    assert verification.verdict is ComparisonResult.DIFFERENT
    assert reason in verification.reason


UNKNOWN = {
    "custom op": ("(float[1] x) => (float[1] y) { y = com.example.Odd(x) }", "the original does not run"),
    "random": ("(float[1] x) => (float[1] y) { y = RandomNormalLike(x) }", "draws random numbers"),
    "no finite output": (
        "(float[1] x) => (float[1] y) { z = Sub(x, x) y = Reciprocal(z) }",
        "no output is a finite number",
    ),
    "a saturated output": (
        "(float[1,8] x) => (float[1,8] y) <float b = {-99}, float w = {0.001}> "
        "{ a = Mul(x, w) s = Add(a, b) y = Sigmoid(s) }",
        "no output moves",
    ),
    "strings": ("(string[1] x) => (string[1] y) { y = Identity(x) }", "no values are drawn"),
    "sequence": ("(seq(float[1]) x) => (seq(float[1]) y) { y = Identity(x) }", "is not a tensor"),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_unknown(tmp_path: Path, case: str) -> None:
    text, reason = UNKNOWN[case]
    verification = compare(tmp_path, text, text)
    assert verification.verdict is ComparisonResult.UNKNOWN
    assert reason in verification.reason
    assert "\n" not in verification.reason


def test_outputs_that_prove_nothing_are_distinguished(tmp_path: Path) -> None:
    """Saturated ones, and not those that follow from no input."""
    text = (
        "(float[1,8] x) => (float[1,8] y, float[1,8] z, float[1] c) <float b = {-99}, float w = {0.001}, "
        "float[1] k = {1}> { y = Relu(x) a = Mul(x, w) s = Add(a, b) z = Sigmoid(s) c = Identity(k) }"
    )
    verification = compare(tmp_path, text, text)
    assert verification.verdict is ComparisonResult.EQUAL
    assert {output.output: output.moves for output in verification.outputs} == {
        "y": True,
        "z": False,
        "c": True,
    }


def test_other_values_are_tried_where_the_first_do_not_move_an_output(tmp_path: Path) -> None:
    """A detector that answers to values of more than 20 alone."""
    text = "(float[1,64] x) => (float[1,64] y) <float b = {-20}> { s = Add(x, b) y = Relu(s) }"
    verification = compare(tmp_path, text, text)
    assert verification.verdict is ComparisonResult.EQUAL
    assert verification.outputs[0].moves
    assert verification.runs > verifying.ROUNDS
    other = compare(tmp_path, text, text.replace("y = Relu(s)", "r = Relu(s) y = Floor(r)"))
    assert other.verdict is ComparisonResult.DIFFERENT


@pytest.mark.parametrize("sizes", ["N,4", "4,N"])
def test_open_sizes_are_compared_at_two_and_more(tmp_path: Path, sizes: str) -> None:
    """A model that is another one at one size alone."""
    original = f"(float[{sizes}] x) => (float[{sizes}] y) {{ y = Relu(x) }}"
    for limit in (1, 2, 3, 16):
        changed = (
            f"(float[{sizes}] x) => (float[{sizes}] y) "
            f"<int64[1] k = {{{limit}}}, int64 i = {{{sizes.index('N') // 2}}}, float two = {{2}}> "
            "{ s = Shape(x) n = Gather(s, i) e = Equal(n, k) f = Cast <to = 1> (e) m = Mul(f, two) "
            "r = Relu(x) y = Add(r, m) }"
        )
        verification = compare(tmp_path, original, changed)
        seen = limit in ((2, 3) if sizes == "N,4" else (8, 16))
        assert (verification.verdict is ComparisonResult.DIFFERENT) == seen


def test_a_size_that_is_requested_is_compared_at_that_size(tmp_path: Path) -> None:
    original, changed, _ = DIFFERENT["time taken for a batch"]
    assert compare(tmp_path, original, changed).verdict is ComparisonResult.DIFFERENT
    asked = Dimensions(symbols={"S": 1})
    assert verify(tmp_path / "a.onnx", tmp_path / "b.onnx", asked=asked).verdict is ComparisonResult.EQUAL


def test_not_enough_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_free_memory", lambda: 64)
    assert "GB are free" in compare(tmp_path, ADD, ADD).reason
    path = tmp_path / "a.onnx"
    assert verify(path, path, force=True).verdict is ComparisonResult.EQUAL


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "is_available", lambda: False)
    assert "not installed" in compare(tmp_path, ADD, ADD).reason
