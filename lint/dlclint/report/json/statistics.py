"""Format `json` of `dlclint check --statistics`."""

from __future__ import annotations

import json
from typing import TextIO

from dlclint.outcome import Outcome
from dlclint.report.statistics import rule_counts


def render(outcome: Outcome, stream: TextIO | None) -> str:
    """A list with a row for each rule and severity."""
    rows = [
        {
            "rule": row.rule,
            "severity": row.severity.value,
            "count": row.count,
            "files": row.files,
            "fixable": {"safe": row.safe_fixes, "unsafe": row.unsafe_fixes},
        }
        for row in rule_counts(outcome)
    ]
    return json.dumps(rows, indent=2) + "\n"
