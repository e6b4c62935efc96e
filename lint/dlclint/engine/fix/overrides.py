"""Fixing an override file, alone or with its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from dlclint.diagnostic import plain
from dlclint.encodings.document import EncodingsDocument
from dlclint.encodings.edits import apply_to_document
from dlclint.encodings.reading import read_bytes, read_encodings
from dlclint.engine.encodings import context_of, view_of
from dlclint.engine.fix.rounds import Attempt, Rounds, findings
from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, chosen_rules
from dlclint.engine.rules import CollectedFinding
from dlclint.outcome import FixOutcome
from dlclint.rule import Subject


def fix_overrides(job: Job, unsafe: bool = False) -> FixOutcome:
    """Apply the fixes of an override file's findings; its new text is `text_after`.

    Raises:
        NotFixed: fixes still cause others after many rounds.
    """
    file = _Overrides(job)
    rounds = Rounds(file, unsafe)
    rounds.run()
    return rounds.outcome(file.notes)


class _Overrides:
    """An override file whose findings are fixed (see `Fixable`)."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.rules = chosen_rules(job.select, job.ignore, (ENCODINGS_GROUP,))
        self.document = read_encodings(job.path)
        self.view, self.notes = view_of(job)

    def lint(self, fixable: bool) -> list[CollectedFinding]:
        context = context_of(self.job, self.document, self.view, None)
        return findings(self.job, self.rules, Subject.ENCODINGS, context)

    def attempt(self, fixes: Sequence[Sequence[Any]]) -> Attempt:
        text, applied = apply_to_document(self.document, fixes)
        return Attempt(read_bytes(text.encode("utf-8", "surrogatepass"), self.job.path), applied)

    def problem(self, state: EncodingsDocument) -> str:
        return "the result would not be valid JSON" if self.document.whole and not state.whole else ""

    def take(self, state: EncodingsDocument) -> None:
        self.document = state

    def text(self) -> str:
        return self.document.source.original

    def shown(self, edit: Any) -> dict[str, Any]:
        values = {field.name: getattr(edit, field.name) for field in fields(edit)}
        if "tensor" in values:
            values["tensor"] = self.document.tensors.names[values["tensor"]]
        shown = {name: plain(str(value)) for name, value in values.items()}
        name = type(edit).__name__
        kind = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
        return {"kind": kind, "text": ", ".join(f"{name} {text}" for name, text in shown.items()), **shown}
