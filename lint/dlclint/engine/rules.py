"""Running rules behind the one guard, and what their findings become for reports and fixes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dlclint.contained.deaths import Died
from dlclint.contained.guard import Ended, step
from dlclint.diagnostic import Diagnostic, FixNote, Location, Severity, plain
from dlclint.engine.ignores import apply_ignores
from dlclint.engine.job import Job
from dlclint.fix import CannotFix, Fix
from dlclint.outcome import FileOutcome
from dlclint.own_rules import CRASHED
from dlclint.rule import Finding, Rule, Subject
from dlclint_schemas.record import record


@record
class Found:
    """A finding as reports see it, and the fix that it carries."""

    shown: Diagnostic
    fix: Fix | None = None


def run_rules(rules: Iterable[Rule], subject: Subject, context: object, file: str) -> Iterator[Found]:
    """The findings of the rules for a subject; one that crashes becomes a finding."""
    for rule in rules:
        if rule.subject is not subject:
            continue
        found: list[Found] = []
        try:
            with step("rule", rule.id):
                for finding in rule.check(context):
                    found.append(Found(diagnostic(rule, finding, file), finding.fix))
        except Exception as error:  # a rule's flaw must not cost the user the other rules
            found.append(Found(crashed(rule.id, error, file)))
        yield from found


def apply_rules(rules: Iterable[Rule], subject: Subject, context: object, file: str) -> list[Diagnostic]:
    """As `run_rules`, without the fixes; one that could not be made is not offered."""
    shown: list[Diagnostic] = []
    for found in run_rules(rules, subject, context, file):
        try:
            if found.fix is not None:
                found.fix.make()
            shown.append(found.shown)
        except CannotFix:
            shown.append(replace(found.shown, fix=None))
        except Exception as error:  # as above
            shown += [replace(found.shown, fix=None), crashed(found.shown.rule, error, file)]
    return shown


def finish(job: Job, shown: str, found: list[Diagnostic], **parts: object) -> FileOutcome:
    """The outcome of a file: ignores applied, findings sorted."""
    kept, ignored = apply_ignores(found, job.ignores, shown)
    ordered = tuple(sorted(kept, key=Diagnostic.sort_key))
    return FileOutcome(shown, job.kind, job.target, ordered, ignored, **parts)  # type: ignore[arg-type]


def crashed(what: str, error: Exception, file: str) -> Diagnostic:
    """The finding that stands for a rule (by its id) or another step that failed."""
    is_rule = "/" in what
    ended = isinstance(error, (Died, Ended))
    how = f"the process {error}" if ended else f"{type(error).__name__}: {error}"
    return Diagnostic(
        CRASHED,
        Severity.ERROR,
        plain(f"{'rule ' * is_rule}{what} failed: {how}"),
        Location(file),
        help="report it to the makers of "
        + (f"the rule; until then --ignore {what}" if is_rule else "dlclint, with the file if you may"),
    )


def diagnostic(rule: Rule, finding: Finding, file: str) -> Diagnostic:
    """A finding as reports see it: located, and its texts sanitised."""
    node = finding.node
    graph = node.graph if node is not None else finding.graph
    tensor = finding.tensor or (next(filter(None, node.outputs), "") if node is not None else "")
    location = Location(
        file,
        plain(graph.path) if graph is not None else "",
        plain(node.name) if node is not None else "",
        node.index if node is not None else None,
        plain(node.op_type) if node is not None else "",
        plain(tensor),
        finding.pointer,
        finding.line,
        finding.column,
    )
    return Diagnostic(
        rule.id,
        finding.severity,
        plain(finding.message, 400),
        location,
        finding.confidence,
        finding.source,
        plain(finding.help, 400),
        {key: plain(value) if isinstance(value, str) else value for key, value in finding.evidence.items()},
        None if finding.fix is None else FixNote(plain(finding.fix.title, 400), finding.fix.safety),
        rule.about,
    )
