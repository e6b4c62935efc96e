"""One line per finding, for grep and editors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dlclint.diagnostic import Location, Safety, Severity, counted
from dlclint.outcome import Outcome

_MARK = {Safety.SAFE: " [fix]", Safety.UNSAFE: " [unsafe fix]", Safety.DISPLAY: ""}
_NOUNS = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note"))


def render_concise(outcome: Outcome) -> str:
    """`file:place: severity rule message [fix]`, then a line with the counts."""
    lines = [
        f"{item.location.file}{_place(item.location)}: {item.severity.value} {item.rule} {item.message}"
        f"{_MARK[item.fix.safety] if item.fix else ''}"
        for file in outcome.files
        for item in file.diagnostics
    ]
    return "\n".join([*lines, count_line(outcome)]) + "\n"


def _place(place: Location) -> str:
    if place.line is not None:
        return f":{place.line}:{place.column or 1}"
    if place.node_index is None:
        return f"#{place.graph}" if place.graph else ""
    name = f"({place.node})" if place.node else ""
    return f"#{place.graph + '/' if place.graph else ''}{place.node_index}{name}"


def count_line(outcome: Outcome) -> str:
    """Counts by severity over all files, in one sentence."""
    counts = Counter(item.severity for file in outcome.files for item in file.diagnostics)
    files = len(outcome.files)
    return f"{severity_counts(counts)} in {counted(files, 'file')}{_fixable(outcome)}"


def severity_counts(counts: Mapping[Severity, int]) -> str:
    """How many findings there are of each severity, such as `0 errors, 1 warning, 2 notes`."""
    return ", ".join(counted(counts[severity], noun) for severity, noun in _NOUNS)


def _fixable(outcome: Outcome) -> str:
    """How many findings `dlclint fix` can mend, as the end of a sentence; "" where it can do nothing."""
    found = [item.fix.safety for file in outcome.files for item in file.diagnostics if item.fix is not None]
    safe, unsafe = found.count(Safety.SAFE), found.count(Safety.UNSAFE)
    if safe:
        more = f", {unsafe} more with --unsafe" if unsafe else ""
        return f"; {safe} can be mended by `dlclint fix`{more}"
    return f"; {unsafe} can be mended by `dlclint fix --unsafe`" if unsafe else ""
