"""Whether a fix would apply: tried in memory before the user is advised to apply it."""

from __future__ import annotations

from collections.abc import Iterable

from dlclint.fix import CannotFix, Fix
from dlclint.model.applying import apply_to_draft
from dlclint.model.draft import Draft, draft_of
from dlclint.model.graph import Model
from dlclint.model.inference import shape_contradiction

_TRIED = 3
"""Fixes that are tried; if none of these applies, none is assumed to."""


def fix_applies(model: Model, fixes: Iterable[Fix]) -> bool:
    """Whether one of these fixes leaves a model as sound as it was."""
    draft = draft_of(model)
    before: frozenset[str] | None = None
    tried = 0
    for fix in fixes:
        try:
            edits = fix.make()
        except CannotFix:
            continue
        result = apply_to_draft(draft, [edits]) if edits else None
        if result is None or not result.applied:
            continue
        before = soundness_complaints(draft) if before is None else before
        if not soundness_complaints(result.draft) - before:
            return True
        tried += 1
        if tried == _TRIED:
            break
    return False


def soundness_complaints(draft: Draft) -> frozenset[str]:
    """What onnx.checker and strict shape inference report."""
    complaints = set(draft.complaints())
    contradicted = shape_contradiction(draft.proto)
    return frozenset(complaints | ({f"shape inference: {contradicted}"} if contradicted else set()))
