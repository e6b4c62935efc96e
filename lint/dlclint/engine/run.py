"""Lint files: read, analyse, run the rules, sort; one file's failure never stops another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from pathlib import Path

from dlclint.diagnostic import Diagnostic, FixNote, Location, Severity, plain
from dlclint.engine.ignores import Ignore, apply_ignores
from dlclint.model.dimensions import Dimensions
from dlclint.outcome import FileOutcome
from dlclint.rule import Finding, Rule, Subject
from dlclint.target import Target
from dlclint_schemas.record import record

CRASHED = "engine/crashed-rule"
UNKNOWN_NAME = "config/unknown-name"
OTHER_RANK = "config/other-rank"


@record
class Named:
    """A name of an input or symbol that was said on the command line or in a section of the configuration."""

    option: str
    """By the command line's spelling, such as `--input-dim`."""
    name: str
    section: str = ""
    """The section's path glob; "" for the command line."""


@record
class Job:
    """One file and what it is linted for.

    `model` goes with an override file (`kind` encodings) where it is known. `names` are to be names of
    the model; empty for an override file whose model is linted too, which is told of them.
    """

    path: Path
    target: Target = field(default_factory=Target)
    dimensions: Dimensions = field(default_factory=Dimensions)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    kind: str = "model"
    model: Path | None = None
    names: tuple[Named, ...] = ()


class WorkerKilled(Exception):
    """A worker process ended without a result, as the system does when memory runs out."""


def run(jobs: Sequence[Job], workers: int) -> Iterator[FileOutcome]:
    """Lint every job, yielding in order; in processes if there are several jobs and workers.

    Raises:
        WorkerKilled: see the class.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        yield from map(lint, jobs)
        return
    # Imported here because multiprocessing costs more than linting a small model does.
    from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor

    try:
        with ProcessPoolExecutor(workers) as pool:
            yield from pool.map(lint, jobs)
    except BrokenProcessPool:
        raise WorkerKilled from None


def lint(job: Job) -> FileOutcome:
    """Lint one model or override file."""
    if job.kind == "encodings":
        # Imported here because numpy and the reader are needed for override files only.
        from dlclint.engine.encodings import lint_encodings

        return lint_encodings(job)
    # Imported here because onnx, which takes longest to import, is needed for models only.
    from dlclint.engine.models import lint_model

    return lint_model(job)


def finish(job: Job, shown: str, found: list[Diagnostic], **parts: object) -> FileOutcome:
    """The outcome of a file: ignores applied, findings sorted."""
    kept, ignored = apply_ignores(found, job.ignores, shown)
    ordered = tuple(sorted(kept, key=Diagnostic.sort_key))
    return FileOutcome(shown, job.kind, job.target, ordered, ignored, **parts)  # type: ignore[arg-type]


def apply_rules(rules: Iterable[Rule], subject: Subject, context: object, file: str) -> list[Diagnostic]:
    """The findings of the rules for a subject; one that crashes becomes a finding."""
    found: list[Diagnostic] = []
    for rule in rules:
        if rule.subject is not subject:
            continue
        try:
            found.extend(diagnostic(rule.id, finding, file) for finding in rule.check(context))
        except Exception as error:  # a rule's flaw must not cost the user the other rules
            found.append(crashed(rule.id, error, file))
    return found


def crashed(what: str, error: Exception, file: str) -> Diagnostic:
    """The finding that stands for a rule (by its id) or another step that failed."""
    is_rule = "/" in what
    return Diagnostic(
        CRASHED,
        Severity.ERROR,
        plain(f"{'rule ' * is_rule}{what} failed: {type(error).__name__}: {error}"),
        Location(file),
        help="report it to the makers of "
        + (f"the rule; until then --ignore {what}" if is_rule else "dlclint, with the file if you may"),
    )


def diagnostic(id: str, finding: Finding, file: str) -> Diagnostic:
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
        id,
        finding.severity,
        plain(finding.message, 400),
        location,
        finding.confidence,
        finding.source,
        plain(finding.help, 400),
        {key: plain(value) if isinstance(value, str) else value for key, value in finding.evidence.items()},
        None if finding.fix is None else FixNote(plain(finding.fix.title, 400), finding.fix.safety),
    )
