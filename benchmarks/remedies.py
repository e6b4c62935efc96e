"""Every remedy checked against every target: no rule may recommend what another one rejects there.

    python -m benchmarks.remedies [--part I/N] [--jobs N]

Models are the bad fixtures, targets the chips of the data, one of each kind that the rules can distinguish,
with every width that the options have. Told is each advice that the target cannot follow by what is known of
it, each option in a help text, command or plan that brings an error which was not there before, and each fix
after which an error or warning of its severity or a higher one appears. The tests try a sample of the same.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path

from dlclint.analysis.plan.model import PlanRequest, Topic
from dlclint.diagnostic import Diagnostic, Severity
from dlclint.engine.fix.model import fix_model
from dlclint.engine.fix.rounds import NotFixed
from dlclint.engine.job import Job
from dlclint.engine.plan import CarriesEncodings, OverrideRequest, plan_model
from dlclint.engine.run import lint_file
from dlclint.model.dimensions import Dimensions
from dlclint.model.writing import write_model
from dlclint.outcome import FileOutcome
from dlclint.socs import all_socs
from dlclint.target import DlcKind, Runtime, Soc, Target

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures"
FAMILIES = (
    *("quantization", "runtime", "htp", "cle", "encodings", "ops", "precision"),
    *("shapes", "batch", "graph"),
)
KINDS = {
    "any": DlcKind(),
    "a8w8": DlcKind(quantize=True, stated=True),
    "a8w4": DlcKind(quantize=True, weights_bitwidth=4, per_channel=True, stated=True),
    "a16w8": DlcKind(quantize=True, act_bitwidth=16, bias_bitwidth=32, stated=True),
    "a16w16": DlcKind(quantize=True, act_bitwidth=16, weights_bitwidth=16, bias_bitwidth=32, stated=True),
    "float32": DlcKind(stated=True),
    "float16": DlcKind(float_bitwidth=16, stated=True),
}
_FLOAT16 = re.compile(r"float16|fp16|--float[-_]bitwidth 16")
_WIDE = re.compile(r"16 bits|16-bit|--act-bitwidth 16|--weights-bitwidth 16|by row|per.channel.quantization")
_WIDE_WEIGHTS = re.compile(r"--weights-bitwidth 16|16-bit weights|dynamic_16_bit_weights")
_DENIED = re.compile(r"\b(no|not|without|never|instead of|lacks?|beyond|from v7\d|only|newer)\b")
"""A remedy may state that something does not exist."""
_BITS = re.compile(r"--(act|weights|bias|float)[-_]bitwidth (\d+)")
REVEALED = {
    ("ops/no-runtime", "ops/pattern-only"): "what converts may still lack the runtime",
    ("shapes/contradiction", "batch/symbolic"): "with the size known, what cannot be is seen",
    ("runtime/partition", "ops/version-changed-structure"): "Transposes beside an op that runs elsewhere",
}
"""Findings that a fix does not cause, but reveals."""
Found = tuple[str, str]
"""A rule and what is wrong with its remedy."""


def models() -> list[tuple[Path, Path | None]]:
    """The bad fixtures that are models, each with the override file next to it, if any."""
    paths = sorted(path for family in FAMILIES for path in (FIXTURES / family).glob("*/bad*.onnxtxt"))
    beside = ((path, path.with_suffix(".json")) for path in paths)
    return [(path, file if file.exists() else None) for path, file in beside]


def targets() -> Iterator[tuple[str, Target]]:
    """Every runtime of a chip of each kind with every kind of DLC, and their names."""
    seen: dict[tuple[object, ...], Soc] = {}
    for soc in all_socs():
        seen.setdefault((soc.hexagon, soc.fp16, soc.runtimes, soc.listed), soc)
    for soc in seen.values():
        for name, kind in KINDS.items():
            for runtime in (None, *soc.runtimes):
                runtimes = () if runtime is None else (runtime,)
                label = f"{soc.name} {runtime.value if runtime else 'any'} {name}"
                yield label, Target(runtimes, soc=soc, kind=kind)


@lru_cache(4096)
def _linted(path: Path, target: Target, overrides: Path | None) -> FileOutcome:
    """Cached, because one target's remedy is tried on others."""
    return lint_file(Job(path, target, overrides=overrides))


def wrong_advice(path: Path, file: Path | None, target: Target) -> Iterator[Found]:
    """What is wrong with the remedies for a model on a target."""
    job = Job(path, target, overrides=file)
    outcome = _linted(path, target, file)
    diagnostics = list(outcome.diagnostics)
    if file is not None:
        diagnostics += lint_file(Job(file, target, kind="encodings", model=path)).diagnostics
    for finding in diagnostics:
        for clause in filter(None, re.split(r"[;,]| or ", finding.help)):
            if not _DENIED.search(clause):
                yield from ((finding.rule, f"{why}: {clause.strip()}") for why in _beyond(target, clause))
    yield from _by_option(job, diagnostics)
    yield from _of_commands(outcome)


def _beyond(target: Target, clause: str) -> Iterator[str]:
    if Runtime.HTP in target.considered and target.lacks_float16 and _FLOAT16.search(clause):
        yield "no float16 on this chip"
    hexagon = None if target.soc is None else target.soc.hexagon
    means_dsp = {Runtime.DSP, Runtime.AIP} & set(target.considered) and Runtime.HTP not in target.considered
    if means_dsp and target.quantize and _WIDE.search(clause):
        yield "Hexagon v66"
    if Runtime.HTP in target.considered and hexagon and hexagon < 73 and _WIDE_WEIGHTS.search(clause):
        yield f"Hexagon v{hexagon}"


def _errors(diagnostics: list[Diagnostic]) -> set[str]:
    return {finding.rule for finding in diagnostics if finding.severity is Severity.ERROR}


def _by_option(job: Job, diagnostics: list[Diagnostic]) -> Iterator[Found]:
    """Options in help texts that cause an error which did not exist before."""
    tried: set[DlcKind] = set()
    for finding in diagnostics:
        kind = job.target.kind
        for option, bits in _BITS.findall(finding.help):
            kind = replace(kind, **{f"{option}_bitwidth": int(bits)})
        if re.search(r"--use[-_]per[-_]channel", finding.help) and kind.quantize:
            kind = replace(kind, per_channel=True)
        if kind == job.target.kind or kind in tried:
            continue
        tried.add(kind)
        changed = _linted(job.path, replace(job.target, kind=kind), job.overrides).diagnostics
        for rule in sorted(_errors(list(changed)) - _errors(diagnostics)):
            yield finding.rule, f"its options bring {rule}: {finding.help}"


def _of_commands(outcome: FileOutcome) -> Iterator[Found]:
    """Commands of a verdict that the command line rejects."""
    for line in outcome.verdict.next if outcome.verdict is not None else ():
        try:
            _command_line().parse_args(shlex.split(line)[1:])
        except SystemExit:
            yield "verdict", f"not a command: {line}"


@cache
def _command_line() -> argparse.ArgumentParser:
    """Built once, because that takes as long as linting a model."""
    # Imported here because only this needs the command line.
    from dlclint.cli.main import parser

    return parser()


def wrong_plan(path: Path, target: Target) -> Iterator[Found]:
    """Errors of the rules that a plan's own choice causes."""
    if target.kind.stated or not target.considered:
        return
    job = Job(path, replace(target, kind=replace(target.kind, quantize=True, stated=True)))
    try:
        plan, _ = plan_model(job, PlanRequest(Dimensions()), OverrideRequest())
    except CarriesEncodings:
        return
    if any(advice.topic is Topic.ENCODINGS for advice in plan.advice):
        return  # nothing was chosen
    alone = replace(job.target, runtimes=(plan.choice.runtime,), kind=KINDS["a8w8"])
    plain = _errors(list(_linted(path, alone, None).diagnostics))
    for advice in plan.obstacles:
        if advice.is_error and advice.rule not in plain:
            yield "plan", f"its choice brings {advice.rule}: {advice.message}"


def wrong_fixes(path: Path, target: Target) -> Iterator[Found]:
    """Fixes of a model after which a finding of their severity or a higher one appears."""
    job = Job(path, target)
    before = _linted(path, target, None).diagnostics
    fixed = [finding for finding in before if finding.fix is not None]
    if not fixed:
        return
    try:
        done, draft = fix_model(job, unsafe=True)
    except NotFixed:
        return
    if not done.applied:
        return
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "fixed.onnx"
        write_model(draft, output)
        after = lint_file(replace(job, path=output)).diagnostics
    rules = {finding.rule for finding in done.applied}
    severities = [finding.severity for finding in before if finding.rule in rules]
    worst = min((*severities, Severity.WARNING), key=lambda each: each.rank)
    more = _counts(after, worst) - _counts(before, worst)
    for rule, count in more.items():
        if not any((rule, other) in REVEALED for other in rules):
            yield rule, f"{count} more after the fixes of {', '.join(sorted(rules))}"


def _counts(diagnostics: tuple[Diagnostic, ...], least: Severity) -> Counter[str]:
    return Counter(finding.rule for finding in diagnostics if finding.severity.rank <= least.rank)


def everything(first: int, each: int) -> Iterator[tuple[str, str, Found]]:
    """Model, target and what is wrong, of every `each`-th pair."""
    aims = list(targets())
    pairs = ((model, aim) for model in models() for aim in aims)
    for (path, file), aim in islice(pairs, first, None, each):
        yield from _wrong(path, file, aim)


def _wrong(path: Path, file: Path | None, aim: tuple[str, Target]) -> Iterator[tuple[str, str, Found]]:
    label, target = aim
    name = str(path.relative_to(FIXTURES))
    problems = [*wrong_advice(path, file, target), *wrong_plan(path, target), *wrong_fixes(path, target)]
    yield from ((name, label, wrong) for wrong in problems)


def _tried(model: tuple[Path, Path | None]) -> tuple[int, list[tuple[str, str, Found]]]:
    """The number of targets for which a model is tried, and what is wrong."""
    _linted.cache_clear()
    aims = list(targets())
    return len(aims), [row for aim in aims for row in _wrong(*model, aim)]


def main(arguments: list[str]) -> int:
    """Print what is wrong, once per rule and kind of remedy; 1 if anything is."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.remedies", description=__doc__)
    options.add_argument("--part", default="0/1", help="which part of how many, such as 0/4")
    options.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    args = options.parse_args(arguments)
    part, parts = map(int, args.part.split("/"))
    chosen = models()[part::parts]
    begun, tried = time.monotonic(), 0
    seen: Counter[Found] = Counter()
    with ProcessPoolExecutor(args.jobs) as pool:
        for done, (count, rows) in enumerate(pool.map(_tried, chosen), 1):
            tried += count
            for name, label, wrong in rows:
                seen[wrong] += 1
                if seen[wrong] == 1:
                    print(f"{wrong[0]}: {wrong[1]} ({name}, {label})", flush=True)
            if done % 10 == 0:
                print(f"{tried} pairs in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(f"{tried} pairs of {len(chosen)} models with {len(list(targets()))} targets each; ", end="")
    print(f"{len(seen)} kinds of advice are wrong")
    return int(bool(seen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
