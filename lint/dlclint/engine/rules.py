"""Running rules with the only crash guard, and turning their findings into reports and fixes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from dlclint.chains import report_order
from dlclint.contained.deaths import Died
from dlclint.contained.guard import Ended
from dlclint.diagnostic import Diagnostic, FixNote, Location, Related, Safety, Severity, Source, plain
from dlclint.engine.causes import with_causes
from dlclint.engine.ignores import Ignore, apply_ignores
from dlclint.engine.job import Job
from dlclint.engine.plugins import Running, sound
from dlclint.fix import CannotFix, Fix
from dlclint.outcome import FileOutcome, Unlisted
from dlclint.own_rules import CRASHED
from dlclint.rule import Finding, Place, Rule, Subject
from dlclint_schemas.record import record

if TYPE_CHECKING:
    from dlclint.model.graph import Model, Node

_AT_ONCE = 256
"""Findings that are held before they are passed on."""
_TRIED = 1000
"""Fixes of a rule that are tried in one file: as many as findings of it are listed."""
_KEPT = 20
"""Fixes of a file that are available to its verdict."""


@record
class CollectedFinding:
    """A finding as reports see it, and the fix that it carries."""

    shown: Diagnostic
    fix: Fix | None = None


def run_rules(
    rules: Iterable[Rule], subject: Subject, context: object, file: str, model: str = ""
) -> Iterator[CollectedFinding]:
    """The findings of the rules for a subject; one that crashes becomes a finding.

    `file` is the linted file, `model` its model where that is another file.
    """
    for rule in rules:
        if rule.subject is not subject:
            continue
        running = Running(rule)
        findings: Iterator[Finding] | None = None
        collected_findings: list[CollectedFinding] = []
        more = True
        while more:
            collected_findings.clear()
            more = False
            try:
                # A file may hold numbers near the end of float64, whose products are infinite.
                with running.piece(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    findings = findings or iter(rule.check(context))
                    for unplaced in islice(findings, _AT_ONCE):
                        finding = sound(rule, unplaced)
                        shown = diagnostic(rule, finding, file, model)
                        collected_findings.append(CollectedFinding(shown, finding.fix))
                more = len(collected_findings) == _AT_ONCE
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a flaw in a rule must not cost the user the other rules
                collected_findings.append(CollectedFinding(crashed(rule.id, error, file, rule.origin)))
            yield from collected_findings


class Findings(list[Diagnostic]):
    """The findings on a file as they arrive; a rule may have more of them than are listed.

    `dropped` has the findings that are only counted, so that they need not be held. Those that stop the
    conversion at a node are always held, because the runtimes' matrix depends on them.
    """

    def __init__(self, job: Job, diagnostics: Iterable[Diagnostic] = ()) -> None:
        super().__init__()
        self._job = job
        self._seen: Counter[tuple[str, Severity]] = Counter()
        self.dropped: Counter[tuple[str, Severity, Safety | None]] = Counter()
        self.silenced = 0
        self.aside: list[Diagnostic] = []
        """The findings that an ignore silences, but that the verdict includes."""
        self.used: set[Ignore] = set()
        self.add(diagnostics)

    def add(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add findings."""
        for finding in diagnostics:
            key = (finding.rule, finding.severity)
            matching = [ignore for ignore in self._job.ignores if ignore.matches(finding)]
            self._seen[key] += not matching
            deciding = finding.severity is Severity.ERROR and finding.about.stops_conversion
            fits = self._job.listed is None or self._seen[key] <= self._job.listed
            if deciding or (fits and not matching):
                self.append(finding)
            elif matching:
                self.used.update(matching)
                self.silenced += 1
                if finding.about.answers and len(self.aside) < _TRIED:
                    self.aside.append(finding)
            else:
                self.drop(finding)

    def drop(self, dropped: Diagnostic) -> None:
        """Count a finding without holding it."""
        self.dropped[dropped.rule, dropped.severity, None if dropped.fix is None else dropped.fix.safety] += 1

    def raise_dropped(self) -> None:
        """Give the findings that are only counted the severity that the configuration sets."""
        dropped: Counter[tuple[str, Severity, Safety | None]] = Counter()
        for (rule, severity, safety), count in self.dropped.items():
            dropped[rule, severity_of(self._job, rule, severity), safety] += count
        self.dropped = dropped

    def unlisted(self) -> tuple[Unlisted, ...]:
        """The findings that are only counted, the most severe first."""
        counts: dict[tuple[str, Severity], Counter[Safety | None]] = {}
        for (rule, severity, safety), count in self.dropped.items():
            counts.setdefault((rule, severity), Counter())[safety] += count
        return tuple(
            Unlisted(rule, severity, fixes.total(), fixes[Safety.SAFE], fixes[Safety.UNSAFE])
            for (rule, severity), fixes in sorted(
                counts.items(), key=lambda count: (count[0][1].rank, count[0][0])
            )
        )


def apply_rules(
    rules: Iterable[Rule],
    subject: Subject,
    context: object,
    file: str,
    model: str = "",
    kept: list[CollectedFinding] | None = None,
) -> Iterator[Diagnostic]:
    """As `run_rules`, without the fixes; a fix that cannot be applied is not offered.

    For a rule with many findings, the results for the first fixes apply to the others. The first safe fixes
    of warnings and errors are added to `kept`.
    """
    tried: Counter[str] = Counter()
    for collected in run_rules(rules, subject, context, file, model):
        rule = collected.shown.rule
        tried[rule] += collected.fix is not None
        if collected.fix is None or tried[rule] > _TRIED:
            yield collected.shown
            continue
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                collected.fix.make()
            worth = collected.fix.safety is Safety.SAFE and collected.shown.severity is not Severity.INFO
            if kept is not None and worth and len(kept) < _KEPT:
                kept.append(collected)
            yield collected.shown
        except CannotFix:
            yield replace(collected.shown, fix=None)
        except Exception as error:  # the same guard
            yield replace(collected.shown, fix=None)
            yield crashed(rule, error, file)


def finished_outcome(
    job: Job, shown: str, findings: Findings, model: Model | None = None, **parts: object
) -> FileOutcome:
    """The outcome of a file: ignores applied, causes found, and what exceeds the limit counted."""
    kept, ignored = apply_ignores(findings, job.ignores, shown, findings.used)
    kept = [_with_severity(job, kept_finding) for kept_finding in kept]
    findings.raise_dropped()
    listed: list[Diagnostic] = []
    numbers: Counter[str] = Counter()
    for finding in sorted(kept, key=Diagnostic.sort_key):
        numbers[finding.rule] += 1
        if job.listed is None or numbers[finding.rule] <= job.listed:
            listed.append(finding)
        else:
            findings.drop(finding)
    parts["unlisted"] = findings.unlisted()
    silenced = ignored + findings.silenced
    ordered = report_order(with_causes(listed, model))
    return FileOutcome(shown, job.kind, job.target, ordered, silenced, **parts)  # type: ignore[arg-type]


def _with_severity(job: Job, finding: Diagnostic) -> Diagnostic:
    """The finding with the severity that the configuration sets; the id takes precedence over the family."""
    severity = severity_of(job, finding.rule, finding.severity)
    return finding if severity is finding.severity else replace(finding, severity=severity)


def severity_of(job: Job, rule: str, own: Severity) -> Severity:
    """The severity that the configuration sets for a rule's findings."""
    severities = dict(job.severities) if job.severities else {}
    return severities.get(rule) or severities.get(rule.partition("/")[0]) or own


def crashed(step: str, error: BaseException, file: str, origin: str = "") -> Diagnostic:
    """The finding for a step that failed, such as a rule, by its id and its plugin."""
    is_rule = "/" in step
    ended = isinstance(error, (Died, Ended))
    how = f"the process {error}" if ended else f"{type(error).__name__}: {error}"
    named = f"{'rule ' * is_rule}{step}"
    if origin:
        named = f"{named} of plugin {origin}"
    makers = plain(origin) or "dlclint, with the file if you may"
    return Diagnostic(
        CRASHED,
        Severity.ERROR,
        plain(f"{named} failed: {how}"),
        Location(file),
        help=f"report it to the makers of {makers}{f'; until then --ignore {step}' if is_rule else ''}",
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return plain(value) if isinstance(value, str) else value


def diagnostic(rule: Rule, finding: Finding, file: str, model: str = "") -> Diagnostic:
    """A finding as reports see it, with its location and sanitized texts; its nodes are those of `model`."""
    if finding.node is not None:
        location = node_place(file, finding.node, finding.tensor)
    else:
        graph = finding.graph
        location = Location(
            file, plain(graph.path) if graph is not None else "", tensor=plain(finding.tensor)
        )
    if finding.pointer is not None or finding.line is not None:
        location = replace(location, pointer=finding.pointer, line=finding.line, column=finding.column)
    return Diagnostic(
        rule.id,
        finding.severity,
        plain(finding.message, 400),
        location,
        finding.confidence,
        # A row may be the name of an op, which is the model's where the op is unknown.
        finding.source and Source(plain(finding.source.document, 400), plain(finding.source.row, 400)),
        plain(finding.help, 400),
        {key: _plain(value) for key, value in finding.evidence.items()},
        None if finding.fix is None else FixNote(plain(finding.fix.title, 400), finding.fix.safety),
        rule.about,
        related=tuple(_related(other, file, model or file) for other in finding.related),
        follows=rule.follows,
    )


def _related(other: Place, file: str, model: str) -> Related:
    """Another place of a finding: an entry is in the linted file, a node or tensor in the model."""
    if other.pointer is not None:
        location = Location(
            file,
            tensor=plain(other.tensor),
            pointer=other.pointer,
            line=other.line,
            column=other.column,
        )
    elif other.node is not None:
        location = node_place(model, other.node, other.tensor)
    else:
        location = Location(
            model, "" if other.graph is None else plain(other.graph.path), tensor=plain(other.tensor)
        )
    return Related(plain(other.description, 400), location, other.holds)


def node_place(file: str, node: Node, tensor: str = "") -> Location:
    """The location of a node, or of a tensor that it reads or produces."""
    tensor = tensor or next(filter(None, node.outputs), "")
    return Location(
        file, plain(node.graph.path), plain(node.name), node.index, plain(node.op_type), plain(tensor)
    )
