"""Every fix of every bad fixture resolves its finding, keeps the function, and needs no second run."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import pytest

from dlclint.cli.main import parser
from dlclint.cli.targets import target_of
from dlclint.diagnostic import Safety
from dlclint.engine.config import ModelSection
from dlclint.engine.fix.model import fix_model
from dlclint.engine.job import Job
from dlclint.engine.registry import all_rules
from dlclint.engine.run import lint_file
from dlclint.model.draft import Draft
from dlclint.model.reading import Unreadable
from dlclint.model.writing import write_model
from dlclint.outcome import FixOutcome
from dlclint.target import DlcKind, Runtime, Target
from dlclint.verify import ComparisonResult, verify

FIXTURES = Path(__file__).parent / "fixtures"
FIXABLE = {rule.id: rule.fix for rule in all_rules() if rule.fix}
CASES = sorted(
    path for id in FIXABLE for path in FIXTURES.glob(f"{id}/*.onnxtxt") if path.name.startswith("bad")
)
CANNOT_RUN = {
    "model/unsorted-nodes/bad_body": "ONNX Runtime refuses a body whose nodes are not sorted",
    "model/duplicate-name/bad_nodes": "ONNX Runtime refuses two nodes of one name",
    "ops/attribute/bad_dropout_training": "the source drops at random",
    "ops/attribute/bad_kernel_shape": "the source contradicts itself",
}
"""Sources that no runtime runs, or runs alike twice, so that nothing can be compared."""


def job_of(path: Path) -> Job:
    """The job of a fixture, with the options that its first line gives."""
    first = path.read_text("utf-8").partition("\n")[0]
    options = shlex.split(first[1:]) if first.startswith("#") else []
    args = parser().parse_args(["check", *options, str(path)])
    return Job(path, target_of(args, ModelSection()))


def key(path: Path) -> str:
    return path.relative_to(FIXTURES).with_suffix("").as_posix()


def fixed_alone(job: Job, unsafe: bool) -> tuple[FixOutcome, Draft]:
    rule = f"{job.path.parent.parent.name}/{job.path.parent.name}"
    return fix_model(Job(job.path, job.target, select=(rule,)), unsafe)


@pytest.mark.parametrize("path", CASES, ids=key)
def test_fix(path: Path, tmp_path: Path) -> None:
    job = job_of(path)
    try:
        before = lint_file(job)
    except Unreadable:
        return
    rule = f"{path.parent.parent.name}/{path.parent.name}"
    notes = [
        finding.fix for finding in before.diagnostics if finding.rule == rule and finding.fix is not None
    ]
    if not notes:
        return
    assert {note.safety for note in notes} <= FIXABLE[rule]
    unsafe = all(note.safety is Safety.UNSAFE for note in notes)
    if unsafe:
        assert fixed_alone(job, False)[0].applied == ()
    fixed, draft = fixed_alone(job, unsafe)
    assert fixed.applied, [finding.reason for finding in fixed.remaining]
    assert not [finding for finding in fixed.remaining if finding.reason]
    written = tmp_path / "fixed.onnx"
    write_model(draft, written)

    again = lint_file(Job(written, job.target))
    left = [finding for finding in again.diagnostics if finding.rule == rule]
    assert not [
        finding
        for finding in left
        if finding.fix is not None and (unsafe or finding.fix.safety is Safety.SAFE)
    ]
    assert len(left) <= len(before.diagnostics) - len(notes)
    worse = Counter(finding.rule for finding in again.diagnostics) - Counter(
        finding.rule for finding in before.diagnostics
    )
    assert not {id for id in worse if any(i.rule == id and i.severity.rank == 0 for i in again.diagnostics)}

    second, draft = fix_model(Job(written, job.target, select=(rule,)), unsafe)
    assert second.applied == ()
    write_model(draft, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == written.read_bytes()

    proof = verify(path, written)
    if key(path) in CANNOT_RUN:
        assert proof.verdict is ComparisonResult.UNKNOWN
    elif unsafe:
        assert proof.verdict in (ComparisonResult.DIFFERENT, ComparisonResult.EQUAL)
    else:
        # The newest ONNX Runtime for Python 3.10 does not load the newest opsets.
        if proof.verdict is ComparisonResult.UNKNOWN and "opset-too-new" in str(path):
            pytest.skip(proof.reason)
        assert (proof.verdict, proof.reason) == (ComparisonResult.EQUAL, "")


def test_every_fixable_rule_is_fixed() -> None:
    """A rule that says it has fixes has a bad fixture for each kind."""
    seen: dict[str, set[Safety]] = {}
    for path in CASES:
        rule = f"{path.parent.parent.name}/{path.parent.name}"
        for finding in lint_file(job_of(path)).diagnostics:
            if finding.rule == rule and finding.fix is not None:
                seen.setdefault(rule, set()).add(finding.fix.safety)
    assert seen == {id: set(safeties) for id, safeties in FIXABLE.items()}


NOT_OFFERED = {
    "an op that has no older form": (
        '<ir_version: 10, opset_import: ["" : 24]> g (float[1,2,4,8] q) => (float[1,2,4,8] y) '
        "{ y = Attention(q, q, q) }",
        "model/opset-too-new",
        "cannot take Attention",
    ),
    "a constant that differs from sample to sample": (
        '<ir_version: 8, opset_import: ["" : 13]> g (float[2,3,4,4] x) => (float[2,4,4,4] y) '
        "<float[2,1,4,4] c = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5}> "
        "{ y = Concat<axis = 1>(c, x) }",
        "batch/not-one",
        "differs from sample to sample",
    ),
}


@pytest.mark.parametrize("case", NOT_OFFERED)
def test_a_fix_that_cannot_be_made_is_not_offered(tmp_path: Path, case: str) -> None:
    text, rule, reason = NOT_OFFERED[case]
    path = tmp_path / "m.onnxtxt"
    path.write_text(text, "utf-8")
    job = Job(path, Target((Runtime.HTP,), kind=DlcKind(quantize=True), sdk="2.35"), select=(rule,))
    (finding,) = [reported for reported in lint_file(job).diagnostics if reported.rule == rule]
    assert finding.fix is None
    outcome, _ = fix_model(job, True)
    assert [remaining.reason for remaining in outcome.remaining if reason in remaining.reason]
