"""Rounds: the fixes that findings carry, applied until none is left, for either kind of file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dlclint.diagnostic import Safety, Severity, plain
from dlclint.engine.job import Job
from dlclint.engine.rules import CollectedFinding, run_rules
from dlclint.fix import CannotFix, Fix
from dlclint.outcome import AppliedFix, FixOutcome, LeftFinding
from dlclint.rule import Rule, Subject
from dlclint_schemas.record import record

ROUNDS = 40
"""Fixes can cause other findings; a file that still has fixes after so many rounds stays as it was."""
_SAME_AGAIN = 3
"""A fix that is applied in so many rounds at the same place does not fix its finding."""
_FAILED_ATTEMPTS = 60
"""After so many attempts whose result is not sound, fixes that cannot be applied together are left out.

Each attempt costs as much as reading the model, and finding one bad fix among n takes log2(n) of them.
"""


@record
class FixRequest:
    """What to do with a fixed file, and how far fixes may go."""

    output: Path | None = None
    """Where to write it; None: nowhere."""
    unsafe: bool = False
    verify: bool | None = None
    """Whether a model is run to compare; None: where ONNX Runtime is installed."""


class NotFixed(Exception):
    """The file cannot be fixed, or not as requested; the argument is one sentence for the user."""


class Attempt(NamedTuple):
    """A file with fixes applied, and the numbers of those applied.

    The other fixes conflict with an applied one: `met` has the number of the fix that each conflicts with,
    where known.
    """

    state: Any
    applied: Sequence[int]
    met: Mapping[int, int] = {}


class Fixable(Protocol):
    """A file that is linted, changed, and linted again."""

    job: Job

    def lint(self, fixable: bool) -> list[CollectedFinding]:
        """The current findings; with `fixable`, findings that can carry no fix may be left out."""

    def attempt(self, fixes: Sequence[Sequence[Any]]) -> Attempt:
        """Apply fixes, which come from findings on the current file, to a copy of it."""

    def problem(self, state: Any) -> str:
        """A problem with the file of an attempt that the source does not have, or ""."""

    def take(self, state: Any) -> None:
        """Continue with the file of an attempt."""

    def text(self) -> str:
        """The current text of the file, for `--diff`."""

    def shown(self, edit: Any) -> dict[str, Any]:
        """An edit as plain data."""


def findings(job: Job, rules: Sequence[Rule], subject: Subject, context: object) -> list[CollectedFinding]:
    """What rules find in the file of a job, without what its configuration ignores."""
    return [
        collected
        for collected in run_rules(rules, subject, context, job.shown)
        if not any(ignore.matches(collected.shown) for ignore in job.ignores)
    ]


_Key = tuple[object, ...]
_Chosen = list[tuple[CollectedFinding, Fix, tuple[Any, ...]]]


def _key(collected: CollectedFinding) -> _Key:
    """The key of a flaw at a place, the same in every round."""
    finding, location = collected.shown, collected.shown.location
    at = (location.graph, location.tensor, location.node, location.pointer, location.line, location.column)
    return (finding.rule, *at, finding.message)


class Rounds:
    """The state of the rounds on one file."""

    def __init__(self, file: Fixable, unsafe: bool) -> None:
        self.file = file
        self.wanted = (Safety.SAFE, Safety.UNSAFE) if unsafe else (Safety.SAFE,)
        self.applied: list[AppliedFix] = []
        self.refused: dict[_Key, str] = {}
        self.times: dict[_Key, int] = {}
        self.failed_attempts = 0
        self.first = file.lint(fixable=False)
        self.text_before = file.text()

    def run(self) -> None:
        """Apply fixes round by round until none is left.

        Raises:
            NotFixed: fixes still cause others after `ROUNDS` rounds.
        """
        collected_findings = self.file.lint(fixable=True) if self.applied else self.first
        for _ in range(ROUNDS):
            if not self._round(collected_findings):
                return
            collected_findings = self.file.lint(fixable=True)
        raise NotFixed("fixes still uncover others; fix it rule by rule with --select")

    def outcome(self, notes: Sequence[str] = ()) -> FixOutcome:
        """The outcome of the rounds."""
        last = self.file.lint(fixable=False) if self.applied else self.first
        possible: list[LeftFinding] = []
        left: list[LeftFinding] = []
        for collected in last:
            reason = self.refused.get(_key(collected), "")
            fix = collected.fix
            waiting = fix is not None and fix.safety is Safety.UNSAFE and not reason
            waiting = waiting and Safety.UNSAFE not in self.wanted
            (possible if waiting else left).append(_left(collected, reason))
        return FixOutcome(
            plain(str(self.file.job.path), 500),
            self.file.job.kind,
            tuple(self.applied),
            tuple(possible),
            tuple(left),
            _count(self.first),
            _count(last),
            self.text_before,
            self.file.text(),
            tuple(map(plain, notes)),
        )

    def _round(self, collected_findings: Sequence[CollectedFinding]) -> bool:
        """Apply what can be applied at once; False if that is nothing. Safe fixes come first."""
        chosen: _Chosen = []
        for safety in self.wanted:
            for collected in collected_findings:
                if (
                    collected.fix is None
                    or collected.fix.safety is not safety
                    or _key(collected) in self.refused
                ):
                    continue
                try:
                    edits = collected.fix.make()
                except CannotFix as reason:
                    self.refused[_key(collected)] = plain(str(reason), 400)
                    continue
                if edits:
                    chosen.append((collected, collected.fix, edits))
        if Safety.UNSAFE in self.wanted:
            chosen = self._without_conflicts(chosen)
        return bool(chosen) and self._make(chosen)

    def _without_conflicts(self, chosen: _Chosen) -> _Chosen:
        """The choice without unsafe fixes that change what a fix of another rule changes in another way.

        Safe fixes that conflict keep the function whichever comes first, so one of them waits for the next
        round.
        """
        clashing = set()
        for number, other in self.file.attempt([edits for _, _, edits in chosen]).met.items():
            if chosen[number][0].shown.rule == chosen[other][0].shown.rule:
                continue
            for one, against in ((number, other), (other, number)):
                collected, fix, _ = chosen[one]
                if fix.safety is Safety.UNSAFE:
                    clashing.add(one)
                    rival, rival_fix, _ = chosen[against]
                    self.refused[_key(collected)] = (
                        f"it conflicts with the fix of {rival.shown.rule} ({plain(rival_fix.title)}); "
                        "choose one with --select or --ignore"
                    )
        return [candidate for number, candidate in enumerate(chosen) if number not in clashing]

    def _make(self, chosen: _Chosen) -> bool:
        """Apply fixes together; where the result is not sound, find the one that causes it.

        Returns whether anything was applied or refused.
        """
        # Findings that one change fixes share its edits, which are tried once.
        distinct = {id(edits): edits for _, _, edits in chosen}
        keys = list(distinct)
        attempt = self.file.attempt(list(distinct.values()))
        problem = self.file.problem(attempt.state) if attempt.applied else ""
        if problem:
            self.failed_attempts += 1
            if len(distinct) > 1 and self.failed_attempts < _FAILED_ATTEMPTS:
                # Edits name places of the file as it was, so the other half waits for the next round.
                half = set(keys[: len(keys) // 2])
                return self._make([each for each in chosen if id(each[2]) in half])
            together = f", together with {len(distinct) - 1} others" if len(distinct) > 1 else ""
            for collected, _, _ in chosen:
                self.refused[_key(collected)] = f"its result would not be sound{together}: {problem}"
            return True
        applied_keys = {keys[number] for number in attempt.applied}
        applied = [each for each in chosen if id(each[2]) in applied_keys]
        for collected, fix, edits in applied:
            shown = tuple(map(self.file.shown, edits))
            rule, location = collected.shown.rule, collected.shown.location
            self.applied.append(AppliedFix(rule, plain(fix.title, 400), fix.safety, location, shown))
        if applied:
            self.file.take(attempt.state)
        for key in {_key(finding) for finding, _, _ in applied}:
            self.times[key] = self.times.get(key, 0) + 1
            if self.times[key] >= _SAME_AGAIN:
                self.refused[key] = f"it was made {_SAME_AGAIN} times and the finding remains"
        return bool(applied)


def _left(collected: CollectedFinding, reason: str) -> LeftFinding:
    finding, fix = collected.shown, collected.fix
    title, safety = ("", None) if fix is None else (plain(fix.title, 400), fix.safety)
    return LeftFinding(
        finding.rule, finding.severity, finding.message, finding.location, title, safety, reason
    )


def _count(collected_findings: Sequence[CollectedFinding]) -> dict[Severity, int]:
    return {
        severity: sum(collected.shown.severity is severity for collected in collected_findings)
        for severity in Severity
    }
