"""Format `html` of `dlclint zoo`: the same tables as a page, with all rows."""

from __future__ import annotations

from typing import TextIO

from dlclint.report.html.shell import page
from dlclint.report.zoo_tables import best_fix, tables, zoo_headline
from dlclint.zoo import Zoo


def render(zoo: Zoo, stream: TextIO | None) -> str:
    """The page."""
    shown = {
        "version": zoo.version,
        "count": zoo_headline(zoo),
        "best": best_fix(zoo),
        "answers": (
            ("Models that convert", zoo.converts, "good"),
            ("Models that do not", zoo.stopped, "bad"),
            *((("Models without a verdict", zoo.unknown, "risk"),) if zoo.unknown else ()),
        ),
        "tables": list(tables(zoo)),
        "notes": zoo.notes,
    }
    return page("zoo.html.j2", shown, {})
