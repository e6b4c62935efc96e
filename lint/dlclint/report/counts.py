"""Counts of findings in words, for every format for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dlclint.chains import FindingChain
from dlclint.diagnostic import Safety, Severity, counted
from dlclint.outcome import FileOutcome, Outcome, Unlisted

_NOUNS = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note"))


def count_line(outcome: Outcome) -> str:
    """Counts by severity over all files, in one sentence."""
    counts: Counter[Severity] = Counter()
    fixable: Counter[Safety] = Counter()
    files = follow = 0
    for file in outcome.files:
        files += 1
        follow += sum(chain.consequences for chain in file.chains)
        counts.update({severity: file.count(severity) for severity in Severity})
        fixable.update(finding.fix.safety for finding in file.diagnostics if finding.fix is not None)
        for more in (*file.unlisted, *file.hidden):
            fixable.update({Safety.SAFE: more.safe_fixes, Safety.UNSAFE: more.unsafe_fixes})
    behind = f" ({follow} {'follows' if follow == 1 else 'follow'} from others)" if follow else ""
    return f"{severity_counts(counts)}{behind} in {counted(files, 'file')}{_fixable(fixable)}"


def by_severity(outcome: Outcome) -> dict[str, int]:
    """Counts by severity over all files, the worst first, for programs."""
    counts: Counter[Severity] = Counter()
    for file in outcome.files:
        counts.update({severity: file.count(severity) for severity in Severity})
    return {severity.value: counts[severity] for severity in Severity}


def following_line(chain: FindingChain) -> str:
    """How many findings follow from those of a rule, such as `44 findings follow from it`."""
    count, cause = chain.consequences, "these" if len(chain.findings) > 1 else "it"
    return f"{counted(count, 'finding')} {'follows' if count == 1 else 'follow'} from {cause}"


def unlisted_line(unlisted: Unlisted) -> str:
    """How many findings of a rule are not listed, in one sentence."""
    findings = counted(unlisted.count, "finding")
    return f"{findings} more of {unlisted.rule} ({unlisted.severity.value}); --all lists them"


def file_counts(file: FileOutcome) -> str:
    """How many findings of each severity a file has, such as `0 errors, 1 warning, 2 notes`."""
    return severity_counts({severity: file.count(severity) for severity in Severity})


def severity_counts(counts: Mapping[Severity, int]) -> str:
    """How many findings there are of each severity, such as `0 errors, 1 warning, 2 notes`."""
    return ", ".join(counted(counts[severity], noun) for severity, noun in _NOUNS)


def _fixable(fixable: Mapping[Safety, int]) -> str:
    """How many findings `dlclint fix` can fix, as the end of a sentence; "" where it can fix none."""
    safe, unsafe = fixable[Safety.SAFE], fixable[Safety.UNSAFE]
    if safe:
        more = f", {unsafe} more with --unsafe" if unsafe else ""
        return f"; {safe} can be fixed by `dlclint fix`{more}"
    return f"; {unsafe} can be fixed by `dlclint fix --unsafe`" if unsafe else ""
