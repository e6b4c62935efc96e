"""`dlclint fix` on a model: mend, prove, write."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path

from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import config_of, job_for, listed, size
from dlclint.diagnostic import Safety, Severity, plain
from dlclint.engine.fixing import NotFixed, fix_model
from dlclint.engine.registry import BrokenRules
from dlclint.model.reading import Unreadable
from dlclint.model.writing import CannotWrite, Written, write_model
from dlclint.outcome import FixedModel
from dlclint.report.fixes import as_json, as_text
from dlclint.verify import Verdict, Verification, is_available, verify


class _Refused(Exception):
    """The mended model does not compute the same."""

    def __init__(self, found: Verification) -> None:
        self.found = found


def fix_network(given: argparse.Namespace, path: Path) -> int:
    """Mend one model; returns 0, or 1 if errors are left or, where asked for, something was mended.

    Raises:
        UsageError: the model cannot be read, mended, verified or written.
    """
    config = config_of(given)
    chosen = listed(given.select) or list(config.select)
    job = job_for(path, given, config, chosen, [*listed(given.ignore), *config.ignore], False)
    output = Path(given.output) if given.output else path if given.in_place else None
    if output is not None and output.suffix.lower() != ".onnx":
        raise UsageError(f"{plain(str(output))}: models are written as .onnx; give -o NAME.onnx")
    try:
        fixed = fix_model(job, given.unsafe, _dims(given))
    except (ValueError, BrokenRules) as error:
        raise UsageError(str(error)) from None
    except Unreadable as problem:
        raise UsageError(f"{plain(str(path))}: {plain(problem.message, 400)}; {problem.help}") from None
    except NotFixed as problem:
        raise UsageError(f"{plain(str(path))}: {plain(str(problem), 500)}; nothing was written") from None
    written: Written | None = None
    proof = Verification(Verdict.UNKNOWN, "nothing was written")
    if output is not None and (fixed.mended or output != path):
        written, proof = _write(given, fixed, path, output)
    if given.format == "json":
        print(json.dumps(as_json(fixed, str(path), written, proof), indent=2, allow_nan=False))
    else:
        if given.diff:
            sys.stdout.write(_diff(fixed, plain(str(path))))
        print(
            as_text(fixed, str(path), written, proof, given.unsafe), file=sys.stderr if given.diff else None
        )
    return 1 if fixed.after[Severity.ERROR] or (given.exit_non_zero_on_fix and fixed.mended) else 0


def _dims(given: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    found = {}
    for text in given.dims:
        name, mark, sizes = text.rpartition("=")
        if not mark or not name:
            raise UsageError(f"--dims {plain(text)}: give NAME=DIMS, such as data=1,3,224,224 or batch=1")
        found[name] = tuple(size(part, "--dims") for part in sizes.split(","))
    return found


def _write(
    given: argparse.Namespace, fixed: FixedModel, path: Path, output: Path
) -> tuple[Written, Verification]:
    proof = Verification(Verdict.UNKNOWN, "not asked for (--no-verify)")

    def accept(candidate: Path) -> None:
        nonlocal proof
        proof = verify(path, candidate, force=given.verify is True)
        unsafe = any(item.safety is Safety.UNSAFE for item in fixed.mended)
        if proof.verdict is Verdict.DIFFERENT and not unsafe:
            raise _Refused(proof)
        if proof.verdict is Verdict.UNKNOWN and given.verify is True:
            raise _Refused(proof)

    asked = given.verify is not False and (given.verify or is_available()) and bool(fixed.mended)
    if not fixed.mended:
        proof = Verification(Verdict.UNKNOWN, "nothing was mended")
    elif given.verify is None and not is_available():
        proof = Verification(Verdict.UNKNOWN, "ONNX Runtime is not installed (pip install dlclint[verify])")
    try:
        return write_model(fixed.draft, output, accept if asked else lambda _: None), proof
    except CannotWrite as problem:
        raise UsageError(plain(str(problem), 500)) from None
    except _Refused as refused:
        reason = plain(refused.found.reason, 400)
        if refused.found.verdict is Verdict.UNKNOWN:
            raise UsageError(
                f"{plain(str(path))} cannot be verified: {reason}; nothing was written"
            ) from None
        rules = ", ".join(sorted({item.rule for item in fixed.mended}))
        raise UsageError(
            f"the mended model does not compute the same ({reason}), so nothing was written; "
            f"mend rule by rule with --select to find which of {rules} is to blame, and report it"
        ) from None


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
