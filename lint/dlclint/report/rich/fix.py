"""Format `rich` of a fix: what was fixed in a file, and what remains.

Its lines are plain text, so that a hook need not import Rich, which takes longer than most fixes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO

from dlclint.diagnostic import Safety, Severity, counted, plain
from dlclint.outcome import FixOutcome
from dlclint.report.counts import severity_counts

if TYPE_CHECKING:
    from dlclint.verify import Verification

_SHOWN = 20


def render(outcome: FixOutcome, stream: TextIO | None) -> str:
    """The report for people."""
    return "".join(f"{line}\n" for line in _lines(outcome))


def _lines(outcome: FixOutcome) -> Iterator[str]:
    yield outcome.path
    yield from (f"  note: {note}" for note in outcome.notes)
    applied = Counter(
        (applied_fix.rule, applied_fix.title, applied_fix.safety) for applied_fix in outcome.applied
    )
    for (rule, title, safety), count in applied.items():
        times = f" ({count} times)" if count > 1 else ""
        yield f"  fixed{' (unsafe)' if safety is Safety.UNSAFE else ''} {rule}: {title}{times}"
    if not applied:
        yield "  fixed nothing" if outcome.left_out else "  nothing to fix"
    yield from _counted("with --unsafe", ((each.rule, each.title) for each in outcome.possible))
    for rule, reason in outcome.left_out.items():
        yield f"  left out {rule}: with its fixes the model does not compute the same ({plain(reason, 300)})"
    if outcome.left_out:
        yield "  likely a fault of dlclint's: a report with the model helps; --no-verify fixes anyway"
    refused = [each for each in outcome.remaining if each.reason]
    yield from _counted("not fixed", ((each.rule, f"{each.title}: {each.reason}") for each in refused))
    by_hand = (each for each in outcome.remaining if not each.reason and each.severity is not Severity.INFO)
    yield from _by_hand((left_finding.rule, left_finding.message) for left_finding in by_hand)
    yield f"  before {severity_counts(outcome.before)}; after {severity_counts(outcome.after)}"
    written = outcome.written
    if written is not None:
        data = f" and {written.data.name}" if written.data is not None else ""
        same = "" if applied else ", a copy of the file as it was"
        yield f"  wrote {plain(str(written.path), 500)}{plain(data)}{same}"
        if applied and outcome.proof is not None:
            yield from _proof(outcome.proof)
    elif applied and outcome.kind == "model":
        yield "  wrote nothing; give -o OUT.onnx or --in-place"


def _by_hand(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Findings without a fix, by rule: the first message, and how many more there are."""
    groups: dict[str, Counter[str]] = {}
    for rule, message in items:
        groups.setdefault(rule, Counter())[message] += 1
    if groups:
        yield "  by hand"
    for rule, messages in groups.items():
        times = f" ({messages.total()} times)" if messages.total() > 1 else ""
        yield f"    {rule}{times}: {next(iter(messages))}"
        if len(messages) > 1:
            yield f"      and {counted(len(messages) - 1, 'message')} more; dlclint check lists them"


def _counted(label: str, items: Iterable[tuple[str, str]]) -> Iterator[str]:
    groups = Counter(items)
    for (rule, text), count in list(groups.items())[:_SHOWN]:
        yield f"  {label} {rule}: {text}{f' ({count} times)' if count > 1 else ''}"
    if len(groups) > _SHOWN:
        yield f"  {label}: {len(groups) - _SHOWN} more; dlclint check lists them"


def _proof(proof: Verification) -> Iterator[str]:
    if proof.verdict.value == "unknown":
        yield f"  not verified: {plain(proof.reason, 400)}"
        return
    verb = "agree" if proof.verdict.value == "equal" else "differ"
    yield f"  verified with ONNX Runtime on {proof.runs} random inputs: outputs {verb}"
    if proof.reason:
        yield f"    {plain(proof.reason, 400)}"
    for difference in proof.outputs[:_SHOWN]:
        still = "" if difference.moves else "; it hardly moves with the inputs, which proves nothing"
        yield (
            f"    {plain(difference.output)}: largest difference {difference.absolute:.3g} "
            f"({difference.relative:.2g} of its size, {difference.allowed:.2g} allowed){still}"
        )
    if len(proof.outputs) > _SHOWN:
        yield f"    {len(proof.outputs) - _SHOWN} more outputs"
