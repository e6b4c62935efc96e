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
                "rule": item.rule,
                "title": item.title,
                "safety": item.safety.value,
                "location": _location(item.location),
                "edits": list(item.edits),
            }
            for item in outcome.applied
        ],
        "possible": [_left(item) for item in outcome.possible],
        "left": [_left(item) for item in outcome.left],
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
                "output": plain(item.output),
                "absolute": _finite(item.absolute),
                "relative": _finite(item.relative),
                "allowed": item.allowed,
                "moves": item.moves,
            }
            for item in proof.outputs
        ],
    }


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _location(place: Location) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "graph": place.graph,
        "node": place.node,
        "node_index": place.node_index,
        "op": place.op,
        "tensor": place.tensor,
    }
    if place.line is not None:  # in an override file
        shown |= {"pointer": place.pointer, "line": place.line, "column": place.column}
    return shown


def _left(item: LeftFinding) -> dict[str, Any]:
    return {
        "rule": item.rule,
        "severity": item.severity.value,
        "message": item.message,
        "location": _location(item.location),
        "fix": None
        if item.safety is None
        else {"title": item.title, "safety": item.safety.value, "reason": item.reason},
    }
