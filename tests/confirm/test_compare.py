"""Verdicts read from log and session, and how they change dlclint's own findings."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import logs
import onnx
import pytest
from onnx import parser

from dlclint.analysis.view import ModelView
from dlclint.confirm.compare import ComparedNode, Confirmation, ConfirmOutcome, Relation, relation_of, rows_of
from dlclint.confirm.log import read_log
from dlclint.confirm.process import BackendAnswer, SessionNode
from dlclint.confirm.question import question_of
from dlclint.confirm.verdict import NodeVerdict, Said, verdicts_of
from dlclint.confirm.wording import agreement
from dlclint.diagnostic import About, Diagnostic, Location, Severity
from dlclint.engine.registry import all_rules
from dlclint.model.reading import read
from dlclint.target import Runtime, Target

QNN, CPU = "QNNExecutionProvider", "CPUExecutionProvider"
CHAIN = """<ir_version: 8, opset_import: ["": 17]>
g (float[1,4] x) => (float[1,4] d) { a = Relu(x) b = Tanh(a) c = Erf(b) d = Neg(c) }"""
QUANTIZED = """<ir_version: 8, opset_import: ["": 17]>
g (uint8[1,4] x) => (uint8[1,4] y) <float s = {0.1}, uint8 z = {128}> {
  a = DequantizeLinear(x, s, z) b = Tanh(a) y = QuantizeLinear(b, s, z)
}"""
ABOUT = {rule.id: rule.about for rule in all_rules()}
NAMES = [f"dlclint_0_{index}_" for index in range(4)]


def view_of(text: str, tmp_path: Path) -> ModelView:
    path = tmp_path / "m.onnx"
    onnx.save(parser.parse_model(text), path)
    return ModelView(read(path), Target((Runtime.HTP,)))


def judge(view: ModelView, text: str, **answer: object) -> dict[int, NodeVerdict]:
    whole = {"placed": (), "error": "", "log": text} | answer
    verdicts = verdicts_of(
        view.model,
        question_of(view.model),
        BackendAnswer(**whole),
        read_log(text),
        compiled=True,  # type: ignore[arg-type]
    )
    return {index: verdict for (_, index), verdict in verdicts.items()}


def test_each_kind_of_verdict(tmp_path: Path) -> None:
    text = (
        logs.begin(1)
        + logs.judged(("Relu", NAMES[0]))
        + logs.refused(NAMES[1], "Tanh", "[0] has incorrect Rank 5.")
        + logs.judged(("Erf", NAMES[2]), reason="Operators of type `Erf` are not supported by QNN EP.")
    )
    outcome = judge(view_of(CHAIN, tmp_path), text)
    assert [outcome[index].said for index in range(4)] == [
        Said.TAKEN,
        Said.REFUSED,
        Said.NOT_OFFERED,
        Said.GONE,
    ]
    assert (outcome[1].code, outcome[1].reason) == (3110, "Tanh takes no tensor of rank 5")


def test_a_refusal_in_the_second_pass_counts(tmp_path: Path) -> None:
    text = (
        logs.begin(1)
        + logs.judged(("Relu", NAMES[0]))
        + logs.begin(2)
        + logs.refused(f"{NAMES[0]}_token_3", "Relu", "x is wrong")
    )
    assert judge(view_of(CHAIN, tmp_path), text)[0] == NodeVerdict(Said.REFUSED, "x is wrong", 3110, "Relu")


def test_the_first_refusal_wins(tmp_path: Path) -> None:
    text = (
        logs.begin(1)
        + logs.refused(NAMES[0], "Relu", "first")
        + logs.begin(2)
        + logs.judged(("Relu", NAMES[0]), reason="second")
    )
    assert judge(view_of(CHAIN, tmp_path), text)[0].reason == "first"


def test_what_the_second_pass_takes_is_taken(tmp_path: Path) -> None:
    text = (
        logs.begin(1)
        + logs.refused(NAMES[0], "ElementWiseNeuron")
        + logs.judged(("Tanh", NAMES[1]))
        + logs.begin(2)
        + logs.judged(("Relu", NAMES[0]))
        + logs.judged(("Tanh", NAMES[1]))
    )
    placed = tuple(SessionNode(QNN, name, op, "") for name, op in zip(NAMES, ("Relu", "Tanh"), strict=False))
    outcome = judge(view_of(CHAIN, tmp_path), text, placed=placed)
    assert (outcome[0], outcome[1]) == (NodeVerdict(Said.TAKEN), NodeVerdict(Said.TAKEN))


def test_a_node_that_ends_on_the_cpu_was_not_taken(tmp_path: Path) -> None:
    text = logs.begin(1) + logs.judged(("Relu", NAMES[0])) + logs.judged(("Tanh", NAMES[1]))
    placed = (SessionNode(QNN, f"{NAMES[0]}_token_1", "Relu", ""), SessionNode(CPU, NAMES[1], "Tanh", ""))
    outcome = judge(view_of(CHAIN, tmp_path), text, placed=placed)
    assert (outcome[0].said, outcome[1].said) == (Said.TAKEN, Said.NOT_OFFERED)


def test_compiling_fails_for_one_node(tmp_path: Path) -> None:
    text = (
        logs.begin(1)
        + logs.judged(("Relu", NAMES[0]))
        + logs.judged(("Tanh", NAMES[1]))
        + logs.COMPOSING
        + logs.validator(f'"{NAMES[1]}_2" generated: could not create op')
    )
    outcome = judge(view_of(CHAIN, tmp_path), text, error="Failed to finalize QNN graph. Code: 1002")
    assert (outcome[0].said, outcome[1].said, outcome[1].code) == (Said.VALIDATED, Said.NOT_COMPILED, 1002)


def test_compiling_fails_and_no_node_is_named(tmp_path: Path) -> None:
    passed = logs.begin(1) + logs.judged(("Relu", NAMES[0])) + logs.judged(("Tanh", NAMES[1]))
    error = "Failed to finalize QNN graph. Code: 1002"
    outcome = judge(view_of(CHAIN, tmp_path), passed + logs.COMPOSING, error=error)
    assert (outcome[0].said, outcome[1].said) == (Said.VALIDATED, Said.VALIDATED)
    assert relation_of(outcome[0], [claim("ops/no-runtime", ERROR)]) is Relation.UNJUDGED
    alone = logs.begin(1) + logs.judged(("Relu", NAMES[0])) + logs.COMPOSING
    one = judge(view_of(CHAIN, tmp_path), alone, error=error)
    assert one[0].said is Said.NOT_COMPILED, "of one op alone the failure is its own"
    assert relation_of(one[0], []) is Relation.MISSED


TWO_QUANTIZED = """<ir_version: 8, opset_import: ["": 17]>
g (uint8[1,4] x) => (uint8[1,4] y) <float s = {0.1}, uint8 z = {128}> {
  a = DequantizeLinear(x, s, z) b = Tanh(a) p = QuantizeLinear(b, s, z)
  c = DequantizeLinear(p, s, z) d = Relu(c) y = QuantizeLinear(d, s, z)
}"""


@pytest.mark.parametrize("in_float", [True, False])
def test_what_compiling_names_near_an_op_in_float_is_not_known(in_float: bool, tmp_path: Path) -> None:
    """Hexagon v68 computes no float, and compiling then names other ops, too."""
    names = [f"dlclint_0_{index}_" for index in range(6)]
    tanh = [("DequantizeLinear", names[0]), ("Tanh", names[1]), ("QuantizeLinear", names[2])]
    relu = [("DequantizeLinear", names[3]), ("Relu", names[4]), ("QuantizeLinear", names[5])]
    text = logs.begin(1) + logs.judged(*relu)
    text += "".join(map(logs.judged, tanh)) if in_float else logs.judged(*tanh)
    text += logs.COMPOSING
    for name in (names[4], names[1]):
        text += logs.validator(f'"{name}_2" generated: could not create op')
    outcome = judge(view_of(TWO_QUANTIZED, tmp_path), text, error="Failed to finalize QNN graph. Code: 1002")
    assert (outcome[1].said, outcome[1].in_float) == (Said.NOT_COMPILED, in_float)
    assert outcome[4].said is (Said.VALIDATED if in_float else Said.NOT_COMPILED)


def test_what_quantizes_around_an_op_is_part_of_it(tmp_path: Path) -> None:
    members = [("DequantizeLinear", NAMES[0]), ("Tanh", NAMES[1]), ("QuantizeLinear", NAMES[2])]
    text = logs.begin(1) + logs.judged(*members, reason="Failed to add node.")
    outcome = judge(view_of(QUANTIZED, tmp_path), text)
    assert [outcome[index].said for index in range(3)] == [Said.GONE, Said.NOT_OFFERED, Said.GONE]


def test_a_crash_is_pinned_on_the_node_that_was_being_validated(tmp_path: Path) -> None:
    text = logs.begin(1) + logs.judged(("Relu", NAMES[0])) + logs.trying(NAMES[1], "Tanh")
    outcome = judge(view_of(CHAIN, tmp_path), text, ended="the process died (SIGSEGV)")
    assert [outcome[index].said for index in range(4)] == [
        Said.TAKEN,
        Said.CRASHED,
        Said.UNASKED,
        Said.UNASKED,
    ]


@pytest.mark.parametrize("grouped", [True, False])
def test_quantized_in_name_only(grouped: bool, tmp_path: Path) -> None:
    members = [("DequantizeLinear", NAMES[0]), ("Tanh", NAMES[1]), ("QuantizeLinear", NAMES[2])]
    text = logs.begin(1)
    text += logs.judged(*members) if grouped else "".join(logs.judged(member) for member in members)
    outcome = judge(view_of(QUANTIZED, tmp_path), text)
    assert [outcome[index].in_float for index in range(3)] == [False, not grouped, False]


@pytest.mark.parametrize("grouped", [True, False])
def test_a_refusal_of_the_float_form_is_none_of_the_quantized_op(grouped: bool, tmp_path: Path) -> None:
    members = [("DequantizeLinear", NAMES[0]), ("Tanh", NAMES[1]), ("QuantizeLinear", NAMES[2])]
    text = logs.begin(1) + logs.trying(NAMES[1], "Tanh") + logs.code(NAMES[1], "Tanh")
    text += logs.judged(*members if grouped else (members[1],), reason="Failed to add node.")
    verdict = judge(view_of(QUANTIZED, tmp_path), text)[1]
    assert verdict.said is Said.REFUSED
    assert relation_of(verdict, []) is (Relation.MISSED if grouped else Relation.IN_FLOAT)


@pytest.mark.parametrize(("kind", "in_float"), [("FLOAT_32", True), ("UFIXED_POINT_8", False)])
def test_a_group_that_is_built_in_float_in_the_end(kind: str, in_float: bool, tmp_path: Path) -> None:
    members = [("DequantizeLinear", NAMES[0]), ("Tanh", NAMES[1]), ("QuantizeLinear", NAMES[2])]
    text = (
        logs.begin(1) + logs.judged(*members) + logs.COMPOSING + logs.composed(f"{NAMES[1]}_t0", "Tanh", kind)
    )
    assert judge(view_of(QUANTIZED, tmp_path), text)[1].in_float is in_float


def test_a_group_that_is_built_from_dequantize_runs_in_float(tmp_path: Path) -> None:
    members = [("DequantizeLinear", NAMES[0]), ("Tanh", NAMES[1]), ("QuantizeLinear", NAMES[2])]
    text = logs.begin(1) + logs.trying("x", "Dequantize") + logs.judged(*members)
    assert judge(view_of(QUANTIZED, tmp_path), text)[1].in_float


def claim(rule: str, severity: Severity, index: int = 0) -> Diagnostic:
    location = Location("f", node_index=index, op="Relu")
    return Diagnostic(rule, severity, "m", location, about=ABOUT.get(rule, About.CONVERSION))


ERROR, WARNING = Severity.ERROR, Severity.WARNING


@pytest.mark.parametrize(
    ("said", "claims", "relation"),
    [
        (Said.TAKEN, [], Relation.AGREED),
        (Said.TAKEN, [claim("ops/no-runtime", WARNING)], Relation.WARNED),
        (Said.TAKEN, [claim("shapes/odd-dim", WARNING), claim("htp/divide", WARNING)], Relation.AGREED),
        (Said.TAKEN, [claim("ops/no-runtime", ERROR)], Relation.FALSE_ALARM),
        (Said.TAKEN, [claim("runtime/precision", ERROR)], Relation.FALSE_ALARM),
        (Said.TAKEN, [claim("ops/unsupported", ERROR)], Relation.CONVERTER),
        (Said.REFUSED, [], Relation.MISSED),
        (Said.REFUSED, [claim("ops/unsupported", ERROR)], Relation.AGREED),
        (Said.REFUSED, [claim("shapes/odd-dim", WARNING)], Relation.AGREED),
        (Said.REFUSED, [claim("htp/refused-form", WARNING)], Relation.AGREED),
        (Said.REFUSED, [claim("htp/divide", WARNING), claim("cle/pairs", WARNING)], Relation.MISSED),
        (Said.NOT_COMPILED, [], Relation.MISSED),
        (Said.CRASHED, [], Relation.MISSED),
        (Said.NOT_OFFERED, [], Relation.WRAPPER),
        (Said.NOT_OFFERED, [claim("ops/unsupported", ERROR)], Relation.AGREED),
        (Said.GONE, [claim("ops/unsupported", ERROR)], Relation.UNJUDGED),
        (Said.UNASKED, [], Relation.UNJUDGED),
    ],
)
def test_relations(said: Said, claims: list[Diagnostic], relation: Relation) -> None:
    assert relation_of(NodeVerdict(said), claims) is relation


@pytest.mark.parametrize(
    ("claims", "relation"),
    [
        ([], Relation.IN_FLOAT),
        ([claim("htp/refused-form", WARNING)], Relation.IN_FLOAT),
        ([claim("runtime/precision", ERROR)], Relation.IN_FLOAT),
        ([claim("ops/no-runtime", WARNING)], Relation.WARNED),
        ([claim("ops/no-runtime", ERROR)], Relation.FALSE_ALARM),
        ([claim("ops/attribute", ERROR)], Relation.CONVERTER),
    ],
)
def test_what_is_computed_in_float_shows_nothing_about_quantized_forms(
    claims: list[Diagnostic], relation: Relation
) -> None:
    assert relation_of(NodeVerdict(Said.TAKEN, in_float=True), claims) is relation


def test_what_does_not_compile_in_float_shows_nothing_about_the_quantized_op() -> None:
    verdict = NodeVerdict(Said.NOT_COMPILED, in_float=True)
    assert relation_of(verdict, []) is Relation.IN_FLOAT
    assert relation_of(verdict, [claim("ops/no-runtime", ERROR)]) is Relation.AGREED
    assert relation_of(replace(verdict, in_float=False), []) is Relation.MISSED


def test_rows_carry_place_and_claims(tmp_path: Path) -> None:
    view = view_of(CHAIN, tmp_path)
    text = logs.begin(1) + logs.refused(NAMES[1], "Tanh", "no")
    verdicts = verdicts_of(
        view.model, question_of(view.model), BackendAnswer((), "", text), read_log(text), compiled=True
    )
    findings = [
        claim("ops/x", ERROR, 1),
        claim("ops/x", ERROR, 1),
        claim("ops/y", Severity.INFO, 1),
        claim("ops/z", ERROR, 9),
    ]
    row = list(rows_of(view, verdicts, findings))[1]
    assert (row.node_index, row.op, row.tensor) == (1, "Tanh", "b")
    assert row.claims == (("ops/x", ERROR, About.CONVERSION),)
    assert row.relation is Relation.AGREED


def test_findings_on_the_whole_model_or_on_an_input_count(tmp_path: Path) -> None:
    view = view_of(CHAIN, tmp_path)
    text = logs.begin(1) + logs.refused(NAMES[0], "Relu", "no") + logs.judged(("Tanh", NAMES[1]))
    verdicts = verdicts_of(
        view.model, question_of(view.model), BackendAnswer((), "", text), read_log(text), compiled=True
    )
    whole = Diagnostic("runtime/precision", ERROR, "m", Location("f"), about=About.FORM)
    other = Diagnostic("runtime/quantizer-mandatory", ERROR, "m", Location("f"), about=About.TARGET)
    tensor = Diagnostic("shapes/odd-dim", ERROR, "m", Location("f", tensor="x"), about=About.FILE)
    first, second, *_ = rows_of(view, verdicts, [whole, other, tensor])
    assert first.claims == (
        ("runtime/precision", ERROR, About.FORM),
        ("shapes/odd-dim", ERROR, About.FILE),
    )
    assert (first.relation, second.relation, second.claims) == (Relation.AGREED, Relation.AGREED, ())


def test_nothing_agrees_with_a_graph_that_fails() -> None:
    for said, relation in product(Said, set(Relation) - {Relation.UNJUDGED}):
        row = ComparedNode("", "n", 0, "Conv", "y", NodeVerdict(said), relation)
        whole = Confirmation("f", "s", "s", True, rows=(row,))
        failed = replace(whole, failure="compiling fails")
        assert "dlclint agrees" in agreement(whole)
        assert "agree" not in agreement(failed) and "1 checked nodes" in agreement(failed)


def test_exit_status() -> None:
    row_free = Confirmation("f", "s", "s", True)
    failed = Confirmation("f", "s", "s", True, failure="compiling fails")
    unasked = Confirmation("f", "s", "s", True, unasked="no input")
    stopped = Confirmation("f", "s", "s", True, stopped="took longer than 60 s")
    assert [
        ConfirmOutcome("1", files).status
        for files in [(row_free,), (row_free, failed), (failed, unasked), (stopped,)]
    ] == [0, 1, 2, 2]
