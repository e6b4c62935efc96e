"""`dlclint fix` on a model: mend, prove, write."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from dataclasses import replace
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import config_of, job_for, listed, size
from dlclint.diagnostic import Safety, Severity, plain
from dlclint.encodings.recognition import encodings_beside
from dlclint.engine.fix.model import NotFixed, fix_model
from dlclint.engine.job import Job
from dlclint.engine.registry import BrokenRules
from dlclint.model.reading import Unreadable
from dlclint.model.writing import CannotWrite, Written, write_model
from dlclint.outcome import FixedModel
from dlclint.report.json.fix import as_json
from dlclint.report.rich.fix import as_text
from dlclint.verify import Verdict, Verification, is_available, verify


class _Refused(Exception):
    """The mended model does not compute the same."""

    def __init__(self, found: Verification) -> None:
        self.found = found


class _Probed(Exception):
    """The candidate was verified and is not to be written."""


def fix_network(given: argparse.Namespace, path: Path) -> int:
    """Mend one model; returns 0, or 1 if errors are left or, where asked for, something was mended.

    Raises:
        UsageError: the model cannot be read, mended, verified or written.
    """
    config = config_of(given)
    chosen = listed(given.select) or list(config.select)
    # With an override file beside the model the converter does not simplify it.
    overridden = encodings_beside(path) is not None
    job = job_for(path, given, config, chosen, [*listed(given.ignore), *config.ignore], overridden)
    output = Path(given.output) if given.output else path if given.in_place else None
    if output is not None and output.suffix.lower() != ".onnx":
        raise UsageError(f"{plain(str(output))}: models are written as .onnx; give -o NAME.onnx")
    fixed = _mended(given, job)
    written: Written | None = None
    proof = Verification(Verdict.UNKNOWN, "nothing was written")
    differing: dict[str, str] = {}
    if output is not None and (fixed.mended or output != path):
        try:
            written, proof = _write(given, fixed, path, output)
        except _Refused as refused:
            differing = _to_blame(given, job, fixed, output, refused.found)
            fixed = _mended(given, replace(job, ignore=(*job.ignore, *differing)))
            if not fixed.mended:
                raise UsageError(_refusal(path, refused.found)) from None
            try:
                written, proof = _write(given, fixed, path, output)
            except _Refused as again:
                raise UsageError(_refusal(path, again.found)) from None
    if given.format == "json":
        print(json.dumps(as_json(fixed, str(path), written, proof, differing), indent=2, allow_nan=False))
    else:
        if given.diff:
            sys.stdout.write(_diff(fixed, plain(str(path))))
        text = as_text(fixed, str(path), written, proof, differing)
        print(text, file=sys.stderr if given.diff else None)
    return 1 if fixed.after[Severity.ERROR] or (given.exit_non_zero_on_fix and fixed.mended) else 0


def _mended(given: argparse.Namespace, job: Job) -> FixedModel:
    shown = plain(str(job.path))
    try:
        return fix_model(job, given.unsafe, _dims(given))
    except (ValueError, BrokenRules) as error:
        raise UsageError(str(error)) from None
    except Unreadable as problem:
        raise UsageError(f"{shown}: {plain(problem.message, 400)}; {problem.help}") from None
    except NotFixed as problem:
        raise UsageError(f"{shown}: {plain(str(problem), 500)}; nothing was written") from None


def _to_blame(
    given: argparse.Namespace, job: Job, fixed: FixedModel, output: Path, found: Verification
) -> dict[str, str]:
    """The rules whose fixes make the model compute otherwise, each tried alone, with the difference.

    Raises:
        UsageError: no rule can be left out, or none is to blame alone.
    """
    rules = sorted({item.rule for item in fixed.mended})
    blamed = {}
    for rule in rules if len(rules) > 1 and found.verdict is Verdict.DIFFERENT else ():
        try:
            _write(given, _mended(given, replace(job, select=(rule,))), job.path, output, probe=True)
        except _Refused as refused:
            blamed[rule] = refused.found.reason
    if not blamed:
        raise UsageError(_refusal(job.path, found))
    return blamed


def _refusal(path: Path, found: Verification) -> str:
    reason = plain(found.reason, 400)
    if found.verdict is Verdict.UNKNOWN:
        return f"{plain(str(path))} cannot be verified: {reason}; nothing was written"
    return (
        f"the mended model does not compute the same ({reason}), so nothing was written; "
        "leave rules out with --ignore, and report it"
    )


def _dims(given: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    found = {}
    for text in given.dims:
        name, mark, sizes = text.rpartition("=")
        if not mark or not name:
            raise UsageError(f"--dims {plain(text)}: give NAME=DIMS, such as data=1,3,224,224 or batch=1")
        found[name] = tuple(size(part, "--dims") for part in sizes.split(","))
    return found


def _write(
    given: argparse.Namespace, fixed: FixedModel, path: Path, output: Path, probe: bool = False
) -> tuple[Written | None, Verification]:
    """Write and verify; with `probe` only verify.

    Raises:
        _Refused: the model computes otherwise, or --verify asks for a proof that there is not.
        UsageError: the output cannot be written.
    """
    available = is_available()
    asked = given.verify is not False and (available or given.verify is True) and bool(fixed.mended)
    proof = Verification(Verdict.UNKNOWN, "not asked for (--no-verify)")
    if not fixed.mended:
        proof = Verification(Verdict.UNKNOWN, "nothing was mended")
    elif given.verify is None and not available:
        proof = Verification(Verdict.UNKNOWN, "ONNX Runtime is not installed (pip install dlclint[verify])")

    def accept(candidate: Path) -> None:
        nonlocal proof
        if asked:
            proof = verify(path, candidate, force=given.verify is True)
            unsafe = any(item.safety is Safety.UNSAFE for item in fixed.mended)
            if proof.verdict is Verdict.DIFFERENT and not unsafe:
                raise _Refused(proof)
            if proof.verdict is Verdict.UNKNOWN and given.verify is True:
                raise _Refused(proof)
        if probe:
            raise _Probed

    try:
        return write_model(fixed.draft, output, accept), proof
    except _Probed:
        return None, proof
    except CannotWrite as problem:
        raise UsageError(plain(str(problem), 500)) from None


def _diff(fixed: FixedModel, name: str) -> str:
    lines = difflib.unified_diff(
        fixed.text_before.splitlines(),
        fixed.text_after.splitlines(),
        name,
        f"{name} (mended)",
        n=1,
        lineterm="",
    )
    return "".join(f"{line}\n" for line in lines)
