"""The thresholds of the rules of the family quantization, and of the plan."""

from __future__ import annotations

from dlclint_schemas.thresholds import thresholds
from pages._markdown import table


def files() -> dict[str, str]:
    """docs/tables/thresholds.md."""
    rows = ((row.name, f"{row.value:g}", row.unit, row.reason) for row in thresholds().values())
    return {
        "docs/tables/thresholds.md": (
            "# Thresholds\n\nThe thresholds from which the rules of the family `quantization`, and `dlclint "
            "plan`, report something; each with its source, or the reason for our choice.\n\n"
            + table(("name", "value", "unit", "reason"), rows)
        )
    }
