"""Format `json` of a fix, version 1: its schema is `dlclint_schemas/fix-v1.schema.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dlclint.diagnostic import Location, plain
from dlclint.model.writing import Written
from dlclint.outcome import FixedModel, Left
from dlclint.verify import Verification


def as_json(
    fixed: FixedModel, path: str, written: Written | None, proof: Verification, differing: Mapping[str, str]
) -> dict[str, Any]:
    """The report as plain data; its schema is `dlclint_schemas/fix-v1.schema.json`."""
    return {
        "version": 1,
        "path": plain(path, 500),
        "notes": list(fixed.notes),
        "before": {severity.value: count for severity, count in fixed.before.items()},
        "after": {severity.value: count for severity, count in fixed.after.items()},
        "mended": [
            {
                "rule": item.rule,
                "title": item.title,
                "safety": item.safety.value,
                "location": _location(item.location),
                "edits": list(item.edits),
            }
            for item in fixed.mended
        ],
        "possible": [_left(item) for item in fixed.possible],
        "left": [_left(item) for item in fixed.left],
        "left_out": {rule: plain(reason, 400) for rule, reason in differing.items()},
        "written": written
        and {
            "path": plain(str(written.path), 500),
            "bytes": written.size,
            "data": None if written.data is None else plain(written.data.name),
        },
        "verification": {
            "verdict": proof.verdict.value,
            "reason": plain(proof.reason, 400),
            "runs": proof.runs,
            "outputs": [
                {
                    "output": plain(item.output),
                    "absolute": _finite(item.absolute),
                    "relative": _finite(item.relative),
                    "allowed": item.allowed,
                }
                for item in proof.outputs
            ],
        },
    }


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _location(place: Location) -> dict[str, Any]:
    return {
        "graph": place.graph,
        "node": place.node,
        "node_index": place.node_index,
        "op": place.op,
        "tensor": place.tensor,
    }


def _left(item: Left) -> dict[str, Any]:
    return {
        "rule": item.rule,
        "severity": item.severity.value,
        "message": item.message,
        "location": _location(item.location),
        "fix": None
        if item.safety is None
        else {"title": item.title, "safety": item.safety.value, "reason": item.reason},
    }
