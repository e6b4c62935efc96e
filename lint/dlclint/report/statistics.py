"""How often each rule has findings, over all files, whatever is shown of them."""

from __future__ import annotations

from collections import Counter

from dlclint.diagnostic import Safety, Severity
from dlclint.outcome import Outcome
from dlclint_schemas.record import record


@record
class RuleCount:
    """A rule's findings of one severity: how many, in how many files, and how many can be fixed."""

    rule: str
    severity: Severity
    count: int
    files: int
    safe_fixes: int
    unsafe_fixes: int


def rule_counts(outcome: Outcome) -> list[RuleCount]:
    """Every rule with findings, the worst and most frequent first."""
    counts: Counter[tuple[str, Severity]] = Counter()
    files: Counter[tuple[str, Severity]] = Counter()
    safe: Counter[tuple[str, Severity]] = Counter()
    unsafe: Counter[tuple[str, Severity]] = Counter()
    for file in outcome.files:
        met = set()
        for finding in file.diagnostics:
            key = (finding.rule, finding.severity)
            met.add(key)
            counts[key] += 1
            safe[key] += finding.fix is not None and finding.fix.safety is Safety.SAFE
            unsafe[key] += finding.fix is not None and finding.fix.safety is Safety.UNSAFE
        for more in (*file.unlisted, *file.hidden):
            key = (more.rule, more.severity)
            met.add(key)
            counts[key] += more.count
            safe[key] += more.safe_fixes
            unsafe[key] += more.unsafe_fixes
        files.update(met)
    rows = [
        RuleCount(rule, severity, count, files[rule, severity], safe[rule, severity], unsafe[rule, severity])
        for (rule, severity), count in counts.items()
    ]
    return sorted(rows, key=lambda row: (row.severity.rank, -row.count, row.rule))
