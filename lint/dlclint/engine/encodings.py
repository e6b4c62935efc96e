"""Linting override files, alone or with their model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dlclint.diagnostic import Diagnostic, Related, plain
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.effect import tool_commands
from dlclint.encodings.reading import read_encodings
from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, chosen_rules
from dlclint.engine.rules import Findings, apply_rules, crashed, finished_outcome, node_place
from dlclint.outcome import FileOutcome, PrecisionRow
from dlclint.rule import EncodingsContext, Subject

if TYPE_CHECKING:
    from dlclint.analysis.precision import OpPrecision, Precision
    from dlclint.analysis.qdq.encodings import CarriedEncodings
    from dlclint.analysis.view import ModelView

LIMIT = 20
"""How many places a rule reports individually."""


def lint_encodings(job: Job) -> FileOutcome:
    """Lint one override file."""
    document = read_encodings(job.path)
    view, notes = view_of(job)
    if not job.others:
        return _lint_for(job, document, view, notes)
    # Imported here because most runs are about one chip.
    from dlclint.engine.several import merged_outcome

    outcomes = [
        _lint_for(one, document, view if view is None else view.aimed(one.target), notes)
        for one in job.for_each()
    ]
    return merged_outcome(job, outcomes, "")


def _lint_for(
    job: Job, document: EncodingsDocument, view: ModelView | None, notes: tuple[str, ...]
) -> FileOutcome:
    """Lint an override file that was read, for one chip."""
    rules = chosen_rules(job.select, job.ignore, (ENCODINGS_GROUP,))
    shown = job.shown
    context = context_of(job, document, view, LIMIT)
    model = "" if job.model is None else plain(str(job.model), 500)
    said = apply_rules(rules, Subject.ENCODINGS, context, shown, model)
    findings = Findings(job, _with_nodes(said, model, view))
    if view is not None and job.names:
        # Imported here because inputs and symbols are seldom given by name.
        from dlclint.engine.names import misfits

        findings.add(misfits(view.model, job, shown))
    ops = context.precision.ops if context.precision is not None else []
    read: tuple[str, ...] | None = ()
    if view is not None:
        # Imported here because an override file alone needs no onnx.
        from dlclint.model.external import files_read

        read = files_read(view.model)
    return finished_outcome(
        job,
        shown,
        findings,
        None if view is None else view.model,
        notes=notes,
        commands=tuple(plain(line, 500) for line in tool_commands(document, _model_name(job))),
        precision=tuple(map(_row, ops)),
        read=read,
    )


def _with_nodes(findings: Iterable[Diagnostic], model: str, view: ModelView | None) -> Iterator[Diagnostic]:
    """The findings on an override file, with the node of the model that each one's tensor belongs to."""
    for finding in findings:
        tensor, graph = finding.location.tensor, None if view is None else view.model.graph
        if graph is None or not tensor:
            yield finding
            continue
        maker, readers = graph.producer(tensor), graph.consumers(tensor)
        node = maker if maker is not None else next(iter(readers), None)
        if node is None:
            yield finding
            continue
        own = Related(
            "makes it" if maker is not None else "reads it", node_place(model, node, tensor), holds=True
        )
        # It is the location of the finding itself, in the other file.
        others = (other for other in finding.related if other.location != own.location)
        yield replace(finding, related=(own, *others))


def lint_carried(job: Job, view: ModelView, carried: CarriedEncodings) -> list[Diagnostic]:
    """Lint the encodings in a model's QuantizeLinear and DequantizeLinear nodes like those of a file."""
    shown = job.shown
    rules = chosen_rules(job.select, job.ignore, (ENCODINGS_GROUP,))
    try:
        context = context_of(job, carried.document, view.as_float, LIMIT)
    except Exception as error:  # a hostile model must not cost its other findings
        return [crashed("what each op runs in", error, shown)]
    context = replace(context, nodes=carried.nodes)
    return list(apply_rules(rules, Subject.ENCODINGS, context, shown))


def lint_overrides(job: Job, view: ModelView) -> list[Diagnostic]:
    """Lint the override file of a model that is read already."""
    rules = chosen_rules(job.select, job.ignore, (ENCODINGS_GROUP,))
    context = context_of(job, read_encodings(job.path), view, LIMIT)
    return list(apply_rules(rules, Subject.ENCODINGS, context, job.shown))


def context_of(
    job: Job, document: EncodingsDocument, view: ModelView | None, limit: int | None
) -> EncodingsContext:
    known = None
    if view is not None and document.tensors.names:
        # Imported here because without a model no op has properties to compute.
        from dlclint.analysis.precision import precision_map

        known = precision_map(view, document)
    return EncodingsContext(job.path, document, view, job.target, limit, known)


def _model_name(job: Job) -> str:
    return job.model.name if job.model is not None else "MODEL"


def view_of(job: Job) -> tuple[ModelView | None, tuple[str, ...]]:
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
    def text(precision: Precision | None) -> str:
        return "" if precision is None else str(precision)

    return PrecisionRow(
        plain(op.node.op_type),
        plain(op.node.name),
        op.node.index,
        plain(op.node.graph.path),
        tuple(text(precision) for precision in op.inputs),
        text(op.output),
        text(op.weight),
        text(op.bias),
        text(op.bias_runs),
        text(op.runs),
        op.coverage.value,
        op.forced,
    )
