"""Mending a model: the fixes that findings carry, made round by round until nothing is left to make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dlclint.analysis.resizing import resize, wanted_sizes
from dlclint.analysis.view import ModelView
from dlclint.diagnostic import Diagnostic, Location, Safety, Severity, plain
from dlclint.engine.job import Job
from dlclint.engine.registry import all_rules, select
from dlclint.engine.rules import run_rules
from dlclint.fix import CannotFix, Fix
from dlclint.model.applying import apply
from dlclint.model.draft import Draft, open_draft
from dlclint.model.edits import Edit, as_json
from dlclint.model.graph import Model
from dlclint.model.graph_text import graph_text
from dlclint.model.inference import contradiction
from dlclint.outcome import FixedModel, Left, Mended
from dlclint.rule import ModelContext, Rule, Subject

ROUNDS = 40
"""Fixes uncover other flaws; a model that is not quiet by then is left as it was."""
_SAME_AGAIN = 3
"""A fix that is made at the same place so often does not mend what it is for."""


class NotFixed(Exception):
    """The model cannot be mended, or not as asked; the argument is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class _Found:
    rule: str
    fix: Fix | None
    shown: Diagnostic

    @property
    def key(self) -> tuple[str, ...]:
        """The same flaw at the same place, in whichever round."""
        place = self.shown.location
        return (self.rule, place.graph, place.tensor, place.node, self.shown.message)


_Chosen = list[tuple[_Found, Fix, tuple[Edit, ...]]]


@dataclass(slots=True)
class _Run:
    """The state of the rounds."""

    job: Job
    rules: tuple[Rule, ...]
    unsafe: bool
    draft: Draft
    baseline: frozenset[str]
    mended: list[Mended] = field(default_factory=list)
    refused: dict[tuple[str, ...], str] = field(default_factory=dict)
    times: dict[tuple[str, ...], int] = field(default_factory=dict)


def fix_model(
    job: Job, unsafe: bool = False, dims: Mapping[str, tuple[int, ...]] | None = None
) -> FixedModel:
    """Apply the fixes of a model's findings to a draft, which is left to the caller to write.

    Args:
        job: the model and what it is meant for; `job.dimensions` are not applied.
        unsafe: make unsafe fixes too.
        dims: sizes to write into the model, by input name, or one size by the name of a symbol.

    Raises:
        Unreadable: the file is no model.
        ValueError: a selector matches no rule.
        NotFixed: see the class.
    """
    rules = select(all_rules(), list(job.select), list(job.ignore))
    rules = tuple(rule for rule in rules if rule.subject is Subject.MODEL)
    draft = open_draft(job.path)
    run = _Run(job, rules, unsafe, draft, _complaints(draft))
    model = draft.model()
    found = first = _lint(run, model)
    text_before = graph_text(model)
    if dims:
        _set_dimensions(run, model, dims)
        found = _lint(run, run.draft.model(), fixable=True)
    for _ in range(ROUNDS):
        if not _round(run, found):
            break
        found = _lint(run, run.draft.model(), fixable=True)
    else:
        raise NotFixed("fixes still uncover others; mend the model rule by rule with --select")
    complaints = _complaints(run.draft)
    if complaints and run.mended:
        worst = plain(min(complaints, key=len), 300)
        raise NotFixed(f"the model is not sound, and no fix mends that: {worst}")
    model = run.draft.model()
    last = _lint(run, model) if run.mended else first
    possible, left = _remaining(run, last)
    notes = tuple(plain(note) for note in run.draft.notes)
    return FixedModel(
        run.draft,
        tuple(run.mended),
        possible,
        left,
        _count(first),
        _count(last),
        text_before,
        graph_text(model),
        notes,
    )


def _lint(run: _Run, model: Model, fixable: bool = False) -> list[_Found]:
    """What the rules find; with `fixable`, only those that can carry fixes."""
    context = ModelContext(run.job.path, ModelView(model, run.job.target), run.job.target)
    file = plain(str(run.job.path), 500)
    rules = (rule for rule in run.rules if rule.fix or not fixable)
    return [
        _Found(found.shown.rule, found.fix, found.shown)
        for found in run_rules(rules, Subject.MODEL, context, file)
        if not any(ignore.matches(found.shown) for ignore in run.job.ignores)
    ]


def _count(found: Sequence[_Found]) -> dict[Severity, int]:
    return {severity: sum(item.shown.severity is severity for item in found) for severity in Severity}


def _round(run: _Run, found: Sequence[_Found]) -> bool:
    """Make what can be made at once; False if that is nothing. Safe fixes come first."""
    wanted = (Safety.SAFE, Safety.UNSAFE) if run.unsafe else (Safety.SAFE,)
    chosen: _Chosen = []
    for safety in wanted:
        for item in found:
            if item.fix is None or item.fix.safety is not safety or item.key in run.refused:
                continue
            try:
                edits = item.fix.make()
            except CannotFix as reason:
                run.refused[item.key] = plain(str(reason), 400)
                continue
            if edits:
                chosen.append((item, item.fix, edits))
    chosen = _without_conflicts(run, chosen)
    if chosen:
        _make(run, chosen)
    return bool(chosen)


def _without_conflicts(run: _Run, chosen: _Chosen) -> _Chosen:
    """Without the unsafe fixes that would change in another way what a fix of another rule changes.

    Safe fixes that meet keep the function whichever comes first, so one of them simply waits.
    """
    clashing = set()
    for number, other in apply(run.draft, [edits for _, _, edits in chosen]).met.items():
        if chosen[number][0].rule == chosen[other][0].rule:
            continue
        for one, against in ((number, other), (other, number)):
            item, fix, _ = chosen[one]
            if fix.safety is Safety.UNSAFE:
                clashing.add(one)
                rival, rival_fix, _ = chosen[against]
                run.refused[item.key] = (
                    f"it conflicts with the fix of {rival.rule} ({plain(rival_fix.title)}); "
                    "choose one with --select or --ignore"
                )
    return [item for number, item in enumerate(chosen) if number not in clashing]


def _make(run: _Run, chosen: _Chosen) -> None:
    """Make fixes together; where the result is not sound, find the one that is to blame."""
    result = apply(run.draft, [edits for _, _, edits in chosen])
    problem = _unsound(run, result.draft)
    if problem and len(chosen) > 1:
        # Edits name nodes of the draft as it was, so the other half waits for the next round.
        _make(run, chosen[: len(chosen) // 2])
        return
    if problem:
        run.refused[chosen[0][0].key] = f"its result would not be sound: {problem}"
        return
    run.draft = result.draft
    for number in result.made:
        item, fix, edits = chosen[number]
        run.times[item.key] = run.times.get(item.key, 0) + 1
        if run.times[item.key] >= _SAME_AGAIN:
            run.refused[item.key] = f"it was made {_SAME_AGAIN} times and the finding did not go"
        shown = tuple(as_json(edit) for edit in edits)
        run.mended.append(Mended(item.rule, plain(fix.title, 400), fix.safety, item.shown.location, shown))


def _unsound(run: _Run, draft: Draft) -> str:
    """What is wrong with a draft that was not wrong with the source, or ""."""
    new = _complaints(draft) - run.baseline
    return plain(min(new, key=len), 300) if new else ""


def _complaints(draft: Draft) -> frozenset[str]:
    """What onnx.checker and strict shape inference say."""
    found = set(draft.complaints())
    contradicted = contradiction(draft.proto)
    return frozenset(found | ({f"shape inference: {contradicted}"} if contradicted else set()))


def _remaining(run: _Run, found: Sequence[_Found]) -> tuple[tuple[Left, ...], tuple[Left, ...]]:
    possible: list[Left] = []
    left: list[Left] = []
    for item in found:
        shown, fix = item.shown, item.fix
        reason = run.refused.get(item.key, "")
        kept = Left(
            item.rule,
            shown.severity,
            shown.message,
            shown.location,
            plain(fix.title, 400) if fix else "",
            fix.safety if fix else None,
            reason,
        )
        waiting = fix is not None and fix.safety is Safety.UNSAFE and not run.unsafe and not reason
        (possible if waiting else left).append(kept)
    return tuple(possible), tuple(left)


def _set_dimensions(run: _Run, model: Model, dims: Mapping[str, tuple[int, ...]]) -> None:
    """Write the sizes that the user asks for."""
    try:
        edits = tuple(resize(model, wanted_sizes(model, dims)))
    except CannotFix as reason:
        raise NotFixed(f"--dims: {reason}") from None
    if not edits:
        return
    result = apply(run.draft, [edits]).draft
    problem = _unsound(run, result)
    if problem:
        raise NotFixed(f"with these --dims the model would not be sound: {problem}")
    run.draft = result
    title = "write the given dimensions into the model"
    place = Location(plain(str(run.job.path), 500))
    shown = tuple(as_json(edit) for edit in edits)
    run.mended.append(Mended("shapes/dynamic-dim", title, Safety.SAFE, place, shown))
