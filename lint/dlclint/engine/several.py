"""One file checked for several chips: findings for all chips once, the others with their chips' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dlclint.chains import report_order
from dlclint.diagnostic import Diagnostic, Severity, first_few
from dlclint.engine.job import Job
from dlclint.outcome import Answer, ChipVerdict, FileOutcome, ModelVerdict, Unlisted
from dlclint.target import Target

_WORST = ("no", "at risk", "unknown", "yes")
_NAMED = 4
"""Chips that a message names; further ones are only counted."""


def merged_outcome(job: Job, outcomes: Sequence[FileOutcome], judged_for: str) -> FileOutcome:
    """The outcomes of one file for each of the job's chips as one; `judged_for` names them all."""
    first = outcomes[0]
    targets = (job.target, *job.others)
    return replace(
        first,
        diagnostics=_findings(targets, outcomes),
        ignored=max(outcome.ignored for outcome in outcomes),
        notes=tuple(dict.fromkeys(note for outcome in outcomes for note in outcome.notes)),
        support=None,
        partitions=(),
        unlisted=_unlisted(outcomes),
        verdict=_verdict(outcomes, judged_for),
        chips=tuple(_chip(target, outcome) for target, outcome in zip(targets, outcomes, strict=True)),
    )


def _findings(targets: Sequence[Target], outcomes: Sequence[FileOutcome]) -> tuple[Diagnostic, ...]:
    """Every finding once, with the chips that it applies to where these are not all."""
    findings: dict[tuple[object, ...], list[Diagnostic]] = {}
    where: dict[tuple[object, ...], list[str]] = {}
    for target, outcome in zip(targets, outcomes, strict=True):
        for finding in outcome.diagnostics:
            key = (finding.rule, finding.severity, finding.message, finding.location, finding.help)
            findings.setdefault(key, []).append(finding)
            chips = where.setdefault(key, [])
            if _name(target) not in chips:
                chips.append(_name(target))
    diagnostics: list[Diagnostic] = []
    for same, items in findings.items():
        chips, every = where[same], len(where[same]) == len(targets)
        # A model may have the same finding twice; it is listed as often as for the chip that has it most.
        times = -(-len(items) // len(chips))
        finding = items[0]
        if not every:
            message = f"{finding.message} (only on {first_few(chips, len(chips), _NAMED)})"
            finding = replace(finding, message=message, socs=tuple(chips))
        diagnostics += [finding] * times
    return report_order(diagnostics)


def _name(target: Target) -> str:
    return "" if target.soc is None else target.soc.name


def _unlisted(outcomes: Sequence[FileOutcome]) -> tuple[Unlisted, ...]:
    """The findings that are only counted: by rule and severity, the most that a chip has."""
    most: dict[tuple[str, Severity], Unlisted] = {}
    for outcome in outcomes:
        for unlisted in outcome.unlisted:
            known = most.get((unlisted.rule, unlisted.severity))
            if known is None or known.count < unlisted.count:
                most[unlisted.rule, unlisted.severity] = unlisted
    return tuple(sorted(most.values(), key=lambda finding: (finding.severity.rank, finding.rule)))


def _verdict(outcomes: Sequence[FileOutcome], judged_for: str) -> ModelVerdict | None:
    """The worst of the chips' answers."""
    verdicts = [outcome.verdict for outcome in outcomes if outcome.verdict is not None]
    if not verdicts:
        return None
    return ModelVerdict(
        judged_for,
        _worst([verdict.converts for verdict in verdicts]),
        (),
        _worst([verdict.accuracy for verdict in verdicts]),
        verdicts[0].next,
    )


def _worst(answers: Sequence[Answer]) -> Answer:
    """The worst answer; of equal words, one that a rule determines."""
    return min(answers, key=lambda answer: (_WORST.index(answer.word), not answer.rule))


def _chip(target: Target, outcome: FileOutcome) -> ChipVerdict:
    assert target.soc is not None
    return ChipVerdict(
        target.soc,
        outcome.verdict,
        {severity: outcome.count(severity) for severity in Severity},
    )
