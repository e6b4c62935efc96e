"""`check --confirm`: verdicts change how sure a finding is, add what was missed, and hide nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from dlclint.confirm.compare import ComparedNode, Confirmation, Relation
from dlclint.confirm.evidence import with_evidence
from dlclint.confirm.verdict import NodeVerdict, Said
from dlclint.diagnostic import Confidence, Diagnostic, Location, Severity
from dlclint.engine.registry import all_rules

ABOUT = {rule.id: rule.about for rule in all_rules()}


def finding(rule: str, index: int | None = 0) -> Diagnostic:
    location = Location("f", node_index=index)
    return Diagnostic(rule, Severity.WARNING, "m", location, evidence={"n": 1}, about=ABOUT[rule])


def asked(*rows: tuple[Said, Relation]) -> Confirmation:
    return Confirmation(
        "f",
        "SM8550",
        "SM8550",
        True,
        rows=tuple(
            ComparedNode(
                "",
                "",
                index,
                "Relu",
                "y",
                NodeVerdict(said, "why", 3110 if said is Said.REFUSED else None),
                relation,
            )
            for index, (said, relation) in enumerate(rows)
        ),
    )


def only(findings: Iterable[Diagnostic]) -> Diagnostic:
    (finding,) = findings
    return finding


@pytest.mark.parametrize(
    ("said", "rule", "confidence"),
    [
        (Said.REFUSED, "ops/no-runtime", Confidence.CONFIRMED),
        (Said.NOT_COMPILED, "runtime/precision", Confidence.CONFIRMED),
        (Said.TAKEN, "ops/no-runtime", Confidence.CONTRADICTED),
        (Said.NOT_OFFERED, "ops/no-runtime", Confidence.DOCUMENTED),
        (Said.GONE, "ops/no-runtime", Confidence.DOCUMENTED),
        (Said.TAKEN, "ops/unsupported", Confidence.DOCUMENTED),
        (Said.REFUSED, "htp/divide", Confidence.DOCUMENTED),
    ],
)
def test_what_is_about_htp_is_confirmed_or_contradicted(
    said: Said, rule: str, confidence: Confidence
) -> None:
    reported = only(with_evidence([finding(rule)], asked((said, Relation.AGREED))))
    assert reported.confidence is confidence
    assert reported.evidence["n"] == 1
    assert str(reported.evidence["backend"]).startswith("Relu: ")
    changed = confidence is not Confidence.DOCUMENTED
    assert reported.evidence.get("confidence_before") == ("documented" if changed else None)


@pytest.mark.parametrize(
    ("rule", "confidence"),
    [("htp/refused-form", Confidence.DOCUMENTED), ("ops/no-runtime", Confidence.CONTRADICTED)],
)
def test_what_is_computed_in_float_contradicts_no_quantized_form(rule: str, confidence: Confidence) -> None:
    said = asked((Said.TAKEN, Relation.IN_FLOAT))
    row = replace(said.rows[0], verdict=NodeVerdict(Said.TAKEN, in_float=True))
    reported = only(with_evidence([finding(rule)], replace(said, rows=(row,))))
    assert reported.confidence is confidence
    assert "computes it in float" in str(reported.evidence["backend"])


def test_findings_without_a_verdict_stay_as_they_are() -> None:
    findings = [finding("shapes/odd-dim", None), finding("ops/no-runtime", 7), finding("ops/no-runtime", 0)]
    assert list(with_evidence(findings, asked((Said.UNASKED, Relation.UNJUDGED)))) == findings


def test_what_no_rule_reports_becomes_a_finding() -> None:
    reported = only(with_evidence([], asked((Said.REFUSED, Relation.MISSED), (Said.TAKEN, Relation.AGREED))))
    assert (reported.rule, reported.severity, reported.confidence) == (
        "confirm/refused",
        Severity.ERROR,
        Confidence.CONFIRMED,
    )
    assert reported.message == "Relu: Hexagon's validator refuses it: why (code 3110)"
    assert (reported.location.node_index, reported.location.tensor) == (0, "y")
