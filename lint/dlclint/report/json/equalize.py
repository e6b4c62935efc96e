"""Format `json` of an equalization, version 1: its schema is `dlclint_schemas/equalize-v1.schema.json`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any, TextIO

from dlclint.analysis.cle.outcome import EqualizeOutcome


def render(outcome: EqualizeOutcome, stream: TextIO | None) -> str:
    """The outcome as strict JSON, version 1; infinite numbers, such as the ratio without noise, are null."""
    fields = asdict(outcome)
    tool = {"name": "dlclint", "version": fields.pop("version")}
    return json.dumps({"version": 1, "tool": tool, **_finite(fields)}, indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(element) for name, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(element) for element in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
