"""The order in which findings are most useful: by what they stop or cost, causes before consequences.

This is the only place that determines it; reports of every format use it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dlclint.diagnostic import About, Cause, Diagnostic, Severity
from dlclint_schemas.record import record


class Stage(enum.Enum):
    """What a finding stops or costs, in the order in which that matters."""

    CONVERSION = "stops conversion"
    RUNNING = "stops running"
    DOUBT = "may stop conversion or running"
    ACCURACY = "costs accuracy"
    SPEED = "costs speed or size"
    NOTES = "notes"

    @property
    def rank(self) -> int:
        """From 0: sorts the most important first."""
        return _RANKS[self]


_RANKS = {stage: rank for rank, stage in enumerate(Stage)}
_ACCURACY = (About.SETTINGS, About.ACCURACY)
_RUNNING = (About.TARGET, About.PRESENCE, About.FORM)


def stage_of(finding: Diagnostic) -> Stage:
    """What a finding stops or costs."""
    if finding.severity is Severity.INFO:
        return Stage.NOTES
    if finding.about in _ACCURACY:
        return Stage.ACCURACY
    if finding.severity is Severity.ERROR:
        return Stage.RUNNING if finding.about in _RUNNING else Stage.CONVERSION
    return Stage.SPEED if finding.about is About.ADVICE else Stage.DOUBT


@record
class FindingChain:
    """Findings of one rule and severity that have the same cause or none, and their consequences."""

    stage: Stage
    """The first stage of its findings and of their consequences."""
    severity: Severity
    rule: str
    findings: tuple[Diagnostic, ...]
    following: tuple[FindingChain, ...] = ()

    def walk(self) -> Iterator[Diagnostic]:
        """Its findings, then all that follow from them."""
        yield from self.findings
        for chain in self.following:
            yield from chain.walk()

    @property
    def consequences(self) -> int:
        """The number of findings that follow from it."""
        return sum(1 for chain in self.following for _ in chain.walk())


def chains(findings: Iterable[Diagnostic]) -> tuple[FindingChain, ...]:
    """Findings with their consequences after each; one whose cause is not among them is separate."""
    ordered = sorted(findings, key=Diagnostic.sort_key)
    known = {_place(diagnostic): diagnostic for diagnostic in reversed(ordered)}
    children: dict[Cause, list[Diagnostic]] = {}
    roots: list[Diagnostic] = []
    for finding in ordered:
        if finding.cause is not None and finding.cause in known and _ends(finding, known):
            children.setdefault(finding.cause, []).append(finding)
        else:
            roots.append(finding)
    return _grouped(roots, children)


def _place(finding: Diagnostic) -> Cause:
    return Cause(finding.rule, finding.location)


def _ends(finding: Diagnostic, known: Mapping[Cause, Diagnostic]) -> bool:
    """Whether the causes of a finding lead to one without a cause."""
    passed = {_place(finding)}
    while finding.cause is not None and finding.cause in known:
        if finding.cause in passed:
            return False
        passed.add(finding.cause)
        finding = known[finding.cause]
    return True


def _grouped(
    findings: Sequence[Diagnostic], children: dict[Cause, list[Diagnostic]]
) -> tuple[FindingChain, ...]:
    groups: dict[tuple[Severity, str, Stage], list[Diagnostic]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.rule, stage_of(finding)), []).append(finding)
    finding_chains = []
    for (severity, rule, stage), items in groups.items():
        places = dict.fromkeys(map(_place, items))
        # Taken once: of equal findings, the first gets the consequences.
        behind = sorted((c for cause in places for c in children.pop(cause, ())), key=Diagnostic.sort_key)
        following = _grouped(behind, children)
        first = min([stage, *(chain.stage for chain in following)], key=lambda each: each.rank)
        finding_chains.append(FindingChain(first, severity, rule, tuple(items), following))
    return tuple(
        sorted(finding_chains, key=lambda chain: (chain.stage.rank, chain.severity.rank, chain.rule))
    )


def report_order(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Findings as reports list them: what stops conversion first, and after each its consequences."""
    return tuple(finding for chain in chains(findings) for finding in chain.walk())


def one_for_each_cause(
    findings: Iterable[Diagnostic], wanted: Callable[[Diagnostic], bool]
) -> list[Diagnostic]:
    """The selected findings; of those that follow from a cause that is not selected, only the first."""
    ordered = sorted(findings, key=Diagnostic.sort_key)
    known = {_place(diagnostic): diagnostic for diagnostic in reversed(ordered)}
    chosen: list[Diagnostic] = []
    met: set[Cause] = set()
    for finding in filter(wanted, ordered):
        first = finding
        while _ends(finding, known) and first.cause is not None and first.cause in known:
            first = known[first.cause]
        cause = _place(first)
        if first is finding or (cause not in met and not wanted(first)):
            chosen.append(finding)
        if first is not finding:
            met.add(cause)
    return chosen
