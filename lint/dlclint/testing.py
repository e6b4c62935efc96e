"""Tests of rules by fixtures, for authors of rule packages (docs/writing-rules.md).

Fixtures are in folders FAMILY/NAME/, each a model (text form: `.onnxtxt`) or an override file (`.json`, its
model next to it with the same stem). `bad*` has the finding, `good*` does not. The first line of a model in
text form may be a comment with options of `dlclint check`, such as `# --runtime htp --quantize`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dlclint.cli.jobs import jobs_of
from dlclint.cli.main import parser
from dlclint.diagnostic import Diagnostic, Safety
from dlclint.encodings.recognition import ENCODINGS_SUFFIXES, MODEL_SUFFIXES
from dlclint.engine.config import Config
from dlclint.engine.fix.rounds import FixRequest, NotFixed
from dlclint.engine.fix.run import fix_file
from dlclint.engine.job import Job
from dlclint.engine.registry import all_rules
from dlclint.engine.run import run
from dlclint.own_rules import CRASHED
from dlclint_schemas.record import record

__all__ = ["Fixture", "check", "collect", "untested"]

_TEXT = (".onnxtxt", ".textproto", ".pbtxt")


@record
class Fixture:
    """A file that has a rule's finding (`is_bad`), or does not."""

    path: Path
    rule: str
    is_bad: bool

    def __str__(self) -> str:
        return f"{self.rule}/{self.path.name}"

    def job(self) -> Job:
        """The job of `dlclint check` for it: with the options of its first line, and only the rule."""
        text = next((text for end in _TEXT if (text := self.path.with_suffix(end)).exists()), None)
        first = "" if text is None else text.read_text("utf-8").partition("\n")[0]
        options = shlex.split(first[1:]) if first.startswith("#") else []
        args = parser("check").parse_args(["check", "--isolated", *options, "--", str(self.path)])
        (job,) = jobs_of(args, Config(), (self.rule,), ())
        return job


def collect(folder: str | Path) -> list[Fixture]:
    """The fixtures below a folder, sorted by path.

    Raises:
        ValueError: there are none, so that a test over them would pass unnoticed.
    """
    fixtures = [
        Fixture(path, f"{path.parent.parent.name}/{path.parent.name}", path.name.startswith("bad"))
        for path in sorted(Path(folder).glob("*/*/*"))
        if path.name.startswith(("bad", "good"))
        and path.suffix in (*MODEL_SUFFIXES, *ENCODINGS_SUFFIXES)
        and not (path.suffix in MODEL_SUFFIXES and path.with_suffix(".json").exists())
    ]
    if not fixtures:
        raise ValueError(f"no fixtures in {folder}: they lie at FAMILY/NAME/bad_* and FAMILY/NAME/good_*")
    return fixtures


def check(fixture: Fixture) -> None:
    """Assert that a bad fixture has the finding, that a good one does not, and that its fixes converge.

    Raises:
        AssertionError: one of these is false, a rule crashed, a fix is not as safe as the rule declares, a
            fix leaves its finding, or a second run fixes something again.
    """
    job = fixture.job()
    findings = _findings(job)
    own = [finding for finding in findings if finding.rule == fixture.rule]
    for finding in findings:
        assert finding.rule != CRASHED, f"{fixture}: {finding.message}"
    if not fixture.is_bad:
        assert not own, f"{fixture} is good, but gives: {own[0].message}"
        return
    assert own, f"{fixture} is bad, but gives no finding of {fixture.rule}"
    safeties = {finding.fix.safety for finding in own if finding.fix is not None}
    if job.kind == "model":
        declared = next(rule.fix for rule in all_rules() if rule.id == fixture.rule)
        assert safeties <= declared, (
            f"{fixture}: @rule(fix=...) does not declare {_names(safeties - declared)}"
        )
    for safety in safeties & {Safety.SAFE, Safety.UNSAFE}:
        _check_fix(fixture, job, safety is Safety.UNSAFE)


def _check_fix(fixture: Fixture, job: Job, unsafe: bool) -> None:
    """Assert that the fixed file has no finding with such a fix, and that a second run changes nothing."""
    option = "--unsafe" if unsafe else "safe fixes"
    with TemporaryDirectory() as folder:
        suffix = ".onnx" if job.kind == "model" else job.path.suffix
        fixed, again = Path(folder) / f"fixed{suffix}", Path(folder) / f"again{suffix}"
        try:
            outcome = fix_file(job, FixRequest(output=fixed, unsafe=unsafe))
        except NotFixed as error:
            raise AssertionError(f"{fixture}: {error}") from None
        assert outcome.applied, f"{fixture}: {option} fix nothing"
        taken = {Safety.SAFE, Safety.UNSAFE} if unsafe else {Safety.SAFE}
        for finding in _findings(replace(job, path=fixed)):
            left = finding.rule == fixture.rule and finding.fix is not None and finding.fix.safety in taken
            assert not left, f"{fixture}: after {option} it still gives: {finding.message}"
        second = fix_file(replace(job, path=fixed), FixRequest(output=again, unsafe=unsafe))
        assert not second.applied, f"{fixture}: {option} fix something again in a second run"


def untested(folder: str | Path, families: Iterable[str]) -> list[str]:
    """What is missing below a folder: for each rule of the families, a bad and a good fixture."""
    have = {(fixture.rule, fixture.is_bad) for fixture in collect(folder)}
    rules = [rule.id for rule in all_rules() if rule.family in set(families)]
    return [
        f"{rule}/{'bad' if bad else 'good'}_*"
        for rule in rules
        for bad in (True, False)
        if (rule, bad) not in have
    ]


def _findings(job: Job) -> tuple[Diagnostic, ...]:
    return tuple(finding for outcome in run([job], 1) for finding in outcome.diagnostics)


def _names(safeties: Iterable[Safety]) -> str:
    return ", ".join(sorted(safety.value for safety in safeties))
