"""What `dlclint confirm` and `check --confirm` do while the backend loads, and with its answers."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dlclint.analysis.view import ModelView
from dlclint.chains import report_order
from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import (
    comma_separated,
    config_of,
    inputs_of,
    jobs_of,
    refuse_unknown,
    rules_of_jobs,
    tell_broken_plugins,
)
from dlclint.cli.output import OutputFile, deliver, guard
from dlclint.confirm.asking import ConfirmRequest, asked_target, cpu_target
from dlclint.confirm.asking import compare_with_backend as ask
from dlclint.confirm.compare import Confirmation, ConfirmOutcome
from dlclint.confirm.dlc import check_place
from dlclint.confirm.evidence import with_evidence
from dlclint.confirm.process import Backend, NotAvailable
from dlclint.confirm.sdk import cpu_library, sdk_root
from dlclint.confirm.socs import asked_soc, this_machine
from dlclint.confirm.wording import troubles, words
from dlclint.diagnostic import Diagnostic, plain
from dlclint.encodings.reading import read_encodings
from dlclint.engine.job import Job
from dlclint.engine.run import lint_file
from dlclint.model.reading import Unreadable, read
from dlclint.model.writing import CannotWrite
from dlclint.outcome import FileOutcome
from dlclint.report.progress import with_progress
from dlclint.report.render import render
from dlclint.target import Runtime
from dlclint.version import __version__
from dlclint_schemas.record import record


def ask_and_report(
    args: argparse.Namespace, asked: Backend, packages: Mapping[str, str], started: float
) -> int:
    """Lint, ask and report; returns the exit status (see `ConfirmOutcome.status`).

    Raises:
        UsageError: the arguments are invalid.
        NotAvailable: the backend cannot be loaded, or does not know the SoC.
    """
    config = config_of(args)
    every = list(jobs_of(args, config, comma_separated(args.select), comma_separated(args.ignore)))
    rules_of_jobs(every)
    tell_broken_plugins(every)  # the verdict comes from the backend, whichever rules are loaded
    library = cpu_library(sdk_root(args)) if args.judge == "cpu" else None
    aim = asked_target if library is None else cpu_target
    jobs = [replace(job, target=aim(job.target)) for job in every if job.kind == "model"]
    if not jobs:
        raise UsageError("there is no model among these paths; give a model, or a folder with one")
    if library is not None and args.dlc:
        raise UsageError("--dlc writes the HTP backend's DLC; leave it out with --judge cpu")
    wishes = [_wish(job, args, library) for job in jobs]
    guard(args.output, OutputFile.REPORT, inputs_of(args, every), args.overwrite)
    guard(args.dlc, OutputFile.DLC, inputs_of(args, every), args.overwrite)
    if args.dlc and len(jobs) != 1:
        raise UsageError(f"--dlc takes one model, and these are {len(jobs)}")
    if args.dlc:
        try:
            check_place(Path(args.dlc), [path for job in every for path in (job.path, job.model) if path])
        except CannotWrite as problem:
            raise UsageError(f"--dlc: {plain(str(problem))}") from None
    files = tuple(with_progress(_confirmed(asked, jobs, wishes, _linted_overrides(every)), len(jobs)))
    outcome = ConfirmOutcome(__version__, files, packages, time.perf_counter() - started)
    text = render("confirm", args.format, outcome, sys.stdout if args.output is None else None)
    deliver(text, args.output)
    return outcome.status


def _wish(job: Job, args: argparse.Namespace, library: Path | None = None) -> ConfirmRequest:
    if library is not None:
        return ConfirmRequest(this_machine(library.name), not args.validate_only, None, library)
    soc = job.target.soc
    if soc is None:
        raise NotAvailable(
            "the backend needs a SoC: give --soc, such as --soc SM8550 (`dlclint soc` lists them)"
        )
    return ConfirmRequest(
        asked_soc(soc), not args.validate_only, Path(args.dlc) if getattr(args, "dlc", None) else None
    )


def _confirmed(
    asked: Backend,
    jobs: Sequence[Job],
    wishes: Sequence[ConfirmRequest],
    overrides: Mapping[Path | None, _Overrides],
) -> Iterator[Confirmation]:
    """The confirmation of each file in turn; a file that cannot be read or confirmed stops no others."""
    files = [lint_file(job) for job in jobs]
    refuse_unknown(files)
    for job, wish, linted in zip(jobs, wishes, files, strict=True):
        yield _answer(asked, job, wish, overrides.get(job.path), linted)


@record
class _Overrides:
    """A model's override file, and the outcome of linting it."""

    path: Path
    diagnostics: tuple[Diagnostic, ...]


def _linted_overrides(jobs: Iterable[Job]) -> dict[Path | None, _Overrides]:
    """The override files among some jobs, by their models."""
    files = (replace(job, target=asked_target(job.target)) for job in jobs if job.kind == "encodings")
    return {job.model: _Overrides(job.path, lint_file(job).diagnostics) for job in files}


def _answer(
    asked: Backend, job: Job, wish: ConfirmRequest, overrides: _Overrides | None, linted: FileOutcome
) -> Confirmation:
    try:
        model = read(job.path, job.dimensions)
    except Unreadable as problem:
        reason = plain(f"{problem.message}; {problem.help}", 400)
        return Confirmation(linted.path, str(job.target.soc), wish.soc.name, wish.compiles, unasked=reason)
    document = None if overrides is None else read_encodings(overrides.path)
    said = (*linted.diagnostics, *(() if overrides is None else overrides.diagnostics))
    view = ModelView(model, job.target)
    try:
        return ask(asked, linted.path, view, said, wish, document)
    except CannotWrite as problem:
        raise UsageError(plain(str(problem))) from None


def with_verdicts(
    files: Sequence[FileOutcome], jobs: Sequence[Job], args: argparse.Namespace, asked: Backend
) -> list[FileOutcome]:
    """The outcomes of `check` with the backend's verdict as evidence, and a note on the verdict.

    Raises:
        NotAvailable: the backend cannot be loaded, or does not know the SoC.
    """
    overrides = {
        job.model: _Overrides(job.path, file.diagnostics)
        for job, file in zip(jobs, files, strict=True)
        if job.kind == "encodings"
    }
    file_outcomes: list[FileOutcome] = []
    for file, job in zip(files, jobs, strict=True):
        if job.kind != "model" or Runtime.HTP not in job.target.considered:
            file_outcomes.append(file)
            continue
        meant = replace(job, target=asked_target(job.target))
        said = _answer(asked, meant, _wish(job, args), overrides.get(job.path), file)
        kept = report_order(with_evidence(file.diagnostics, said))
        notes = (*file.notes, *(f"the backend: {text}" for text in troubles(said)))
        if said.rows:
            notes = (*notes, words(said))
        file_outcomes.append(replace(file, diagnostics=kept, notes=notes))
    return file_outcomes
