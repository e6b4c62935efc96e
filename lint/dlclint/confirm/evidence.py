"""The backend's verdict as evidence for dlclint's own findings: it adds to them, and hides none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dlclint.confirm.compare import ComparedNode, Confirmation, Relation, decides
from dlclint.confirm.verdict import Said
from dlclint.confirm.wording import node_sentence
from dlclint.diagnostic import Confidence, Diagnostic, Location, Severity, Source


def with_evidence(diagnostics: Iterable[Diagnostic], asked: Confirmation) -> Iterator[Diagnostic]:
    """Every finding, those about a node with the backend's verdict, and one for each node that was missed.

    A finding that HTP cannot compute something is confirmed where Qualcomm's validator or compiler refuses
    the node, and contradicted where it accepts the node; its former confidence is kept in the evidence. A
    refusal by the wrapper decides nothing, and an op that is computed in float is not evidence about its
    quantized forms.
    """
    rows = {(row.graph, row.node_index): row for row in asked.rows}
    for finding in diagnostics:
        location = finding.location
        row = rows.get((location.graph, location.node_index)) if location.node_index is not None else None
        yield finding if row is None or row.verdict.said is Said.UNASKED else _judged(finding, row, asked)
    source = Source("QNN backend", f"checked for {asked.asked_soc}")
    for row in asked.rows:
        if row.relation is Relation.MISSED:
            yield Diagnostic(
                f"confirm/{row.verdict.said.value}",
                Severity.ERROR,
                node_sentence(row),
                Location(asked.path, row.graph, row.node, row.node_index, row.op, row.tensor),
                Confidence.CONFIRMED,
                source,
            )


def _judged(finding: Diagnostic, row: ComparedNode, asked: Confirmation) -> Diagnostic:
    evidence = {**finding.evidence, "backend": node_sentence(row), "backend_soc": asked.asked_soc}
    confidence = finding.confidence
    if decides(row.verdict, finding.about):
        taken = row.verdict.said is Said.TAKEN
        confidence = Confidence.CONTRADICTED if taken else Confidence.CONFIRMED
    if confidence is not finding.confidence:
        evidence["confidence_before"] = finding.confidence.value
    return replace(finding, confidence=confidence, evidence=evidence)
