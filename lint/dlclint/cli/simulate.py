"""`dlclint simulate`: the measured cost of quantization."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dlclint.analysis.options import dimension_words
from dlclint.analysis.view import ModelView
from dlclint.cli.confirm import asking
from dlclint.cli.errors import UsageError
from dlclint.cli.inputs import check_inputs, samples_of
from dlclint.cli.jobs import config_of, inputs_of, jobs_of
from dlclint.cli.output import OutputFile, deliver, deliver_all, draws, further_reports, guard
from dlclint.cli.searching import goal_of, run_search
from dlclint.confirm.process import Backend
from dlclint.confirm.socs import asked_soc
from dlclint.contained.guard import Ended, spot, step
from dlclint.diagnostic import Diagnostic, plain
from dlclint.encodings.convert import CannotConvert
from dlclint.encodings.reading import read_encodings
from dlclint.engine.drawing import drawing
from dlclint.engine.equalize import Options, write_equalized
from dlclint.engine.job import Job
from dlclint.engine.names import misfits, unknown_names
from dlclint.model.reading import Unreadable, read
from dlclint.report.progress import counting
from dlclint.simulate.assigning import Settings
from dlclint.simulate.comparing import by_htp
from dlclint.simulate.emission import overrides_of_scheme
from dlclint.simulate.htp import CannotMeasure, HtpSession
from dlclint.simulate.inputs.samples import BadInput
from dlclint.simulate.network import CannotSimulate
from dlclint.simulate.outcome import Departure, EngineResult, SearchOutcome, SimulateOutcome, Simulation
from dlclint.simulate.reference import Tick
from dlclint.simulate.running import CannotRun
from dlclint.simulate.simulating import Prepared, by_reference, prepare, widths_text
from dlclint.version import __version__


def simulate(args: argparse.Namespace) -> int:
    """Run the command; returns the exit status (see `SimulateOutcome.status`).

    Raises:
        UsageError: as `measured`.
    """
    reports = further_reports(args, "simulate")
    outcome = measured(args, reports)
    deliver_all("simulate", outcome, args, reports)
    return outcome.status


def measured(args: argparse.Namespace, reports: Sequence[tuple[str, str]] = ()) -> SimulateOutcome:
    """The outcomes of the models; requested override files and models are written.

    `reports` are the formats and files of all reports except the main one.

    Raises:
        UsageError: an argument is invalid, or the only model cannot be measured.
    """
    config = config_of(args)
    _check(args)
    jobs = list(jobs_of(args, config, (), ()))
    models = [job for job in jobs if job.kind == "model"]
    override_files = {job.model: job.path for job in jobs if job.kind == "encodings"}
    if not models:
        raise UsageError("there is no model among these paths; give a model, or a folder with one")
    for option, wanted in (("overrides", args.emit_overrides), ("equalized", args.emit_equalized)):
        if wanted and len(models) != 1:
            raise UsageError(f"--emit-{option} goes with one model, here are {len(models)}")
    sources = [*inputs_of(args, jobs), Path(args.inputs) if args.inputs else None]
    outputs = (
        *((path, OutputFile.REPORT) for path in (args.output, *(path for _, path in reports))),
        (args.emit_overrides, OutputFile.OVERRIDES),
        (args.emit_equalized, OutputFile.MODEL),
    )
    for output, kind in outputs:
        guard(output, kind, sources, args.overwrite)
    models = [replace(job, drawn=draws(args, reports)) for job in models]
    views = _views(models)
    with _backend(args) as backend:
        files = tuple(_simulated(args, models, views, override_files, backend))
    if len(files) == 1 and files[0].unasked:
        raise UsageError(f"{files[0].path}: {files[0].unasked}")
    return SimulateOutcome(__version__, files)


def _check(args: argparse.Namespace) -> None:
    check_inputs(args)
    if not 50.0 < args.percentile <= 100.0:
        raise UsageError(f"--percentile {args.percentile:g}: give a number above 50, at most 100")
    goal_of(args)
    if args.emit_equalized and goal_of(args) is None:
        raise UsageError("--emit-equalized goes with --target or --agreement, which search")
    if args.input_moments and args.inputs:
        raise UsageError("--input-moments is for random inputs, and --inputs gives others; leave one out")


def _views(jobs: Sequence[Job]) -> dict[Path, ModelView | str]:
    """The view of each model, or why it cannot be read; names that no model has are rejected."""
    views: dict[Path, ModelView | str] = {}
    odd: list[list[Diagnostic]] = []
    for job in jobs:
        try:
            model = read(job.path, job.dimensions)
        except Unreadable as problem:
            views[job.path] = plain(f"{problem.message}; {problem.help}", 400)
            continue
        views[job.path] = ModelView(model, job.target)
        odd.append(list(misfits(model, job, plain(str(job.path), 500))))
    if unknown := unknown_names(odd):
        raise UsageError(unknown)
    return views


def _simulated(
    args: argparse.Namespace,
    jobs: Sequence[Job],
    views: Mapping[Path, ModelView | str],
    encodings: Mapping[Path | None, Path],
    backend: Asking | None,
) -> Iterator[Simulation]:
    for job in jobs:
        view = views[job.path]
        shown = plain(str(job.path), 500)
        if isinstance(view, str):
            yield Simulation(shown, unasked=view)
            continue
        try:
            # Noted, so that a model that ends the process loses only its own figures.
            with step("simulation", where=spot(job.path)):
                simulation = _one(args, job, view, encodings.get(job.path), shown, backend)
        except (BadInput, CannotSimulate, CannotRun) as problem:
            simulation = Simulation(shown, unasked=plain(str(problem), 500))
        except Ended as ended:
            simulation = Simulation(shown, unasked=f"the process that runs it {ended}")
        yield simulation


def _one(
    args: argparse.Namespace,
    job: Job,
    view: ModelView,
    encodings: Path | None,
    shown: str,
    backend: Asking | None,
) -> Simulation:
    started = time.perf_counter()
    settings = _settings(args, job)
    samples = samples_of(args, view.model.graph, job)
    document = None if encodings is None else read_encodings(encodings)
    engines: list[EngineResult] = []
    apart: tuple[Departure, ...] = ()
    goal = goal_of(args)
    passes = 1 + (args.engine != "htp") + (args.engine != "reference")
    with counting("simulating", passes * len(samples)) as tick:
        prepared = prepare(view, samples, settings, document, tick)
        found_by = None
        if goal is not None:
            found_by, prepared = run_search(args, job, prepared, goal)
        if args.engine != "htp":
            engines.append(by_reference(prepared, tick))
        if backend is not None:
            engine_result, apart = _on_htp(prepared, job, backend, tick)
            engines.append(engine_result)
    notes = [*prepared.notes, *_written(args, prepared), *_equalized(args, job, found_by)]
    return Simulation(
        shown,
        widths_text(settings),
        "" if job.target.soc is None else str(job.target.soc),
        samples.words,
        len(samples),
        samples.random,
        "" if encodings is None else plain(str(encodings), 500),
        tuple(engines),
        apart if args.engine == "both" else (),
        found_by,
        tuple(plain(note, 400) for note in notes),
        drawing=drawing([view], ()) if job.drawn else None,
        seconds=time.perf_counter() - started,
    )


def _written(args: argparse.Namespace, prepared: Prepared) -> tuple[str, ...]:
    """Write the override file, if requested; returns notes on it."""
    if not args.emit_overrides:
        return ()
    try:
        overrides = overrides_of_scheme(prepared.network, prepared.scheme, args.encodings_version)
    except CannotConvert as problem:
        raise UsageError(f"--encodings-version {args.encodings_version}: {plain(str(problem))}") from None
    deliver(f"{overrides.text}\n", args.emit_overrides)
    return overrides.notes


def _equalized(args: argparse.Namespace, job: Job, search_outcome: SearchOutcome | None) -> tuple[str, ...]:
    """Write the equalized model, if requested; returns notes on it."""
    if search_outcome is None or not search_outcome.equalized:
        return ("--emit-equalized: nothing is written, because nothing is equalized",) * bool(
            args.emit_equalized
        )
    width = job.target.kind.weights_bitwidth
    if not args.emit_equalized:
        dims = dimension_words(job.dimensions)
        words = ["dlclint", "equalize", "--extended", "--weights-bitwidth", str(width), *dims, str(job.path)]
        return (
            f"the result and the override file belong to the equalized model: {shlex.join(words)} -o"
            " OUT.onnx, or --emit-equalized OUT.onnx here, writes it",
        )
    write_equalized(
        job.path, Path(args.emit_equalized), Options(True, bitwidth=width, dimensions=job.dimensions)
    )
    return (f"the override file belongs to the equalized model, {args.emit_equalized}",)


def _settings(args: argparse.Namespace, job: Job) -> Settings:
    kind = job.target.kind
    return Settings(
        kind.act_bitwidth,
        kind.weights_bitwidth,
        kind.bias_bitwidth,
        kind.per_channel,
        args.act_quantizer,
        args.param_quantizer,
        args.percentile,
        None if job.target.soc is None else job.target.soc.hexagon,
    )


Asking = tuple[Backend, Mapping[str, str]]
"""A backend, and the versions of its packages."""


@contextmanager
def _backend(args: argparse.Namespace) -> Iterator[Asking | None]:
    """The backend, where an engine needs it."""
    if args.engine == "reference":
        yield None
        return
    with asking(args) as backend:
        yield backend


def _on_htp(
    prepared: Prepared, job: Job, backend: Asking, tick: Tick
) -> tuple[EngineResult, tuple[Departure, ...]]:
    worker, packages = backend
    soc = job.target.soc
    if soc is None:
        raise UsageError("the backend measures for a SoC: give --soc, such as --soc SM8550 (`dlclint soc`)")
    try:
        return by_htp(prepared, HtpSession(worker, asked_soc(soc)), packages, tick)
    except (CannotMeasure, CannotSimulate) as problem:
        return EngineResult("htp", packages, failure=plain(str(problem), 600)), ()
