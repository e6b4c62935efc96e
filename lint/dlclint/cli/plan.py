"""`dlclint plan`: the quantization plan of a model, and a first override file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from dlclint.analysis.plan.decide import stays_float
from dlclint.analysis.plan.model import PlanRequest
from dlclint.cli.errors import UsageError
from dlclint.cli.folders import files
from dlclint.cli.inputs import check_inputs, samples_of
from dlclint.cli.jobs import config_for, config_of, inputs_of, job_for, rules_of_jobs, tell_broken_plugins
from dlclint.cli.options.shared import WIDTHS
from dlclint.cli.output import OutputFile, deliver, deliver_all, draws, further_reports, guard
from dlclint.cli.searching import goal_of
from dlclint.diagnostic import plain
from dlclint.encodings.convert import CannotConvert
from dlclint.encodings.recognition import encodings_beside, is_encodings
from dlclint.engine.config import Config
from dlclint.engine.job import Job
from dlclint.engine.plan import CarriesEncodings, Measuring, OverrideRequest, UnknownNames, plan_model
from dlclint.model.reading import Unreadable
from dlclint.report.progress import counting
from dlclint.simulate.inputs.samples import BadInput
from dlclint.simulate.network import CannotSimulate
from dlclint.simulate.planning import Wanted
from dlclint.simulate.running import CannotRun

_RUNS = 60
"""About how many times the samples are run; used only by the progress bar."""


def plan(args: argparse.Namespace) -> int:
    """Run the command; returns 1 if conversion is known to fail, 2 if a plugin is broken, else 0.

    Raises:
        UsageError: the model cannot be read, or an argument is invalid.
    """
    path = Path(args.path)
    if path.is_dir() or is_encodings(path):
        raise UsageError(f"{plain(args.path)}: give one model; a plan is made for one at a time")
    list(files([args.path]))
    config = config_of(args)
    named = Path(args.encodings) if args.encodings else _beside(path, args.emit_overrides)
    if named is not None and not named.is_file():
        raise UsageError(f"override file {plain(str(named))} does not exist; check the path")
    job = replace(_job(path, args, config), overrides=named)
    if named is not None and not stays_float(job.target, args.float):
        # With an override file the converter does not simplify.
        job = replace(job, target=replace(job.target, simplify=False))
    reports = further_reports(args, "plan")
    written = [path for path in (args.output, *(path for _, path in reports)) if path is not None]
    for output in written:
        guard(output, OutputFile.REPORT, inputs_of(args, (job,)), args.overwrite)
    guard(args.emit_overrides, OutputFile.OVERRIDES, inputs_of(args, (job,)), args.overwrite)
    for output in written:
        if args.emit_overrides and _same(output, args.emit_overrides):
            raise UsageError(
                f"{plain(output)} is the output of both the plan and the override file; name two files"
            )
    job = replace(job, drawn=draws(args, reports))
    if args.estimated_activations and not args.emit_overrides:
        raise UsageError("--estimated-activations goes with --emit-overrides")
    lacks_plugins = tell_broken_plugins([job])
    measuring = _measuring(args, job)
    settled = _settled(args, config, job)
    override_file = "" if named is None else str(named)
    asked = PlanRequest(
        job.dimensions, args.emit_overrides or "", settled, args.float, model_overrides=override_file
    )
    file = OverrideRequest(args.encodings_version, args.estimated_activations)
    try:
        with counting("measuring", _RUNS) as tick:
            result, overrides = plan_model(job, asked, file, measuring and replace(measuring, tick=tick))
    except (BadInput, CannotSimulate, CannotRun) as problem:
        raise UsageError(f"{plain(args.path)}: {plain(str(problem), 500)}") from None
    except CannotConvert as problem:
        raise UsageError(f"--encodings-version {args.encodings_version}: {plain(str(problem))}") from None
    except Unreadable as problem:
        raise UsageError(f"{plain(args.path)}: {plain(problem.message)}; {plain(problem.help)}") from None
    except (CarriesEncodings, UnknownNames) as error:
        raise UsageError(str(error)) from None
    if args.emit_overrides:
        if overrides is None:
            why = "was asked for" if args.float else f"is what {result.choice.runtime.value} wants"
            raise UsageError(f"a float DLC {why}, and takes no encodings; leave out --emit-overrides")
        deliver(f"{overrides.text}\n", args.emit_overrides)
    deliver_all("plan", result, args, reports)
    return 2 if lacks_plugins else 1 if result.fails else 0


def _measuring(args: argparse.Namespace, job: Job) -> Measuring | None:
    """What to measure on, if inputs are given.

    Raises:
        UsageError: options do not go together.
    """
    check_inputs(args)
    if args.inputs is None:
        for option, value in (("--target", args.target), ("--agreement", args.agreement)):
            if value is not None:
                raise UsageError(f"{option} goes with --inputs, on which a plan is measured")
        if args.input_layout:
            raise UsageError("--input-layout goes with --inputs")
        return None
    if args.float:
        raise UsageError("--inputs measures what quantization costs, and --float asks for none")
    if args.input_moments or args.estimated_activations:
        raise UsageError("--inputs takes the place of --input-moments and --estimated-activations")
    goal = goal_of(args)
    wanted = Wanted() if goal is None else Wanted(goal.sqnr, goal.agreement)
    return Measuring(lambda graph: samples_of(args, graph, job), wanted)


def _beside(path: Path, emitted: str | None) -> Path | None:
    """The override file next to a model, unless the plan is to take its place."""
    file = encodings_beside(path)
    return None if file is not None and emitted and _same(str(file), emitted) else file


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve() and not Path(one).is_char_device()


def _job(path: Path, args: argparse.Namespace, config: Config) -> Job:
    # A plan is for one kind of DLC: quantized, unless --float is given.
    args.quantize = not args.float
    if len(set(args.runtime)) > 1:
        raise UsageError("a plan is for one runtime; give --runtime once")
    job = job_for(path, args, config, (), (), False)
    rules_of_jobs([job])
    if not job.target.runtimes and job.target.soc is None:
        raise UsageError("give --soc (such as SM8650, see `dlclint soc`) or --runtime: a plan is for a chip")
    if not job.target.considered:
        raise UsageError(f"{job.target.soc} has none of the runtimes that --runtime names")
    return job


def _settled(args: argparse.Namespace, config: Config, job: Job) -> dict[str, int]:
    """The widths and switches that the command line or the configuration sets."""
    section = config_for(config, job.path).section_for(job.path).kind
    names = [*(name.replace("-", "_") for name in WIDTHS), "per_channel"]
    return {
        name: getattr(job.target.kind, name)
        for name in names
        if getattr(args, name) not in (None, False) or section.get(name)
    }
