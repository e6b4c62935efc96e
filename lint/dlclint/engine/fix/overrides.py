"""Fixing an override file, alone or with its model."""

from __future__ import annotations

from dataclasses import dataclass

from dlclint.diagnostic import Safety, Severity
from dlclint.encodings.edits import apply
from dlclint.encodings.reading import read_bytes, read_encodings
from dlclint.engine.encodings import context_of, view_of
from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, chosen_rules
from dlclint.fix import Fix
from dlclint.rule import EncodingsContext, Finding, Rule

ROUNDS = 12
"""Fixes may uncover other flaws; a file that is not quiet by then is left as it was."""


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
    view, _ = view_of(job)
    before = document.source.original
    done: list[tuple[str, str]] = []
    for _ in range(ROUNDS):
        found, failed = _findings(rules, context_of(job, document, view, None))
        fixes = [(rule, fix) for rule, finding in found if (fix := _wanted(finding, unsafe)) is not None]
        text, made = apply(document, [fix.make() for _, fix in fixes])
        if not made:
            left = dict.fromkeys(f"{rule}: {finding.message}" for rule, finding in found)
            errors = len(failed) + sum(finding.severity is Severity.ERROR for _, finding in found)
            return Fixed(before, document.source.original, tuple(done), (*failed, *left), errors)
        done.extend((fixes[number][0], fixes[number][1].title) for number in made)
        mended = read_bytes(text.encode("utf-8", "surrogatepass"), job.path)
        if document.whole and not mended.whole:
            break
        document = mended
    raise NotConverging(", ".join(sorted({rule for rule, _ in fixes})))


def _wanted(finding: Finding, unsafe: bool) -> Fix | None:
    fix = finding.fix
    return fix if fix is not None and (fix.safety is Safety.SAFE or unsafe) else None


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
