"""Proof: a fixed model is written only if it computes the same, and the rules that spoil it are left out."""

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
from dlclint.verify import ComparisonResult, Verification, is_available, verify


class _Refused(Exception):
    """The fixed model does not compute the same."""

    def __init__(self, proof: Verification) -> None:
        self.proof = proof


class _Probed(Exception):
    """The candidate was verified and is not to be written."""


def fix_proved(job: Job, wish: FixRequest) -> FixOutcome:
    """Fix a model, and write it where that is wished and it computes the same.

    Raises:
        Unreadable: the file is not a model.
        NotFixed: it cannot be fixed, proved or written.
    """
    outcome, draft = fix_model(job, wish.unsafe)
    output = wish.output
    if output is None or (not outcome.applied and output == job.path):
        return replace(outcome, proof=Verification(ComparisonResult.UNKNOWN, "nothing was written"))
    try:
        return _written(job, wish, outcome, draft, output)
    except _Refused as refused:
        blamed = _to_blame(job, wish, outcome, output, refused.proof)
        outcome, draft = fix_model(replace(job, ignore=(*job.ignore, *blamed)), wish.unsafe)
        if not outcome.applied:
            raise NotFixed(_refusal(refused.proof)) from None
    try:
        return replace(_written(job, wish, outcome, draft, output), left_out=blamed)
    except _Refused as refused:
        raise NotFixed(_refusal(refused.proof)) from None


def _to_blame(
    job: Job, wish: FixRequest, outcome: FixOutcome, output: Path, proof: Verification
) -> dict[str, str]:
    """The rules whose fixes make the model compute otherwise, each tried alone, with the difference.

    Raises:
        NotFixed: no rule can be left out, or none is to blame alone.
    """
    rules = sorted({item.rule for item in outcome.applied})
    blamed = {}
    for rule in rules if len(rules) > 1 and proof.verdict is ComparisonResult.DIFFERENT else ():
        try:
            _written(job, wish, *fix_model(replace(job, select=(rule,)), wish.unsafe), output, probe=True)
        except _Refused as refused:
            blamed[rule] = plain(refused.proof.reason, 400)
    if not blamed:
        raise NotFixed(_refusal(proof))
    return blamed


def _refusal(proof: Verification) -> str:
    reason = plain(proof.reason, 400)
    if proof.verdict is ComparisonResult.UNKNOWN:
        return f"cannot be verified: {reason}"
    return f"once fixed, it computes something else ({reason}); leave rules out with --ignore, and report it"


def _written(
    job: Job, wish: FixRequest, outcome: FixOutcome, draft: Draft, output: Path, probe: bool = False
) -> FixOutcome:
    """The outcome, written and verified; with `probe` only verified.

    Raises:
        _Refused: the model computes otherwise, or --verify asks for a proof that there is not.
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
            unsafe = any(item.safety is Safety.UNSAFE for item in outcome.applied)
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
