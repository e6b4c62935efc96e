"""Counts of findings in words, for every format that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dlclint.chains import Chain
from dlclint.diagnostic import Safety, Severity, counted
from dlclint.outcome import Outcome, Unlisted

_NOUNS = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note"))


def count_line(outcome: Outcome) -> str:
    """Counts by severity over all files, in one sentence."""
    counts = Counter({s: sum(file.count(s) for file in outcome.files) for s in Severity})
    files = len(outcome.files)
    follow = sum(chain.consequences for file in outcome.files for chain in file.chains)
    behind = f" ({follow} {'follows' if follow == 1 else 'follow'} from others)" if follow else ""
    return f"{severity_counts(counts)}{behind} in {counted(files, 'file')}{_fixable(outcome)}"


def following_line(chain: Chain) -> str:
    """How many findings follow from those of a rule, such as `44 findings follow from it`."""
    count, cause = chain.consequences, "these" if len(chain.findings) > 1 else "it"
    return f"{counted(count, 'finding')} {'follows' if count == 1 else 'follow'} from {cause}"


def unlisted_line(item: Unlisted) -> str:
    """How many findings of a rule are not listed, in one sentence."""
    findings = counted(item.count, "finding")
    return f"{findings} more of {item.rule} ({item.severity.value}); --all lists them"


def severity_counts(counts: Mapping[Severity, int]) -> str:
    """How many findings there are of each severity, such as `0 errors, 1 warning, 2 notes`."""
    return ", ".join(counted(counts[severity], noun) for severity, noun in _NOUNS)


def _fixable(outcome: Outcome) -> str:
    """How many findings `dlclint fix` can fix, as the end of a sentence; "" where it can do nothing."""
    found = [item.fix.safety for file in outcome.files for item in file.diagnostics if item.fix is not None]
    unlisted = [item for file in outcome.files for item in (*file.unlisted, *file.hidden)]
    safe = found.count(Safety.SAFE) + sum(item.safe_fixes for item in unlisted)
    unsafe = found.count(Safety.UNSAFE) + sum(item.unsafe_fixes for item in unlisted)
    if safe:
        more = f", {unsafe} more with --unsafe" if unsafe else ""
        return f"; {safe} can be fixed by `dlclint fix`{more}"
    return f"; {unsafe} can be fixed by `dlclint fix --unsafe`" if unsafe else ""
