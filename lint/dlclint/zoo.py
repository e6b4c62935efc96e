"""A summary of many linted models: what is in the way most, and which fix would help most models.

Outcomes are processed one by one and none is held, so that there may be a million.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from dlclint.chains import one_for_each_cause
from dlclint.diagnostic import STOPS, Diagnostic, Safety, Severity
from dlclint.outcome import ChipVerdict, FileOutcome
from dlclint_schemas.record import record

_EASE = (Safety.SAFE, Safety.UNSAFE, Safety.DISPLAY)
"""The ease of a fix, the easiest first; a finding without a fix is fixed by hand, like mere advice."""


@record
class RuntimeCount:
    """How many models a runtime supports whole, in parts, or not at all."""

    runtime: str
    whole: int
    split: int
    no: int


@record
class FixCount:
    """A kind of flaw that stops conversion: a rule, and the op that it is about ("" for none)."""

    rule: str
    op: str
    models: int
    """Models with it."""
    alone: int
    """Models that would convert if only this were fixed."""
    fix: str
    """safe or unsafe if `dlclint fix` fixes it in all of these models (the least safe of them); else ""."""
    help: str
    """The most frequent help of its findings."""


@record
class OpCount:
    """An op or pattern that a runtime lacks."""

    runtime: str
    op: str
    models: int
    nodes: int
    alone: int
    """Models that the runtime would support whole without it."""


@record
class RuleInModels:
    """A rule's findings of one severity."""

    rule: str
    severity: Severity
    models: int
    findings: int


@record
class ChipCount:
    """The verdicts on the models for a chip."""

    soc: str
    models: int
    stopped: int
    """Models that do not convert."""
    refused: int
    """Models that convert, and run whole on none of the checked runtimes."""
    at_risk: int
    """Models whose accuracy is at risk."""
    errors: int


@record
class Zoo:
    """The report. Every list starts with what concerns most models."""

    version: str
    models: int
    converts: int
    stopped: int
    unknown: int
    """Models without a verdict: linting them failed."""
    overrides: int
    """Override files, of which only the rules are counted."""
    runtimes: tuple[RuntimeCount, ...]
    fixes: tuple[FixCount, ...]
    ops: tuple[OpCount, ...]
    rules: tuple[RuleInModels, ...]
    chips: tuple[ChipCount, ...]
    notes: tuple[str, ...] = ()


class _Kinds:
    """The kinds of flaws that stop conversions."""

    def __init__(self) -> None:
        self.models: Counter[tuple[str, str]] = Counter()
        self.alone: Counter[tuple[str, str]] = Counter()
        self.ease: dict[tuple[str, str], int] = {}
        self.helps: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def add(self, file: FileOutcome) -> None:
        """Add a model that does not convert."""
        assert file.verdict is not None
        findings = one_for_each_cause(
            file.diagnostics, lambda finding: finding.about in STOPS and finding.severity is Severity.ERROR
        )
        kinds = {_kind(diagnostic) for diagnostic in findings}
        for finding in findings:
            kind, ease = (
                _kind(finding),
                len(_EASE) if finding.fix is None else _EASE.index(finding.fix.safety),
            )
            self.ease[kind] = max(self.ease.get(kind, 0), ease)
            self.helps[kind][finding.help] += 1
        if not kinds:  # the findings themselves were not requested
            kinds = {(file.verdict.converts.rule, "")}
            self.ease[file.verdict.converts.rule, ""] = len(_EASE)
        self.models.update(kinds)
        if len(kinds) == 1:
            self.alone.update(kinds)

    def counts(self) -> Iterator[FixCount]:
        """All kinds, first those whose fix would help most models."""
        order = sorted(self.models, key=lambda kind: (-self.alone[kind], -self.models[kind], kind))
        for kind in order:
            ease = self.ease[kind]
            word = _EASE[ease].value if ease < _EASE.index(Safety.DISPLAY) else ""
            helps = self.helps[kind].most_common(1)
            yield FixCount(*kind, self.models[kind], self.alone[kind], word, helps[0][0] if helps else "")


def _kind(finding: Diagnostic) -> tuple[str, str]:
    return finding.rule, finding.location.op


def zoo_of(version: str, files: Iterable[FileOutcome], notes: Iterable[str] = ()) -> Zoo:
    """The report on outcomes, in any order.

    Args:
        version: that of dlclint.
        files: models and override files; one that was checked for several chips counts once.
        notes: further notes for the user, requested at the end.
    """
    answers: Counter[str] = Counter()
    kinds = _Kinds()
    runs: defaultdict[str, Counter[str]] = defaultdict(Counter)
    ops = _Ops()
    rules: Counter[tuple[str, Severity]] = Counter()
    findings: Counter[tuple[str, Severity]] = Counter()
    chips: dict[str, Counter[str]] = {}
    overrides = 0
    for file in files:
        counts = Counter((finding.rule, finding.severity) for finding in file.diagnostics)
        for more in (*file.unlisted, *file.hidden):
            counts[more.rule, more.severity] += more.count
        findings += counts
        rules.update(counts.keys())
        if file.kind != "model":
            overrides += 1
            continue
        word = "unknown" if file.verdict is None else file.verdict.converts.word
        answers[word] += 1
        if file.verdict is not None:
            if word == "no":
                kinds.add(file)
            for answer in file.verdict.runs:
                runs[answer.runtime][answer.word] += 1
        ops.add(file)
        for chip in _chips_of(file):
            _add_chip(chips.setdefault(chip.soc.name, Counter()), chip)
    return Zoo(
        version,
        answers.total(),
        answers["yes"],
        answers["no"],
        answers.total() - answers["yes"] - answers["no"],
        overrides,
        tuple(RuntimeCount(name, *(runs[name][word] for word in ("whole", "split", "no"))) for name in runs),
        tuple(kinds.counts()),
        tuple(ops.counts()),
        tuple(
            RuleInModels(*key, rules[key], findings[key])
            for key in sorted(rules, key=lambda key: (-rules[key], key[1].rank, -findings[key], key[0]))
        ),
        tuple(
            sorted(
                (ChipCount(name, *(chips[name][word] for word in _CHIP_WORDS)) for name in chips),
                key=lambda row: (-row.stopped - row.refused, -row.at_risk, -row.errors, row.soc),
            )
        ),
        tuple(notes),
    )


_CHIP_WORDS = ("models", "stopped", "refused", "at risk", "errors")


def _chips_of(file: FileOutcome) -> tuple[ChipVerdict, ...]:
    if file.chips or file.target.soc is None:
        return file.chips
    counts = {severity: file.count(severity) for severity in Severity}
    return (ChipVerdict(file.target.soc, file.verdict, counts),)


def _add_chip(row: Counter[str], chip: ChipVerdict) -> None:
    verdict = chip.verdict
    stopped = verdict is not None and verdict.converts.word == "no"
    whole = verdict is not None and any(answer.word == "whole" for answer in verdict.runs)
    row.update(
        {
            "models": 1,
            "stopped": stopped,
            "refused": verdict is not None and not stopped and not whole,
            "at risk": verdict is not None and verdict.accuracy.word == "at risk",
            "errors": chip.counts[Severity.ERROR],
        }
    )


class _Ops:
    """The ops that runtimes lack, by the matrix of runtimes, or by the subnets where runtimes were chosen."""

    def __init__(self) -> None:
        self.models: Counter[tuple[str, str]] = Counter()
        self.nodes: Counter[tuple[str, str]] = Counter()
        self.alone: Counter[tuple[str, str]] = Counter()

    def add(self, file: FileOutcome) -> None:
        """Add a model."""
        for row in () if file.support is None else file.support.rows:
            lacking: Counter[str] = Counter()
            for blocker in row.blockers:
                lacking[blocker.op] += blocker.nodes
            self._add(row.runtime.value, lacking, row.total - row.taken)
        for partition in file.partitions:
            lacking = Counter()
            for subnet in partition.subnets:
                if not subnet.on_runtime:
                    lacking.update(dict(subnet.ops))
            self._add(partition.runtime.value, lacking, lacking.total() + partition.nowhere)

    def _add(self, runtime: str, lacking: Counter[str], off: int) -> None:
        """Add ops with their nodes off a runtime, and the total number of nodes off it."""
        for op, nodes in lacking.items():
            self.models[runtime, op] += 1
            self.nodes[runtime, op] += nodes
            self.alone[runtime, op] += nodes >= off

    def counts(self) -> Iterator[OpCount]:
        """All ops, first those that keep most models off a runtime."""
        order = sorted(self.models, key=lambda key: (-self.models[key], -self.nodes[key], key))
        return (OpCount(*key, self.models[key], self.nodes[key], self.alone[key]) for key in order)
