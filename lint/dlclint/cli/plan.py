"""`dlclint plan`: the quantization plan of a model, and a first override file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

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
"""About as many times the samples are run; for the bar alone."""


def plan(given: argparse.Namespace) -> int:
    """Run the command; returns 1 if conversion is known to fail, 2 if a plugin is broken, else 0.

    Raises:
        UsageError: the model cannot be read, or an argument not be followed.
    """
    path = Path(given.path)
    if path.is_dir() or is_encodings(path):
        raise UsageError(f"{plain(given.path)}: give one model; a plan is made for one at a time")
    list(files([given.path]))
    config = config_of(given)
    named = Path(given.encodings) if given.encodings else encodings_beside(path)
    if named is not None and not named.is_file():
        raise UsageError(f"override file {plain(str(named))} does not exist; check the path")
    job = replace(_job(path, given, config), overrides=named)
    reports = further_reports(given, "plan")
    written = [path for path in (given.output, *(path for _, path in reports)) if path is not None]
    for output in written:
        guard(output, OutputFile.REPORT, inputs_of(given, (job,)), given.overwrite)
    guard(given.emit_overrides, OutputFile.OVERRIDES, inputs_of(given, (job,)), given.overwrite)
    for output in written:
        if given.emit_overrides and _same(output, given.emit_overrides):
            raise UsageError(f"{plain(output)} is to be the plan and the override file; name two files")
    job = replace(job, drawn=draws(given, reports))
    if given.estimated_activations and not given.emit_overrides:
        raise UsageError("--estimated-activations goes with --emit-overrides")
    lacks_plugins = tell_broken_plugins([job])
    measuring = _measuring(given, job)
    settled = _settled(given, config, job)
    asked = PlanRequest(job.dimensions, given.emit_overrides or "", settled, given.float)
    file = OverrideRequest(given.encodings_version, given.estimated_activations)
    try:
        with counting("measuring", _RUNS) as tick:
            made, overrides = plan_model(job, asked, file, measuring and replace(measuring, tick=tick))
    except (BadInput, CannotSimulate, CannotRun) as problem:
        raise UsageError(f"{plain(given.path)}: {plain(str(problem), 500)}") from None
    except CannotConvert as problem:
        raise UsageError(f"--encodings-version {given.encodings_version}: {plain(str(problem))}") from None
    except Unreadable as problem:
        raise UsageError(f"{plain(given.path)}: {plain(problem.message)}; {plain(problem.help)}") from None
    except (CarriesEncodings, UnknownNames) as error:
        raise UsageError(str(error)) from None
    if given.emit_overrides:
        if overrides is None:
            why = "was asked for" if given.float else f"is what {made.choice.runtime.value} wants"
            raise UsageError(f"a float DLC {why}, and takes no encodings; leave out --emit-overrides")
        deliver(f"{overrides.text}\n", given.emit_overrides)
    deliver_all("plan", made, given, reports)
    return 2 if lacks_plugins else 1 if made.fails else 0


def _measuring(given: argparse.Namespace, job: Job) -> Measuring | None:
    """What to measure on, where inputs are given.

    Raises:
        UsageError: options do not go together.
    """
    check_inputs(given)
    if given.inputs is None:
        for option, value in (("--target", given.target), ("--agreement", given.agreement)):
            if value is not None:
                raise UsageError(f"{option} goes with --inputs, on which a plan is measured")
        if given.input_layout:
            raise UsageError("--input-layout goes with --inputs")
        return None
    if given.float:
        raise UsageError("--inputs measures what quantization costs, and --float asks for none")
    if given.input_moments or given.estimated_activations:
        raise UsageError("--inputs takes the place of --input-moments and --estimated-activations")
    goal = goal_of(given)
    wanted = Wanted() if goal is None else Wanted(goal.sqnr, goal.agreement)
    return Measuring(lambda graph: samples_of(given, graph, job), wanted)


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve() and not Path(one).is_char_device()


def _job(path: Path, given: argparse.Namespace, config: Config) -> Job:
    # The kind of DLC is what a plan is about: quantized, unless it is to stay float.
    given.quantize = not given.float
    if len(set(given.runtime)) > 1:
        raise UsageError("a plan is for one runtime; give --runtime once")
    job = job_for(path, given, config, (), (), False)
    rules_of_jobs([job])
    if not job.target.runtimes and job.target.soc is None:
        raise UsageError("give --soc (such as SM8650, see `dlclint soc`) or --runtime: a plan is for a chip")
    if not job.target.considered:
        raise UsageError(f"{job.target.soc} has none of the runtimes that --runtime names")
    return job


def _settled(given: argparse.Namespace, config: Config, job: Job) -> dict[str, int]:
    """The widths and switches that the command line or the configuration gives."""
    section = config_for(config, job.path).section_for(job.path).kind
    names = [*(name.replace("-", "_") for name in WIDTHS), "per_channel"]
    return {
        name: getattr(job.target.kind, name)
        for name in names
        if getattr(given, name) not in (None, False) or section.get(name)
    }
