"""Format `json` of `dlclint zoo`, version 1: its schema is `dlclint_schemas/zoo-v1.schema.json`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TextIO

from dlclint.zoo import Zoo


def render(zoo: Zoo, stream: TextIO | None) -> str:
    """The report as strict JSON."""
    return json.dumps(zoo_report(zoo), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def zoo_report(zoo: Zoo) -> dict[str, Any]:
    """The report as plain dicts and lists."""
    return {
        "version": 1,
        "tool": {"name": "dlclint", "version": zoo.version},
        "models": zoo.models,
        "converts": {"yes": zoo.converts, "no": zoo.stopped, "unknown": zoo.unknown},
        "overrides": zoo.overrides,
        "runtimes": [asdict(row) for row in zoo.runtimes],
        "fixes": [asdict(row) | {"fix": row.fix or None} for row in zoo.fixes],
        "ops": [asdict(row) for row in zoo.ops],
        "rules": [asdict(row) | {"severity": row.severity.value} for row in zoo.rules],
        "chips": [asdict(row) for row in zoo.chips],
        "notes": list(zoo.notes),
    }
