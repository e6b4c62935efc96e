"""Format `json` of a confirmation, version 1: its schema is `dlclint_schemas/confirm-v1.schema.json`."""

from __future__ import annotations

import json
from typing import Any, TextIO

from dlclint.confirm.compare import ComparedNode, Confirmation, ConfirmOutcome, Relation
from dlclint.confirm.verdict import Said


def render(outcome: ConfirmOutcome, stream: TextIO | None) -> str:
    """The report as strict JSON."""
    return json.dumps(confirm_report(outcome), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def confirm_report(outcome: ConfirmOutcome) -> dict[str, Any]:
    """The report as plain dicts and lists."""
    return {
        "version": 1,
        "tool": {"name": "dlclint", "version": outcome.version},
        "packages": dict(outcome.packages),
        "status": outcome.status,
        "files": [_file(file) for file in outcome.files],
    }


def _file(file: Confirmation) -> dict[str, Any]:
    counts = file.counts
    return {
        "path": file.path,
        "soc": file.soc,
        "asked_soc": file.asked_soc,
        "judge": file.judge or "htp",
        "compiled": file.compiled,
        "quantized": file.quantized,
        "backend": file.build,
        "unasked": file.unasked,
        "stopped": file.stopped,
        "failure": file.failure,
        "notes": list(file.notes),
        "dlc": list(file.dlc),
        "said": {said.value: sum(row.verdict.said is said for row in file.rows) for said in Said},
        "relations": {relation.value: counts[relation] for relation in Relation},
        "nodes": [_node(row) for row in file.rows],
    }


def _node(row: ComparedNode) -> dict[str, Any]:
    verdict = row.verdict
    return {
        "graph": row.graph,
        "node": row.node,
        "node_index": row.node_index,
        "op": row.op,
        "tensor": row.tensor,
        "said": verdict.said.value,
        "reason": verdict.reason,
        "code": verdict.code,
        "qnn_op": verdict.qnn_op,
        "in_float": verdict.in_float,
        "relation": row.relation.value,
        "claims": [{"rule": claim.rule, "severity": claim.severity.value} for claim in row.claims],
    }
