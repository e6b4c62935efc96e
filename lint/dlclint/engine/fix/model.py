"""Fixing a model: apply its findings' fixes and the given dimensions to a draft."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from dlclint.analysis.resizing import resize, wanted_sizes
from dlclint.analysis.view import ModelView
from dlclint.diagnostic import Location, Safety, plain
from dlclint.engine.fix.rounds import Attempt, NotFixed, Rounds, findings
from dlclint.engine.job import Job
from dlclint.engine.names import misfits
from dlclint.engine.registry import chosen_rules
from dlclint.engine.rules import CollectedFinding
from dlclint.engine.suppressions import carried_ignores
from dlclint.engine.trial import soundness_complaints
from dlclint.fix import CannotFix
from dlclint.model.applying import apply_to_draft
from dlclint.model.draft import Draft, open_draft
from dlclint.model.edits import as_json
from dlclint.model.graph_text import graph_text
from dlclint.outcome import AppliedFix, FixOutcome
from dlclint.own_rules import GIVEN_DIMENSIONS
from dlclint.rule import ModelContext, Subject


def fix_model(job: Job, unsafe: bool = False) -> tuple[FixOutcome, Draft]:
    """Apply the fixes of a model's findings to a draft, which the caller may write.

    `job.dimensions` are written into the model.

    Raises:
        Unreadable: the file is not a model.
        NotFixed: it cannot be fixed, or not with these dimensions.
    """
    network = _Network(job)
    rounds = Rounds(network, unsafe)
    notes = [finding.message for finding in misfits(network.model, job, "")]
    if job.dimensions:
        rounds.applied.extend(network.with_dimensions())
    rounds.run()
    unsound = soundness_complaints(network.draft)
    if unsound and rounds.applied:
        worst = plain(_shortest(unsound), 300)
        raise NotFixed(f"the model is not sound, and no fix makes it so: {worst}")
    return rounds.outcome([*network.draft.notes, *notes]), network.draft


class _Network:
    """A model whose findings are fixed (see `Fixable`)."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.rules = chosen_rules(job.select, job.ignore)
        self.draft = open_draft(job.path)
        self.baseline = soundness_complaints(self.draft)
        self.model = self.draft.model()

    def lint(self, fixable: bool) -> list[CollectedFinding]:
        context = ModelContext(self.job.path, ModelView(self.model, self.job.target), self.job.target)
        rules = [rule for rule in self.rules if rule.fix or not fixable]
        # Read again in each round: a node with an ignore is identified by its index, which fixes change.
        carried = carried_ignores(self.model, self.job.shown).ignores
        job = replace(self.job, ignores=(*self.job.ignores, *carried)) if carried else self.job
        return findings(job, rules, Subject.MODEL, context)

    def attempt(self, fixes: Sequence[Sequence[Any]]) -> Attempt:
        applied = apply_to_draft(self.draft, fixes)
        return Attempt(applied.draft, applied.applied, applied.met)

    def problem(self, state: Draft) -> str:
        new = soundness_complaints(state) - self.baseline
        return plain(_shortest(new), 300) if new else ""

    def take(self, state: Draft) -> None:
        self.draft = state
        self.model = state.model()

    def text(self) -> str:
        return graph_text(self.model)

    def shown(self, edit: Any) -> dict[str, Any]:
        return as_json(edit)

    def with_dimensions(self) -> list[AppliedFix]:
        """Write the sizes that the user gives.

        Raises:
            NotFixed: they do not fit the model.
        """
        try:
            edits = tuple(resize(self.model, wanted_sizes(self.model, self.job.dimensions)))
        except CannotFix as reason:
            raise NotFixed(f"the given dimensions do not fit: {reason}") from None
        if not edits:
            return []
        result = apply_to_draft(self.draft, [edits]).draft
        problem = self.problem(result)
        if problem:
            raise NotFixed(f"with the given dimensions the model would not be sound: {problem}")
        self.take(result)
        location = Location(plain(str(self.job.path), 500))
        title = "write the given dimensions into the model"
        return [AppliedFix(GIVEN_DIMENSIONS, title, Safety.SAFE, location, tuple(map(as_json, edits)))]


def _shortest(complaints: Iterable[str]) -> str:
    """The shortest complaint; the choice does not depend on their order."""
    return min(complaints, key=lambda text: (len(text), text))
