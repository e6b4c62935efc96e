"""Linting models: read, analyze, run the rules, and summarize."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dlclint.analysis.releases import needs
from dlclint.analysis.view import ModelView
from dlclint.contained.guard import step
from dlclint.diagnostic import Diagnostic, Safety, Severity, plain
from dlclint.engine.causes import with_causes
from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, chosen_rules
from dlclint.engine.rules import CollectedFinding, Findings, apply_rules, crashed, finished_outcome
from dlclint.engine.suppressions import carried_ignores
from dlclint.engine.verdict import judged_for, model_verdict, unreadable
from dlclint.model.external import files_read
from dlclint.model.reading import Unreadable, read
from dlclint.outcome import FileOutcome, ModelSummary
from dlclint.rule import FileContext, ModelContext, Rule, Subject
from dlclint.target import Runtime

READING = "reading the model"
SUMMARY = "the summary"


def lint_model(job: Job) -> FileOutcome:
    """Lint one model."""
    rules = chosen_rules(job.select, job.ignore)
    shown = job.shown
    try:
        with step(READING):
            model = read(job.path, job.dimensions)
    except Unreadable as problem:
        return refused_outcome(job, problem)
    except Exception as error:  # a hostile file must not stop the other files
        return finished_outcome(job, shown, Findings(job, [crashed(READING, error, shown)]))
    carried = carried_ignores(model, shown)
    job = replace(job, ignores=(*job.ignores, *carried.ignores))
    view = ModelView(model, job.target, job.overrides)
    if not job.others:
        outcome = _lint_for(job, view, rules, carried.flaws)
        return _drawn(job, [view], replace(outcome, read=files_read(model)))
    # Imported here because most runs are about one chip.
    from dlclint.engine.several import merged_outcome

    views = [view.aimed(one.target) for one in job.for_each()]
    outcomes = [
        _lint_for(one, aimed, rules, carried.flaws) for one, aimed in zip(job.for_each(), views, strict=True)
    ]
    whole = merged_outcome(job, outcomes, judged_for((job.target, *job.others), view))
    return _drawn(job, views, replace(whole, read=files_read(model)))


def _drawn(job: Job, views: Sequence[ModelView], outcome: FileOutcome) -> FileOutcome:
    """The outcome with the model's drawing, where a report shows it."""
    if not job.drawn:
        return outcome
    # Imported here because most reports draw nothing.
    from dlclint.engine.drawing import drawing

    return replace(outcome, drawing=drawing(views, outcome.diagnostics))


def _lint_for(
    job: Job, view: ModelView, rules: tuple[Rule, ...], flaws: tuple[Diagnostic, ...]
) -> FileOutcome:
    """Lint a model that was read, for one chip."""
    shown = job.shown
    model = view.model
    context = ModelContext(job.path, view, job.target)
    fixes: list[CollectedFinding] = []
    findings = Findings(job, apply_rules(rules, Subject.MODEL, context, shown, kept=fixes))
    findings.add(_of_carried(job, view, shown))
    findings.add(flaws)
    if job.names:
        # Imported here because inputs and symbols are seldom given by name.
        from dlclint.engine.names import misfits

        findings.add(misfits(model, job, shown))
    try:
        with step(SUMMARY):
            whole = with_causes([*findings, *findings.aside, *_hidden(job, view, rules, fixes)], model)
            parts = _overview(job, view, _refusals(whole))
            parts["verdict"] = model_verdict(view, job, whole, parts["support"], fixes)
    except Exception as error:
        findings.add([crashed(SUMMARY, error, shown)])
        parts = {}
    return finished_outcome(job, shown, findings, model, **parts)


def refused_outcome(job: Job, problem: Unreadable) -> FileOutcome:
    """The outcome of a file that cannot be read."""
    file = FileContext(job.path, problem)
    said = Findings(job, apply_rules(chosen_rules(job.select, job.ignore), Subject.FILE, file, job.shown))
    every = list(apply_rules(chosen_rules((), ()), Subject.FILE, file, job.shown))
    return finished_outcome(job, job.shown, said, verdict=unreadable(job.target, every))


def _of_carried(job: Job, view: ModelView, shown: str) -> list[Diagnostic]:
    """The findings on the encodings that a model carries in QuantizeLinear and DequantizeLinear nodes."""
    if job.target.kind.is_float:
        return []  # a float DLC has no encodings
    try:
        carried = view.carried
    except Exception as error:
        return [crashed("taking the quantization out of the model", error, shown)]
    if carried is None or not carried.nodes:
        return []
    # Imported here because few models are quantized.
    from dlclint.engine.encodings import lint_carried

    return lint_carried(job, view, carried)


def _hidden(
    job: Job, view: ModelView, shown_rules: tuple[Rule, ...], fixes: list[CollectedFinding]
) -> list[Diagnostic]:
    """Findings that are not shown but still count: verdict and matrix do not depend on what is shown.

    Neither do the commands that the verdict suggests, so rules with a safe fix are run as well; their fixes
    are added to `fixes`.
    """
    shown = job.shown
    ids = {rule.id for rule in shown_rules}  # comparing rules would compare their documentation
    rules = [
        rule
        for rule in chosen_rules((), ())
        if (rule.about.answers or Safety.SAFE in rule.fix) and rule.id not in ids
    ]
    context = ModelContext(job.path, view, job.target)
    findings = list(apply_rules(rules, Subject.MODEL, context, shown, kept=fixes))
    if job.select or job.ignore:
        told = {rule.id for rule in chosen_rules(job.select, job.ignore, (ENCODINGS_GROUP,))}
        carried = _of_carried(replace(job, select=(), ignore=()), view, shown)
        findings += [finding for finding in carried if finding.rule not in told]
    return findings


def _refusals(findings: Iterable[Diagnostic]) -> dict[tuple[str, int], str]:
    """The nodes that the converter stops at, whatever the runtime: graph and index, and the rule."""
    return {
        (finding.location.graph, finding.location.node_index): finding.rule
        for finding in findings
        if finding.severity is Severity.ERROR
        and finding.about.stops_conversion
        and finding.location.node_index is not None
    }


def _overview(job: Job, view: ModelView, refusals: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    """What a report states about a model in addition to the findings, consistent with them."""
    target, model = view.target, view.model
    summary = ModelSummary(
        view.node_count,
        view.folded_count,
        view.weight_bytes,
        {plain(domain): version for domain, version in view.opsets.items()},
        tuple(plain(text) for text in view.input_texts),
        view.newest_listed_opset,
        view.unlisted_ops,
    )
    return {
        "notes": tuple(plain(note, 800) for note in (*model.notes, *_older(view), *_silent(job))),
        "summary": summary,
        "support": None if target.runtimes else view.support_matrix(refusals),
        "partitions": tuple(view.partition(r) for r in target.chosen if r is not Runtime.CPU),
    }


def _older(view: ModelView) -> Iterator[str]:
    """What releases older than the one that the model is checked for do not support."""
    release = view.target.release
    sentences = [f"{need.says} ({need.before_text})" for need in needs(view) if need.lacks(release) is False]
    if sentences:
        yield f"older releases of the SDK refuse {', '.join(sentences)}"


def _silent(job: Job) -> Iterator[str]:
    """The rules that report less, or nothing, because weights are not read."""
    if not job.weights:
        silent = [rule.id for rule in chosen_rules(job.select, job.ignore) if rule.weights]
        if silent:
            yield f"no weights are read (--no-weights), so these say less or nothing: {', '.join(silent)}"
