"""Proof: a fixed model is written only if it computes the same; rules that break this are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dlclint.diagnostic import Safety, plain
from dlclint.engine.fix.model import fix_model
from dlclint.engine.fix.rounds import FixRequest, NotFixed
from dlclint.engine.job import Job
from dlclint.model.draft import Draft
from dlclint.model.writing import CannotWrite, write_model
from dlclint.outcome import FixOutcome, WrittenFile
from dlclint.own_rules import GIVEN_DIMENSIONS
from dlclint.verify import ComparisonResult, Verification, is_available, verify


class _Refused(Exception):
    """The fixed model does not compute the same."""

    def __init__(self, proof: Verification) -> None:
        self.proof = proof


class _Probed(Exception):
    """The candidate was verified and must not be written."""


def fix_proved(job: Job, wish: FixRequest) -> FixOutcome:
    """Fix a model, and write it where that is requested and it computes the same.

    Raises:
        Unreadable: the file is not a model.
        NotFixed: it cannot be fixed, proved or written.
    """
    outcome, draft = fix_model(job, wish.unsafe)
    output = wish.output
    if output is None or (not outcome.applied and output == job.path):
        return replace(outcome, proof=Verification(ComparisonResult.UNKNOWN, "nothing was written"))
    left_out: dict[str, str] = {}
    while True:
        try:
            return replace(_written(job, wish, outcome, draft, output), left_out=left_out)
        except _Refused as refused:
            blamed = _to_blame(job, wish, outcome, output, refused.proof, bool(left_out))
        left_out |= blamed
        outcome, draft = fix_model(replace(job, ignore=(*job.ignore, *left_out)), wish.unsafe)
        if not outcome.applied and output == job.path:
            return replace(outcome, left_out=left_out)


def _to_blame(
    job: Job, wish: FixRequest, outcome: FixOutcome, output: Path, proof: Verification, again: bool
) -> dict[str, str]:
    """The rules whose fixes make the model compute something else, each tried alone, with the difference.

    All rules where none changes the result alone, or where the others were left out before (`again`).

    Raises:
        NotFixed: there is no proof, or the requested sizes make it compute something else.
    """
    reason = plain(proof.reason, 400)
    rules = sorted({applied_fix.rule for applied_fix in outcome.applied} - {GIVEN_DIMENSIONS})
    if proof.verdict is ComparisonResult.UNKNOWN:
        raise NotFixed(f"cannot be verified: {reason}")
    if not rules:
        raise NotFixed(f"with the given dimensions it computes something else ({reason})")
    blamed = {}
    for rule in rules if len(rules) > 1 and not again else ():
        try:
            _written(job, wish, *fix_model(replace(job, select=(rule,)), wish.unsafe), output, probe=True)
        except _Refused as refused:
            blamed[rule] = plain(refused.proof.reason, 400)
    return blamed or dict.fromkeys(rules, reason)


def _written(
    job: Job, wish: FixRequest, outcome: FixOutcome, draft: Draft, output: Path, probe: bool = False
) -> FixOutcome:
    """The outcome, written and verified; with `probe` only verified.

    Raises:
        _Refused: the model computes something else, or --verify requests a proof that is not possible.
        NotFixed: the output cannot be written.
    """
    available = is_available()
    asked = wish.verify is not False and (available or wish.verify is True) and bool(outcome.applied)
    proof = Verification(ComparisonResult.UNKNOWN, "not asked for (--no-verify)")
    if not outcome.applied:
        proof = Verification(ComparisonResult.UNKNOWN, "nothing was fixed")
    elif wish.verify is None and not available:
        proof = Verification(
            ComparisonResult.UNKNOWN, "ONNX Runtime is not installed (pip install 'dlclint[verify]')"
        )

    def accept(candidate: Path) -> None:
        nonlocal proof
        if asked:
            proof = verify(job.path, candidate, force=wish.verify is True, asked=job.dimensions)
            unsafe = any(applied_fix.safety is Safety.UNSAFE for applied_fix in outcome.applied)
            if proof.verdict is ComparisonResult.DIFFERENT and not unsafe:
                raise _Refused(proof)
            if proof.verdict is ComparisonResult.UNKNOWN and wish.verify is True:
                raise _Refused(proof)
        if probe:
            raise _Probed

    try:
        written = write_model(draft, output, accept)
    except _Probed:
        return replace(outcome, proof=proof)
    except CannotWrite as problem:
        raise NotFixed(plain(str(problem), 500)) from None
    return replace(outcome, written=WrittenFile(written.path, written.size, written.data), proof=proof)
