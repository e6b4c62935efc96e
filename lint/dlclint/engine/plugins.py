"""Rule packages that are not dlclint's own, and what keeps them from breaking a run.

Their code runs in a worker, which it may end: a step that ended a worker is left out when the work is
repeated. Each step has a time limit, printed output is discarded, and what a rule yields is validated before
a report is made of it.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import fields, replace
from importlib.metadata import EntryPoint
from io import TextIOBase
from typing import Any

from dlclint.contained.guard import CLOCK, Ended, is_guarded, step, takes_more
from dlclint.diagnostic import About, Confidence, Reach, Safety, Severity, Source
from dlclint.fix import CannotFix, Fix
from dlclint.rule import Finding, Rule, Subject
from dlclint_schemas.record import record

OWN = "dlclint_rules"
"""The package of dlclint's own rules; every other is a plugin."""
IMPORT_SECONDS = 10.0
"""Processor time that a plugin's import may take: several times what large frameworks take (2 s)."""
RULE_SECONDS = 10.0
"""Processor time that a plugin's rule may take on one file, so that no run hangs."""
_ID = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_CHECKED: dict[str, type | tuple[type, ...]] = {
    "message": str,
    "severity": Severity,
    "source": (Source, type(None)),
    "confidence": Confidence,
    "help": str,
    "tensor": str,
    "pointer": (str, type(None)),
    "line": (int, type(None)),
    "column": (int, type(None)),
    "fix": (Fix, type(None)),
    "related": tuple,
}
"""Fields of a finding that reports depend on, and their types."""


@record
class Broken:
    """A plugin, or a rule of one, that a run leaves out."""

    family: str
    """The name of its entry point."""
    name: str
    """The distribution with its version, and the entry point or the rule."""
    why: str
    advice: str

    def __str__(self) -> str:
        return f"{self.name} is left out: {self.why}; {self.advice}"


class _Nowhere(TextIOBase):
    """A stream that discards what is written to it."""

    encoding = "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)


_NOWHERE = _Nowhere()


def is_plugin(point: EntryPoint) -> bool:
    """Whether the rules of an entry point are not dlclint's own."""
    return point.module.partition(".")[0] != OWN


def plugin_origin(point: EntryPoint) -> str:
    """Name and version of the distribution of an entry point, or its module where there is none."""
    if point.dist is None:
        return point.value
    return f"{point.dist.name} {point.dist.version}"


@contextmanager
def without_prints() -> Iterator[None]:
    """Discard what is printed meanwhile, or send it to standard error where native code's output goes too."""
    # Imported here because a process that loads no plugin does not need it.
    from dlclint.contained.worker import DEBUG

    stream = sys.stderr if os.environ.get(DEBUG) else _NOWHERE
    with redirect_stdout(stream), redirect_stderr(stream):
        yield


class Running:
    """A rule that runs on a file, step by step; a plugin's rule has a time limit."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._left = RULE_SECONDS

    @contextmanager
    def piece(self) -> Iterator[None]:
        """Run a step.

        Raises:
            Ended: the rule ended a worker before, or has used up its time.
        """
        rule = self._rule
        if not rule.origin:
            with step("rule", rule.id):
                yield
            return
        if self._left <= 0:
            raise Ended(takes_more(RULE_SECONDS, 0))
        used, clock = time.process_time(), time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(step("rule", rule.id, seconds=RULE_SECONDS, clock=True))
            stack.enter_context(without_prints())
            yield
        self._left -= max(time.process_time() - used, (time.monotonic() - clock) / CLOCK)


def sound(rule: Rule, finding: Any) -> Finding:
    """A rule's finding, checked: only a plugin can yield something that is not a finding.

    Raises:
        TypeError: a report cannot be made of it.
    """
    if not rule.origin:
        own: Finding = finding
        return own
    if not isinstance(finding, Finding):
        raise TypeError(f"it yields {type(finding).__name__}, not Finding")
    for name, wanted in _CHECKED.items():
        if not isinstance(getattr(finding, name), wanted):
            raise TypeError(f"{name} of a finding is {type(getattr(finding, name)).__name__}")
    evidence = json.loads(json.dumps(dict(finding.evidence), allow_nan=False))
    return replace(finding, evidence=evidence, fix=finding.fix and _contained(rule, finding.fix))


def _contained(rule: Rule, fix: Fix) -> Fix:
    def edits() -> tuple[Any, ...]:
        try:
            with Running(rule).piece():
                computed = fix.make()
            strange = [edit for edit in computed if type(edit).__module__.partition(".")[0] != "dlclint"]
            if strange:
                raise TypeError(f"{type(strange[0]).__name__} is not an edit")
            return computed
        except (CannotFix, KeyboardInterrupt):
            raise
        except BaseException as error:  # as for the rule itself
            raise CannotFix(f"its fix failed in {rule.origin}: {type(error).__name__}: {error}") from None

    return replace(fix, edits=edits)


def flaw(rule: Rule) -> str:
    """Why a plugin's rule cannot be used, or ""."""
    if not _ID.fullmatch(rule.id):
        return "its id has other characters than letters, digits, '-', '_' and '.'"
    wanted: dict[str, type] = {"subject": Subject, "docs": str, "about": About, "weights": bool}
    wrong = [
        f.name for f in fields(rule) if not isinstance(getattr(rule, f.name), wanted.get(f.name, object))
    ]
    if not all(isinstance(safety, Safety) for safety in rule.fix):
        wrong.append("fix")
    if not all(isinstance(reach, Reach) for reach in dict(rule.follows).values()):
        wrong.append("follows")
    return f"@rule got an unfit {wrong[0]}" if wrong else ""


@contextmanager
def importing(point: EntryPoint) -> Iterator[None]:
    """Import a plugin in the block.

    Raises:
        Ended: its import ended a worker before.
    """
    with ExitStack() as stack:
        stack.enter_context(step("plugin", point.name, seconds=IMPORT_SECONDS, clock=True))
        stack.enter_context(without_prints())
        if not is_guarded():  # a worker cannot write to the streams anyway
            stack.enter_context(_cut_off())
        yield


@contextmanager
def _cut_off() -> Iterator[None]:
    """Discard even what is written below Python's streams."""
    with open(os.devnull, "wb") as null:  # noqa: PTH123  (only its descriptor is needed)
        kept = {number: os.dup(number) for number in (1, 2)}
        try:
            for number in kept:
                os.dup2(null.fileno(), number)
            yield
        finally:
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
