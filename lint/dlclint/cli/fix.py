"""`dlclint fix`: fix models and override files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dlclint.cli.apart import apart, function_of, run_apart
from dlclint.cli.errors import UsageError
from dlclint.cli.folders import files
from dlclint.cli.jobs import (
    comma_separated,
    config_for,
    config_of,
    inputs_of,
    job_for,
    rules_of_jobs,
    tell_broken_plugins,
)
from dlclint.cli.output import OutputFile, guard
from dlclint.diagnostic import Severity, plain
from dlclint.encodings.recognition import encodings_beside, is_encodings, model_beside
from dlclint.engine.fix.rounds import FixRequest, NotFixed
from dlclint.engine.fix.run import fix_file
from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, GROUP
from dlclint.outcome import FixOutcome
from dlclint.report.line_diff import unified
from dlclint.report.render import render

_FIX = "dlclint.cli.fix:fix_one"


def fix(args: argparse.Namespace) -> int:
    """Run the command; returns 0, 1 if errors remain or, where requested, if something was fixed, or 2.

    A file that cannot be fixed does not stop the others: one line reports it, and the status is 2.

    Raises:
        UsageError: the arguments or the configuration are invalid.
    """
    jobs = list(_jobs(args))
    if args.output and len(jobs) > 1:
        raise UsageError("-o names one file, several are given; use --in-place")
    if args.format == "json" and len(jobs) > 1:
        raise UsageError("--format json covers one file; give one")
    for job in jobs:
        kind = OutputFile.OVERRIDES if job.kind == "encodings" else OutputFile.MODEL
        guard(args.output, kind, inputs_of(args, (job,)), args.overwrite)
    status = 2 if tell_broken_plugins(jobs, _groups(jobs)) else 0
    if len(jobs) > 1:
        function_of(_FIX)  # loaded once, before processes are forked
    for job in jobs:
        try:
            status = max(status, run_apart(_FIX, job, args))
        except NotFixed as problem:
            path = plain(str(job.path))
            print(f"dlclint: error: {path}: {plain(str(problem), 500)}; nothing was written", file=sys.stderr)
            status = 2
    return status


def _jobs(args: argparse.Namespace) -> Iterator[Job]:
    """One job per file.

    Raises:
        UsageError: a path, an option or the configuration is invalid.
    """
    args.dims = list(map(_named, args.dims))
    config = config_of(args)
    chosen, ignored = comma_separated(args.select), comma_separated(args.ignore)
    jobs = []
    for path in files(args.paths, config):
        if is_encodings(path):
            model = Path(args.model) if args.model else model_beside(path)
            if model is not None and not model.is_file():
                raise UsageError(f"{plain(str(model))} does not exist; check --model")
            job = job_for(model or path, args, config, chosen, ignored, True)
            jobs.append(replace(job, path=path, kind="encodings", model=model))
        else:
            # With an override file, the converter does not simplify.
            named = config_for(config, path).section_for(path).encodings
            overridden = bool(named) or encodings_beside(path) is not None
            jobs.append(job_for(path, args, config, chosen, ignored, overridden))
    rules_of_jobs(jobs, _groups(jobs))
    _refuse_unknown(jobs)
    return iter(jobs)


def _groups(jobs: list[Job]) -> tuple[str, ...]:
    return tuple(sorted({ENCODINGS_GROUP if job.kind == "encodings" else GROUP for job in jobs}))


def _named(text: str) -> tuple[str, str]:
    """Name and dimensions of `--dims`.

    Raises:
        UsageError: the text is not such a pair.
    """
    name, mark, sizes = text.rpartition("=")
    if not mark or not name:
        raise UsageError(f"--dims {plain(text)}: give NAME=DIMS, such as data=1,3,224,224 or batch=1")
    return name, sizes


def _refuse_unknown(jobs: list[Job]) -> None:
    """Stop where the command line names an input or symbol that none of the models has.

    UsageError: it does so.
        UsageError: it does.
    """
    if not any(not named.section for job in jobs for named in job.names):
        return
    if message := apart(_unknown, jobs):
        raise UsageError(message)


def _unknown(jobs: list[Job]) -> str:
    # Imported here because they need onnx, which override files alone do not need.
    from dlclint.engine.names import misfits, unknown_names
    from dlclint.model.reading import Unreadable, read

    findings = []
    for job in jobs:
        path = job.path if job.kind == "model" else job.model
        if path is not None:
            try:
                findings.append(list(misfits(read(path, job.dimensions), job, plain(str(path), 500))))
            except Unreadable:
                continue  # reported where the file is fixed
    return unknown_names(findings)


def fix_one(job: Job, args: argparse.Namespace) -> int:
    """Fix one file and report the result.

    Raises:
        NotFixed: the file cannot be fixed or written.
    """
    output = Path(args.output) if args.output else job.path if args.in_place else None
    if job.kind == "model" and output is not None and output.suffix.lower() != ".onnx":
        raise NotFixed(f"{plain(str(output))}: models are written as .onnx; give -o NAME.onnx")
    outcome = fix_file(job, FixRequest(output, args.unsafe, args.verify))
    product = None
    if args.format != "json" and (args.diff or (job.kind == "encodings" and output is None)):
        product = _diff(outcome) if args.diff else outcome.text_after
        # The contents of a file must not control a terminal; a file or pipe gets them unchanged.
        sys.stdout.write(_visible(product) if sys.stdout.isatty() else product)
    report = sys.stdout if product is None else sys.stderr
    report.write(render("fix", args.format, outcome, report))
    return 1 if outcome.after[Severity.ERROR] or (args.exit_non_zero_on_fix and outcome.applied) else 0


def _visible(text: str) -> str:
    return "".join(f"{plain(line, len(line))}\n" for line in text.removesuffix("\n").split("\n"))


def _diff(outcome: FixOutcome) -> str:
    before, after = outcome.text_before.splitlines(), outcome.text_after.splitlines()
    lines = unified(before, after, outcome.path, f"{outcome.path} (fixed)")
    return "".join(f"{plain(line, 2000)}\n" for line in lines)
