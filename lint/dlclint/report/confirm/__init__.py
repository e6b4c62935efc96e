"""The reports of `dlclint confirm`, one module a format."""

from __future__ import annotations

from typing import TextIO

from dlclint.confirm.compare import ConfirmOutcome


def render(outcome: ConfirmOutcome, form: str, stream: TextIO | None) -> str:
    """The report as text. `stream` is where it will be shown, for width and colour; None for a file.

    Raises:
        ValueError: no such format.
    """
    if form == "rich":
        from dlclint.report.confirm.rich_text import render_rich

        return render_rich(outcome, stream)
    if form == "json":
        from dlclint.report.confirm.json_v1 import render_json

        return render_json(outcome)
    if form == "sarif":
        from dlclint.report.confirm.sarif import render_sarif

        return render_sarif(outcome)
    raise ValueError(f"no format is called {form}")
