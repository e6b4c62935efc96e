"""Whether a fix would apply: tried in memory before anybody is told to make it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from dlclint.analysis.view import ModelView
from dlclint.diagnostic import Diagnostic
from dlclint.engine.job import Job
from dlclint.engine.registry import chosen_rules
from dlclint.engine.rules import run_rules
from dlclint.fix import CannotFix
from dlclint.model.applying import apply_to_draft
from dlclint.model.draft import Draft, draft_of
from dlclint.model.inference import shape_contradiction
from dlclint.rule import ModelContext, Subject

_TRIED = 3
"""Fixes that are tried; where none of so many applies, none is taken to."""


def fix_applies(
    view: ModelView, job: Job, rules: Collection[str], is_wanted: Callable[[Diagnostic], bool]
) -> bool:
    """Whether the fix of a wanted finding of one of these rules leaves a model as sound as it was."""
    draft = draft_of(view.model)
    before: frozenset[str] | None = None
    tried = 0
    context = ModelContext(job.path, view, job.target)
    chosen = [rule for rule in chosen_rules((), ()) if rule.id in rules]
    for found in run_rules(chosen, Subject.MODEL, context, job.shown):
        fix = found.fix
        if fix is None or not is_wanted(found.shown):
            continue
        try:
            edits = fix.make()
        except CannotFix:
            continue
        result = apply_to_draft(draft, [edits]) if edits else None
        if result is None or not result.made:
            continue
        before = soundness_complaints(draft) if before is None else before
        if not soundness_complaints(result.draft) - before:
            return True
        tried += 1
        if tried == _TRIED:
            break
    return False


def soundness_complaints(draft: Draft) -> frozenset[str]:
    """What onnx.checker and strict shape inference say."""
    found = set(draft.complaints())
    contradicted = shape_contradiction(draft.proto)
    return frozenset(found | ({f"shape inference: {contradicted}"} if contradicted else set()))
