"""The order in which findings are worth reading: by what they stop or cost, causes before what follows.

This is the one place that decides it; reports of every format go by it.
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
        """From 0: sorts what matters most first."""
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
    """Findings of one rule and severity that have the same cause or none, and what follows from them."""

    stage: Stage
    """The first of its own and of those of what follows."""
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
        """How many findings follow from it."""
        return sum(1 for chain in self.following for _ in chain.walk())


def chains(findings: Iterable[Diagnostic]) -> tuple[FindingChain, ...]:
    """Findings with what follows from each after it; one whose cause is not among them stands by itself."""
    ordered = sorted(findings, key=Diagnostic.sort_key)
    known = {_place(item): item for item in reversed(ordered)}
    children: dict[Cause, list[Diagnostic]] = {}
    roots: list[Diagnostic] = []
    for item in ordered:
        if item.cause is not None and item.cause in known and _ends(item, known):
            children.setdefault(item.cause, []).append(item)
        else:
            roots.append(item)
    return _grouped(roots, children)


def _place(item: Diagnostic) -> Cause:
    return Cause(item.rule, item.location)


def _ends(item: Diagnostic, known: Mapping[Cause, Diagnostic]) -> bool:
    """Whether the causes of a finding lead to one that has none."""
    passed = {_place(item)}
    while item.cause is not None and item.cause in known:
        if item.cause in passed:
            return False
        passed.add(item.cause)
        item = known[item.cause]
    return True


def _grouped(
    findings: Sequence[Diagnostic], children: dict[Cause, list[Diagnostic]]
) -> tuple[FindingChain, ...]:
    groups: dict[tuple[Severity, str, Stage], list[Diagnostic]] = {}
    for item in findings:
        groups.setdefault((item.severity, item.rule, stage_of(item)), []).append(item)
    made = []
    for (severity, rule, stage), items in groups.items():
        places = dict.fromkeys(map(_place, items))
        # Taken once: of findings that are alike the first has what follows.
        behind = sorted((c for place in places for c in children.pop(place, ())), key=Diagnostic.sort_key)
        following = _grouped(behind, children)
        first = min([stage, *(chain.stage for chain in following)], key=lambda each: each.rank)
        made.append(FindingChain(first, severity, rule, tuple(items), following))
    return tuple(sorted(made, key=lambda chain: (chain.stage.rank, chain.severity.rank, chain.rule)))


def report_order(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Findings as reports list them: what stops conversion first, and after each what follows from it."""
    return tuple(item for chain in chains(findings) for item in chain.walk())


def one_for_each_cause(
    findings: Iterable[Diagnostic], wanted: Callable[[Diagnostic], bool]
) -> list[Diagnostic]:
    """What is wanted of the findings; of what follows from a cause that is not wanted, the first alone."""
    ordered = sorted(findings, key=Diagnostic.sort_key)
    known = {_place(item): item for item in reversed(ordered)}
    chosen: list[Diagnostic] = []
    met: set[Cause] = set()
    for item in filter(wanted, ordered):
        first = item
        while _ends(item, known) and first.cause is not None and first.cause in known:
            first = known[first.cause]
        place = _place(first)
        if first is item or (place not in met and not wanted(first)):
            chosen.append(item)
        if first is not item:
            met.add(place)
    return chosen
