"""Counts of findings in words, for every format that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dlclint.diagnostic import Safety, Severity, counted
from dlclint.outcome import Outcome

_NOUNS = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note"))


def count_line(outcome: Outcome) -> str:
    """Counts by severity over all files, in one sentence."""
    counts = Counter(item.severity for file in outcome.files for item in file.diagnostics)
    files = len(outcome.files)
    return f"{severity_counts(counts)} in {counted(files, 'file')}{_fixable(outcome)}"


def severity_counts(counts: Mapping[Severity, int]) -> str:
    """How many findings there are of each severity, such as `0 errors, 1 warning, 2 notes`."""
    return ", ".join(counted(counts[severity], noun) for severity, noun in _NOUNS)


def _fixable(outcome: Outcome) -> str:
    """How many findings `dlclint fix` can fix, as the end of a sentence; "" where it can do nothing."""
    found = [item.fix.safety for file in outcome.files for item in file.diagnostics if item.fix is not None]
    safe, unsafe = found.count(Safety.SAFE), found.count(Safety.UNSAFE)
    if safe:
        more = f", {unsafe} more with --unsafe" if unsafe else ""
        return f"; {safe} can be fixed by `dlclint fix`{more}"
    return f"; {unsafe} can be fixed by `dlclint fix --unsafe`" if unsafe else ""
