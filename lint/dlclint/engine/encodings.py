"""Linting and fixing override files, alone or with their model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlclint.diagnostic import Severity, plain
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.edits import Fix, apply
from dlclint.encodings.effect import commands
from dlclint.encodings.reading import read_bytes, read_encodings
from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, chosen_rules
from dlclint.engine.rules import apply_rules, finish
from dlclint.outcome import FileOutcome, PrecisionRow
from dlclint.rule import EncodingsContext, Finding, Rule, Subject

if TYPE_CHECKING:
    from dlclint.analysis.precision import OpPrecision, Precision
    from dlclint.analysis.view import ModelView

LIMIT = 20
"""How many places a rule reports one by one."""
ROUNDS = 12
"""Fixes may uncover other flaws; a file that is not quiet by then is left as it was."""


def lint_encodings(job: Job) -> FileOutcome:
    """Lint one override file."""
    rules = chosen_rules(job.select, job.ignore, (ENCODINGS_GROUP,))
    shown = plain(str(job.path), 500)
    document = read_encodings(job.path)
    view, notes = _view(job)
    context = _context(job, document, view, LIMIT)
    found = apply_rules(rules, Subject.ENCODINGS, context, shown)
    if view is not None and job.names:
        from dlclint.engine.names import misfits

        found += misfits(view.model, job, shown)
    ops = context.precision.ops if context.precision is not None else []
    return finish(
        job,
        shown,
        found,
        notes=notes,
        commands=tuple(plain(line, 500) for line in commands(document, _model_name(job))),
        precision=tuple(map(_row, ops)),
    )


def _context(
    job: Job, document: EncodingsDocument, view: ModelView | None, limit: int | None
) -> EncodingsContext:
    known = None
    if view is not None and document.tensors.names:
        # Imported here because without a model there is no op to work anything out for.
        from dlclint.analysis.precision import precision_map

        known = precision_map(view, document)
    return EncodingsContext(job.path, document, view, job.target, limit, known)


def _model_name(job: Job) -> str:
    return job.model.name if job.model is not None else "MODEL"


def _view(job: Job) -> tuple[ModelView | None, tuple[str, ...]]:
    if job.model is None:
        return None, ("linted alone; with its model (--encodings) names, channels and weights are checked",)
    # Imported here because onnx takes longer to import than an override file alone takes to lint.
    from dlclint.analysis.view import ModelView
    from dlclint.model.reading import Unreadable, read

    shown = plain(str(job.model), 500)
    try:
        return ModelView(read(job.model, job.dimensions), job.target), (f"linted with {shown}",)
    except Unreadable as problem:
        return None, (f"{shown} cannot be read ({plain(problem.message)}), so the file is linted alone",)


def _row(op: OpPrecision) -> PrecisionRow:
    def text(item: Precision | None) -> str:
        return "" if item is None else str(item)

    return PrecisionRow(
        plain(op.node.op_type),
        plain(op.node.name),
        op.node.index,
        plain(op.node.graph.path),
        tuple(text(item) for item in op.inputs),
        text(op.output),
        text(op.weight),
        text(op.bias),
        text(op.bias_runs),
        text(op.runs),
        op.coverage.value,
        op.forced,
    )


@dataclass(frozen=True, slots=True)
class Fixed:
    """A repaired file: its new text, what was done (rule and title), and what could not be."""

    before: str
    after: str
    done: tuple[tuple[str, str], ...]
    left: tuple[str, ...]
    errors: int
    """How many findings of severity error are left."""


class NotConverging(Exception):
    """Fixes undo each other; the argument names the rules."""


def fix_encodings(job: Job, unsafe: bool) -> Fixed:
    """Apply the rules' fixes until none is left, each round on the file as the round before left it.

    Raises:
        NotConverging: fixes are still found after `ROUNDS` rounds, or leave no JSON.
    """
    rules = chosen_rules(job.select, job.ignore, (ENCODINGS_GROUP,))
    document = read_encodings(job.path)
    view, _ = _view(job)
    before = document.source.original
    done: list[tuple[str, str]] = []
    for _ in range(ROUNDS):
        found, failed = _findings(rules, _context(job, document, view, None))
        fixes = [(rule, fix) for rule, finding in found if (fix := _wanted(finding, unsafe)) is not None]
        text, made = apply(document, [fix for _, fix in fixes])
        if not made:
            left = dict.fromkeys(f"{rule}: {finding.message}" for rule, finding in found)
            errors = len(failed) + sum(finding.severity is Severity.ERROR for _, finding in found)
            return Fixed(before, document.source.original, tuple(done), (*failed, *left), errors)
        names = {id(fix): rule for rule, fix in fixes}
        done.extend((names[id(fix)], fix.title) for fix in made)
        mended = read_bytes(text.encode("utf-8", "surrogatepass"), job.path)
        if document.whole and not mended.whole:
            break
        document = mended
    raise NotConverging(", ".join(sorted({rule for rule, _ in fixes})))


def _wanted(finding: Finding, unsafe: bool) -> Fix | None:
    fix = finding.fix
    return fix if isinstance(fix, Fix) and (fix.safe or unsafe) else None


def _findings(
    rules: tuple[Rule, ...], context: EncodingsContext
) -> tuple[list[tuple[str, Finding]], list[str]]:
    """What the rules find, and what is to be said of those that crashed."""
    found: list[tuple[str, Finding]] = []
    failed: list[str] = []
    for rule in rules:
        try:
            found.extend((rule.id, finding) for finding in rule.check(context))
        except Exception as error:  # a rule's flaw must not cost the user the other rules
            failed.append(f"{rule.id}: the rule failed: {type(error).__name__}: {error}")
    return found, failed
