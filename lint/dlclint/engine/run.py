"""Lint files: read, analyse, run the rules, sort; one file's failure never stops another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from pathlib import Path

from dlclint.analysis.view import ModelView
from dlclint.diagnostic import Diagnostic, FixNote, Location, Severity, plain
from dlclint.engine.ignores import Ignore, apply_ignores
from dlclint.engine.registry import chosen_rules
from dlclint.model.dimensions import Dimensions
from dlclint.model.reading import Unreadable, read
from dlclint.outcome import FileOutcome, ModelSummary
from dlclint.rule import FileContext, Finding, ModelContext, Rule, Subject
from dlclint.target import Runtime, Target
from dlclint_schemas.layers import layer_table
from dlclint_schemas.record import record

CRASHED = "engine/crashed-rule"


@record
class Job:
    """One file and what it is linted for.

    `model` goes with an override file (`kind` encodings) where it is known.
    """

    path: Path
    target: Target = field(default_factory=Target)
    dimensions: Dimensions = field(default_factory=Dimensions)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    kind: str = "model"
    model: Path | None = None


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
    rules = chosen_rules(job.select, job.ignore)
    shown = plain(str(job.path), 500)
    try:
        model = read(job.path, job.dimensions)
    except Unreadable as problem:
        context = FileContext(job.path, problem)
        found = apply_rules(rules, Subject.FILE, context, shown)
        return finish(job, shown, found)
    except Exception as error:  # whatever a hostile file does to the parsers, the other files go on
        return finish(job, shown, [crashed("reading the model", error, shown)])
    view = ModelView(model, job.target)
    found = apply_rules(rules, Subject.MODEL, ModelContext(job.path, view, job.target), shown)
    try:
        parts = _overview(view)
    except Exception as error:
        found.append(crashed("the summary", error, shown))
        parts = {}
    return finish(job, shown, found, **parts)


def _overview(view: ModelView) -> dict[str, object]:
    """What a report says of a model besides the findings."""
    target, model = view.target, view.model
    summary = ModelSummary(
        view.node_count,
        view.folded_count,
        view.weight_bytes,
        {plain(domain): version for domain, version in view.opsets.items()},
        tuple(plain(text) for text in view.input_texts),
        view.newest_listed_opset,
    )
    return {
        "notes": tuple(plain(note, 400) for note in (*model.notes, *_fallback(view))),
        "summary": summary,
        "support": None if target.runtimes else view.support_matrix(),
        "partitions": tuple(view.partition(r) for r in target.chosen if r is not Runtime.CPU),
    }


def _fallback(view: ModelView) -> Iterator[str]:
    """What the chosen SDK's tables lack, where they are known in part only."""
    table = view.table
    if not table.fallback_rows:
        return
    missing = sorted({node.op_type for node in view.nodes() if not node.domain} & table.fallback_rows)
    shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
    documents = ", ".join(dict.fromkeys(table.rows[op].document for op in missing))
    rows = f"; the rows of {shown} are those of {documents}" * bool(missing)
    yield f"{view.target.sdk} is known in part: layers by runtime are those of {layer_table().document}{rows}"


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
