"""The verdict on a linted model: will it convert, will it run, will accuracy hold, and what to do next.

The verdict is the same whichever findings are shown. What is not known is called unknown: no rule can show
that accuracy is safe, only a measurement can.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from dlclint.analysis.options import dimension_words, shape_options, soc_word, target_words, width_words
from dlclint.analysis.support import DlcHandling, SupportMatrix, dlc_handling
from dlclint.analysis.view import ModelView
from dlclint.chains import one_for_each_cause
from dlclint.diagnostic import STOPS, About, Diagnostic, Severity, counted, first_few, plain
from dlclint.engine.job import Job
from dlclint.engine.names import fitting
from dlclint.engine.rules import CollectedFinding
from dlclint.model.op_facts import is_qdq
from dlclint.model.types import is_float
from dlclint.outcome import Answer, ModelVerdict, RuntimeAnswer
from dlclint.target import Runtime, Target

_CHIPS = 3
"""Chips that are named in one line."""
NEXT = 3
"""Commands that are suggested at most."""
_REFUSES = (About.TARGET, About.PRESENCE, About.FORM)
_QUANTIZED = (Runtime.DSP, Runtime.HTP, Runtime.AIP)


def model_verdict(
    view: ModelView,
    job: Job,
    findings: Sequence[Diagnostic],
    support: SupportMatrix | None,
    fixes: Sequence[CollectedFinding],
) -> ModelVerdict:
    """The verdict on a model, from all findings of the rules and from the runtimes' tables.

    `fixes` are the first safe ones that the findings carry.
    """
    converts = _converts(findings)
    runs = tuple(_runs(view, findings, support)) if converts.word == "yes" else ()
    accuracy = _accuracy(job, findings)
    suggested = tuple(_next(view, job, converts, fixes))
    return ModelVerdict(judged_for((job.target,), view), converts, runs, accuracy, suggested)


def unreadable(target: Target, findings: Sequence[Diagnostic]) -> ModelVerdict:
    """The verdict on a file that is not a model."""
    reason = findings[0].message if findings else "the file cannot be read"
    answer = Answer("no", reason, findings[0].rule if findings else "")
    return ModelVerdict(judged_for((target,), None), answer, (), Answer("unknown", "there is no model"), ())


def judged_for(targets: Sequence[Target], view: ModelView | None) -> str:
    """Chips, runtimes, DLC kind, widths and release in one line; the targets differ only in the chip."""
    target, parts = targets[0], []
    chips = [f"{each.soc}, {each.soc.hexagon_text}" for each in targets if each.soc is not None]
    if chips:
        parts.append(" / ".join(chips) if len(chips) <= _CHIPS else counted(len(chips), "chip"))
    names = ", ".join(runtime.value for runtime in target.runtimes)
    parts.append(f"runtime {names}" if names else "every runtime")
    kind = target.kind
    widths = f"{'quantized' if kind.quantize else 'DLC'} {kind}{' per channel' if kind.per_channel else ''}"
    parts.append(widths if kind.stated else "float or quantized")
    newest = "" if target.sdk else ", the newest known"
    tables = "" if view is None else f" (op tables {' and '.join(view.table.documents)})"
    parts.append(f"SDK {target.release.name}{newest}{tables}")
    return "; ".join(parts)


def _worst(findings: Iterable[Diagnostic], abouts: tuple[About, ...], severity: Severity) -> list[Diagnostic]:
    """The findings of one severity that are about one of these, one for all with the same cause."""
    return one_for_each_cause(
        findings, lambda finding: finding.about in abouts and finding.severity.rank <= severity.rank
    )


def _converts(findings: Sequence[Diagnostic]) -> Answer:
    """Whether the converter makes a DLC of the model: no, where an error stops it."""
    errors = _worst(findings, STOPS, Severity.ERROR)
    errors.sort(key=lambda finding: STOPS.index(finding.about))  # causes before what follows from them
    if not errors:
        return Answer("yes", "no rule finds anything that stops it")
    return Answer("no", _first_of(errors), errors[0].rule)


def _first_of(findings: Sequence[Diagnostic]) -> str:
    return first_few((finding.message for finding in findings), len(findings), 1, "; ")


def _runs(
    view: ModelView, findings: Sequence[Diagnostic], support: SupportMatrix | None
) -> Iterator[RuntimeAnswer]:
    target = view.target
    for runtime in target.considered:
        handling = dlc_handling(runtime, target)
        if handling is DlcHandling.REFUSED:
            yield RuntimeAnswer(runtime.value, "no", "it does not take such a DLC")
            continue
        refused = _worst(findings, _REFUSES, Severity.ERROR) if target.runtimes == (runtime,) else []
        if refused:
            yield RuntimeAnswer(runtime.value, "no", _first_of(refused))
            continue
        rows = () if support is None else support.rows
        row = next((row for row in rows if row.runtime is runtime), None)
        if row is not None:
            whole, cuts, off = row.whole, row.cuts, row.total - row.taken
        elif runtime is Runtime.CPU:
            continue  # no runtime has what the CPU lacks, which the converter's verdict states
        else:
            partition = view.partition(runtime)
            off = partition.nowhere + sum(part.nodes for part in partition.subnets if not part.on_runtime)
            whole, cuts = off == 0, partition.cuts
        as_is = handling is DlcHandling.AS_IS or not target.kind.stated
        note = "" if as_is else f", {handling.value}"
        if whole:
            yield RuntimeAnswer(runtime.value, "whole", f"whole{note}")
        else:
            parts = f"{counted(cuts + 1, 'subnet')}, {counted(off, 'node')} elsewhere"
            yield RuntimeAnswer(runtime.value, "split", f"{parts}{note}")


def _accuracy(job: Job, findings: Sequence[Diagnostic]) -> Answer:
    """Whether accuracy will hold: at risk where a rule finds a reason, else unknown, and what is known."""
    risks = _worst(findings, (About.SETTINGS, About.ACCURACY), Severity.WARNING)
    if risks:
        # A loss that no option prevents comes before one that an option fixes.
        risks.sort(key=lambda finding: finding.about is not About.ACCURACY)
        return Answer("at risk", _first_of(risks), risks[0].rule)
    # Notes about settings are advice; those about accuracy report a loss that depends on what is unknown.
    possible = _worst(findings, (About.ACCURACY,), Severity.INFO)
    if possible:
        reason = f"nothing was measured, and accuracy may be lost: {_first_of(possible)}"
        return Answer("unknown", reason, possible[0].rule)
    if job.target.kind.is_float:
        return Answer("unknown", "a float DLC loses little; no rule measures it")
    if job.overrides is not None:
        # The findings on the override file, which decide, have their own outcome.
        file = plain(job.overrides.name, 500)
        depends = f"it depends on the override file, whose findings are listed under {file}"
        return Answer("unknown", f"{depends}, and nothing was measured")
    if not job.target.kind.stated:
        part = "without --quantize, what quantization costs is checked only in part"
        return Answer("unknown", f"{part}, and nothing was measured")
    return Answer("unknown", "no rule warns of a loss, and nothing was measured")


def _next(view: ModelView, job: Job, converts: Answer, fixes: Sequence[CollectedFinding]) -> list[str]:
    """At most three commands, the most useful first."""
    target, path = job.target, job.shown if job.url else str(job.path)
    commands: list[list[str]] = []
    open_inputs = [
        (name, sizes) for name, sizes in shape_options(view, job.dimensions) if not _is_static(view, name)
    ]
    dims = [word for name, sizes in open_inputs for word in ("-d", name, sizes)]
    # Of several models, each gets only its own names.
    own = dimension_words(fitting(view.model, job.dimensions))
    dimension_options = dims or own
    if dims:
        commands.append(["dlclint", "check", *target_words(target), *dims, path])
    if job.url:
        return [plain(shlex.join(words), 2000) for words in commands]  # the others need a local file
    if _fix_applies(view, job, fixes):
        fixed = str(job.path.with_name(f"{job.path.stem}.fixed.onnx"))
        options = [*target_words(target), *own]
        commands.append(["dlclint", "fix", *options, path, "-o", fixed])
    may_quantize = not target.kind.stated or target.quantize
    quantizes = may_quantize and any(runtime in _QUANTIZED for runtime in target.considered)
    if quantizes and converts.word == "yes":
        soc = [] if target.soc is None else ["--soc", soc_word(target.soc)]
        if target.soc is not None or target.runtimes:
            runtime = [] if target.soc is not None else ["--runtime", target.runtimes[0].value]
            commands.append(["dlclint", "plan", *soc, *runtime, *dimension_options, path])
        widths = width_words(target.kind)
        if not _is_simulated(view):
            return [plain(shlex.join(words), 2000) for words in commands[:NEXT]]
        commands.append(
            ["dlclint", "simulate", *soc, *widths, *dimension_options, "--inputs", "FOLDER", path]
        )
    return [plain(shlex.join(words), 2000) for words in commands[:NEXT]]


def _fix_applies(view: ModelView, job: Job, fixes: Sequence[CollectedFinding]) -> bool:
    """Whether `dlclint fix` would do anything that is worth a run: it leaves ignored findings alone."""
    wanted = [
        collected.fix
        for collected in fixes
        if collected.fix is not None and not any(ignore.matches(collected.shown) for ignore in job.ignores)
    ]
    if not wanted:
        return False
    # Imported here because few models have a finding with a fix.
    from dlclint.engine.trial import fix_applies

    return fix_applies(view.model, wanted)


def _is_simulated(view: ModelView) -> bool:
    """Whether `dlclint simulate` takes the model: it has outputs, and is float and not quantized already."""
    graph = view.model.graph
    if not graph.outputs or any(is_qdq(node.op_type, node.domain) for node in graph.nodes):
        return False
    kinds = (graph.type_of(node.output(0)) for node in view.nodes())
    return any(kind is None or is_float(kind.data_type) for kind in kinds)


def _is_static(view: ModelView, name: str) -> bool:
    kind = view.model.graph.type_of(name)
    return kind is not None and kind.static_shape is not None
