"""`dlclint check`: from arguments and configuration to jobs, and from their outcomes to a report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dlclint.cli.apart import Rest
from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import (
    comma_separated,
    config_of,
    inputs_of,
    jobs_of,
    refuse_unknown,
    rules_of_jobs,
    shard_of,
    tell_broken_plugins,
)
from dlclint.cli.output import OutputFile, draws, further_reports, guard
from dlclint.diagnostic import Severity, first_few, plain
from dlclint.engine.job import Job
from dlclint.engine.registry import ENCODINGS_GROUP, GROUP
from dlclint.engine.run import run
from dlclint.model.formats import is_lfs_pointer
from dlclint.outcome import FileOutcome, Outcome, changed
from dlclint.own_rules import CONFIRM_DOCS, OWN_DOCS
from dlclint.report.progress import with_progress
from dlclint.report.render import FORMATS
from dlclint.rule import Rule
from dlclint.version import __version__

if TYPE_CHECKING:
    from dlclint.engine.cache import Cache
    from dlclint.engine.config import Config

LISTED = 1000
"""Findings of one rule in a file that are listed, unless `--all` is given."""


def check(args: argparse.Namespace) -> int | Rest:
    """Run the command, except for its reports.

    Raises:
        UsageError: the arguments or the configuration are invalid.
    """
    started = time.perf_counter()
    reports = further_reports(args, "check")
    if args.statistics and args.format not in FORMATS["statistics"]:
        formats = " or ".join(FORMATS["statistics"])
        raise UsageError(f"--statistics has no format {args.format}; give --format {formats}")
    if args.on or args.results or args.resume:
        # Imported here because most runs are on one machine and keep no results.
        from dlclint.cli.many import refuse_unusable

        refuse_unusable(args)
    config = config_of(args)
    problems: list[str] = []
    jobs = list(jobs_of(args, config, comma_separated(args.select), comma_separated(args.ignore), problems))
    if problems and not jobs:
        raise UsageError("; ".join(problems))
    for problem in problems:
        print(f"dlclint: error: {problem}", file=sys.stderr)
    if args.shard:
        jobs = shard_of(jobs, args.shard)
    if args.skip_lfs_pointers:
        jobs = _fetched(jobs)
    if args.show_files or args.show_settings:
        # Imported here because it is seldom needed.
        from dlclint.cli.showing import show

        show(jobs, config, args.show_settings)
        return 2 if problems else 0
    if draws(args, reports):
        jobs = [replace(job, drawn=True) for job in jobs]
    if args.no_weights:
        jobs = [replace(job, weights=False) for job in jobs]
    known = baseline_of(args, config)
    if not args.all and known is None:
        jobs = [replace(job, listed=LISTED) for job in jobs]
    if args.confirm and any(job.others for job in jobs):
        raise UsageError("--confirm takes one chip; give one --soc")
    groups = {ENCODINGS_GROUP if job.kind == "encodings" else GROUP for job in jobs}
    rules = rules_of_jobs(jobs, tuple(sorted(groups)))
    lacks_plugins = tell_broken_plugins(jobs, tuple(sorted(groups)))
    args.no_cache = args.no_cache or lacks_plugins  # a result that lacks findings must not be cached
    for output in (args.output, *(path for _, path in reports), known if args.write_baseline else None):
        guard(output, OutputFile.REPORT, inputs_of(args, jobs), args.overwrite)
    if args.jobs is not None and args.jobs < 1:
        raise UsageError(f"--jobs {args.jobs}: give a number of at least 1")
    plan = _Plan(args, config, jobs, rules, known, reports, bool(problems) or lacks_plugins, started)
    if not (args.on or args.results):
        workers = args.jobs or os.cpu_count() or 1
        return _reported(plan, list(with_progress(run(jobs, workers, _cache(args)), len(jobs))))
    # Imported here as above.
    from dlclint.cli.many import linted, scratch_of

    with scratch_of(args) as scratch:
        return _reported(plan, linted(args, jobs, scratch), scratch)


class _Plan(NamedTuple):
    """What a run does, and when it started."""

    args: argparse.Namespace
    config: Config
    jobs: list[Job]
    rules: tuple[Rule, ...]
    known: Path | None
    """The baseline."""
    reports: list[tuple[str, str]]
    partial: bool
    """Whether a path could not be followed, or a plugin is broken."""
    started: float


def _reported(plan: _Plan, files: Sequence[FileOutcome], scratch: Path | None = None) -> Rest:
    """What to report about the files; `scratch` is removed after the report."""
    args, jobs, known = plan.args, plan.jobs, plan.known
    refuse_unknown(files)
    rules = plan.rules
    ids = {rule.id for rule in rules}
    if {finding.rule for file in files for finding in file.diagnostics} - ids - OWN_DOCS.keys():
        # The rules on override files also check a model that carries encodings.
        rules = (*rules, *rules_of_jobs(jobs, (GROUP, ENCODINGS_GROUP)))
    docs = {rule.id: rule.page for rule in rules}
    if args.confirm:
        # Imported here because the backend is seldom used.
        from dlclint.cli.confirm import confirmed

        files = confirmed(files, jobs, args)
        docs |= CONFIRM_DOCS
    if known is not None:
        # Imported here because few runs have a baseline.
        from dlclint.cli.baseline import without_known, write_baseline

        if args.write_baseline:
            print(write_baseline(known, files), file=sys.stderr)
        files = without_known(known, files)
    fail_on = args.fail_on or plan.config.fail_on or "error"
    lowest = Severity(args.min_severity)
    outcome = Outcome(
        __version__,
        changed(files, partial(FileOutcome.from_severity, lowest=lowest)),
        None if fail_on == "never" else Severity(fail_on),
        docs,
        time.perf_counter() - plan.started,
        args.all,
        args.quiet,
        frozenset(rule.id for rule in rules if not rule.origin),
    )
    command = "statistics" if args.statistics else "check"
    wanted = (command, outcome, plan.reports, args.format, args.output, plan.partial, scratch)
    return Rest("dlclint.cli.reporting:write", wanted)


def baseline_of(args: argparse.Namespace, config: Config) -> Path | None:
    """The file of known findings, if the run uses one."""
    if args.baseline is not None:
        return Path(args.baseline)
    if config.baseline is None and args.write_baseline:
        return Path("dlclint-baseline.json")
    return config.baseline


def _cache(args: argparse.Namespace) -> Cache | None:
    """The cache of earlier results, unless it is switched off."""
    if args.no_cache:
        return None
    # Imported here because a run with --no-cache does not need it.
    from dlclint.engine.cache import Cache, default_folder

    folder = default_folder()
    return None if folder is None else Cache(folder)


def _fetched(jobs: list[Job]) -> list[Job]:
    """The jobs whose files are present; one line names the files that Git LFS has not fetched."""
    pointers = [plain(str(job.path), 200) for job in jobs if is_lfs_pointer(job.path)]
    if pointers:
        print(
            f"dlclint: note: not linted, because Git LFS has not fetched them (git lfs pull): "
            f"{first_few(pointers, len(pointers))}",
            file=sys.stderr,
        )
    return [
        replace(job, overrides=None) if is_lfs_pointer(job.overrides) else job
        for job in jobs
        if not is_lfs_pointer(job.path)
    ]
