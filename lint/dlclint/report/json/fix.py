"""Format `json` of a fix, version 1: its schema is `dlclint_schemas/fix-v1.schema.json`."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TextIO

from dlclint.diagnostic import Location, plain
from dlclint.outcome import FixOutcome, LeftFinding

if TYPE_CHECKING:
    from dlclint.verify import Verification


def render(outcome: FixOutcome, stream: TextIO | None) -> str:
    """The report as strict JSON."""
    return json.dumps(_report(outcome), indent=2, allow_nan=False) + "\n"


def _report(outcome: FixOutcome) -> dict[str, Any]:
    written = outcome.written
    return {
        "version": 1,
        "path": outcome.path,
        "notes": list(outcome.notes),
        "before": {severity.value: count for severity, count in outcome.before.items()},
        "after": {severity.value: count for severity, count in outcome.after.items()},
        "mended": [
            {
                "rule": applied_fix.rule,
                "title": applied_fix.title,
                "safety": applied_fix.safety.value,
                "location": _location(applied_fix.location),
                "edits": list(applied_fix.edits),
            }
            for applied_fix in outcome.applied
        ],
        "possible": [_left(finding) for finding in outcome.possible],
        "left": [_left(left_finding) for left_finding in outcome.remaining],
        "left_out": dict(outcome.left_out),
        "written": written
        and {
            "path": plain(str(written.path), 500),
            "bytes": written.size,
            "data": None if written.data is None else plain(written.data.name),
        },
        "verification": _verification(outcome.proof),
    }


def _verification(proof: Verification | None) -> dict[str, Any]:
    if proof is None:
        return {"verdict": "unknown", "reason": "an override file is not run", "runs": 0, "outputs": []}
    return {
        "verdict": proof.verdict.value,
        "reason": plain(proof.reason, 400),
        "runs": proof.runs,
        "outputs": [
            {
                "output": plain(difference.output),
                "absolute": _finite(difference.absolute),
                "relative": _finite(difference.relative),
                "allowed": difference.allowed,
                "moves": difference.moves,
            }
            for difference in proof.outputs
        ],
    }


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _location(location: Location) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "graph": location.graph,
        "node": location.node,
        "node_index": location.node_index,
        "op": location.op,
        "tensor": location.tensor,
    }
    if location.line is not None:  # in an override file
        shown |= {"pointer": location.pointer, "line": location.line, "column": location.column}
    return shown


def _left(left_finding: LeftFinding) -> dict[str, Any]:
    return {
        "rule": left_finding.rule,
        "severity": left_finding.severity.value,
        "message": left_finding.message,
        "location": _location(left_finding.location),
        "fix": None
        if left_finding.safety is None
        else {
            "title": left_finding.title,
            "safety": left_finding.safety.value,
            "reason": left_finding.reason,
        },
    }
