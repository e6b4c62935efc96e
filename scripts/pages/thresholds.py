"""From which number on rules of family quantization, and the plan, speak."""

from __future__ import annotations

from dlclint_schemas.thresholds import thresholds
from pages._markdown import table


def files() -> dict[str, str]:
    """docs/tables/thresholds.md."""
    rows = ((row.name, f"{row.value:g}", row.unit, row.reason) for row in thresholds().values())
    return {
        "docs/tables/thresholds.md": (
            "# Thresholds\n\nFrom which number on the rules of family `quantization`, and `dlclint plan`, "
            "speak; each with its source, or the reason why we chose it.\n\n"
            + table(("name", "value", "unit", "reason"), rows)
        )
    }
