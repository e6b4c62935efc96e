"""Format `sarif` of a confirmation: what the backend refuses, and where it contradicts a finding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from dlclint.confirm.compare import ComparedNode, Confirmation, ConfirmOutcome, Relation
from dlclint.confirm.verdict import Said
from dlclint.confirm.wording import is_shown, node_sentence, stands, troubles
from dlclint.diagnostic import Confidence, Diagnostic, Location, Severity, Source
from dlclint.outcome import FileOutcome, Outcome
from dlclint.own_rules import CONFIRM_DOCS, COULD_NOT_ASK, NO_GRAPH
from dlclint.report.sarif.check import render as render_outcome
from dlclint.target import Runtime, Target

_SEVERITY = {
    Said.REFUSED: Severity.ERROR,
    Said.NOT_COMPILED: Severity.ERROR,
    Said.CRASHED: Severity.ERROR,
    Said.NOT_OFFERED: Severity.WARNING,
}


def render(outcome: ConfirmOutcome, stream: TextIO | None) -> str:
    """The report as one SARIF run; agreement leaves no result."""
    target = Target((Runtime.HTP,))
    files = tuple(
        FileOutcome(file.path, "model", target, tuple(_results(file, outcome))) for file in outcome.files
    )
    return render_outcome(Outcome(outcome.version, files, Severity.ERROR, CONFIRM_DOCS), stream)


def _results(file: Confirmation, outcome: ConfirmOutcome) -> Iterator[Diagnostic]:
    backend = f"onnxruntime-qnn {outcome.packages.get('onnxruntime-qnn', '')}".strip()
    source = Source(file.judge, file.build) if file.judge else Source("QNN backend", backend)
    for trouble in troubles(file):
        rule = COULD_NOT_ASK if file.could_not_ask else NO_GRAPH
        yield Diagnostic(
            rule, Severity.ERROR, trouble, Location(file.path), Confidence.FIELD_REPORTED, source
        )
    for row in filter(is_shown, file.rows):
        yield _result(row, file, source)


def _result(row: ComparedNode, file: Confirmation, source: Source) -> Diagnostic:
    return Diagnostic(
        f"confirm/{row.verdict.said.value}",
        _SEVERITY.get(row.verdict.said, Severity.INFO),
        f"{node_sentence(row)}; {stands(row, row.claims)}",
        Location(file.path, row.graph, row.node, row.node_index, row.op, row.tensor),
        Confidence.FIELD_REPORTED,
        source,
        evidence={"relation": row.relation.value, "agreed": row.relation is Relation.AGREED},
    )
