"""Format `rich` of a fix: what was done to a file, and what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from dlclint.diagnostic import Safety, Severity, plain
from dlclint.model.writing import Written
from dlclint.outcome import FixedModel, Left
from dlclint.report.counts import severity_counts
from dlclint.verify import Verdict, Verification

_SHOWN = 20


def as_text(
    fixed: FixedModel, path: str, written: Written | None, proof: Verification, differing: Mapping[str, str]
) -> str:
    """The report for people.

    Args:
        differing: rules left out because the model would compute otherwise, and how.
    """
    return "\n".join(_lines(fixed, path, written, proof, differing))


def _lines(
    fixed: FixedModel, path: str, written: Written | None, proof: Verification, differing: Mapping[str, str]
) -> Iterator[str]:
    yield plain(path, 500)
    yield from (f"  note: {note}" for note in fixed.notes)
    made = Counter((item.rule, item.title, item.safety) for item in fixed.mended)
    for (rule, title, safety), count in made.items():
        times = f" ({count} times)" if count > 1 else ""
        yield f"  mended{' (unsafe)' if safety is Safety.UNSAFE else ''} {rule}: {title}{times}"
    if not made:
        yield "  nothing to mend"
    yield from _counted("with --unsafe", ((item.rule, f"{item.title}") for item in fixed.possible))
    for rule, reason in differing.items():
        yield f"  left out {rule}: with its fixes the model does not compute the same ({plain(reason, 300)})"
    refused = [item for item in fixed.left if item.reason]
    yield from _counted("not mended", ((item.rule, f"{item.title}: {item.reason}") for item in refused))
    yield from _counted(
        "by hand",
        ((item.rule, item.message) for item in fixed.left if not item.reason and _is_serious(item)),
    )
    yield f"  before {severity_counts(fixed.before)}; after {severity_counts(fixed.after)}"
    if written is not None:
        data = f" and {written.data.name}" if written.data is not None else ""
        same = "" if made else ", a copy of the model as it was"
        yield f"  wrote {plain(str(written.path), 500)}{plain(data)}{same}"
        if made:
            yield from _proof(proof)
    elif made:
        yield "  wrote nothing; give -o OUT.onnx or --in-place"


def _is_serious(item: Left) -> bool:
    return item.severity is not Severity.INFO


def _counted(label: str, items: Iterable[tuple[str, str]]) -> Iterator[str]:
    groups = Counter(items)
    for (rule, text), count in list(groups.items())[:_SHOWN]:
        yield f"  {label} {rule}: {text}{f' ({count} times)' if count > 1 else ''}"
    if len(groups) > _SHOWN:
        yield f"  {label}: {len(groups) - _SHOWN} more; dlclint check lists them"


def _proof(proof: Verification) -> Iterator[str]:
    if proof.verdict is Verdict.UNKNOWN:
        yield f"  not verified: {plain(proof.reason, 400)}"
        return
    what = "agree" if proof.verdict is Verdict.EQUAL else "differ"
    yield f"  verified with ONNX Runtime on {proof.runs} random inputs: outputs {what}"
    if proof.reason:
        yield f"    {plain(proof.reason, 400)}"
    for item in proof.outputs[:_SHOWN]:
        yield (
            f"    {plain(item.output)}: largest difference {item.absolute:.3g} "
            f"({item.relative:.2g} of its size, {item.allowed:.2g} allowed)"
        )
    if len(proof.outputs) > _SHOWN:
        yield f"    {len(proof.outputs) - _SHOWN} more outputs"
