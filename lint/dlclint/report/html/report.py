"""The page that `check`, `plan` and `simulate` have in common."""

from __future__ import annotations

from collections.abc import Sequence

from dlclint.report.html.network import NODE, Texts
from dlclint.report.html.sheets import FINDING, Sheet
from dlclint.report.html.shell import page
from dlclint.version import __version__

SCRIPTS = (
    "dagre.min.js",
    "uPlot.iife.min.js",
    "data.js",
    "dom.js",
    "coloring.js",
    "layout.js",
    "graph.js",
    "findings.js",
    "details.js",
    "charts.js",
    "bench.js",
)


def report_page(
    tool: str, heading: str, count: str, files_head: tuple[str, ...], sheets: Sequence[Sheet], texts: Texts
) -> str:
    """The page of some sheets.

    Args:
        tool: the command.
        heading: the summary.
        count: the same in numbers.
        files_head: the columns of `Sheet.row`, for the table of several files.
        sheets: one for each file.
        texts: those that the sheets' data refer to by number.
    """
    shown = {
        "version": __version__,
        "title": f"{heading}: {sheets[0].title}" if len(sheets) == 1 else heading,
        "tool": tool,
        "heading": sheets[0].title if len(sheets) == 1 else heading,
        "count": f"{heading}: {count}" if len(sheets) == 1 else count,
        "files_head": files_head,
        "sheets": sheets,
    }
    data = {
        "node": NODE,
        "finding": FINDING,
        "files": [{"title": sheet.title, **sheet.data} for sheet in sheets],
        "texts": texts.all,
    }
    return page("report.html.j2", shown, data, SCRIPTS)
