"""`dlclint plan`: the quantization plan of a model, and a first override file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dlclint.analysis.plan.decide import Asked, make_plan
from dlclint.analysis.plan.overrides import overrides
from dlclint.analysis.view import ModelView
from dlclint.cli.errors import UsageError
from dlclint.cli.jobs import config_of, files, job_for
from dlclint.cli.output import deliver
from dlclint.diagnostic import plain
from dlclint.encodings.recognition import is_encodings
from dlclint.engine.names import misfits, refused
from dlclint.model.reading import Unreadable, read
from dlclint.report.plan import render_plan


def plan(given: argparse.Namespace) -> int:
    """Run the command; returns the exit status.

    Raises:
        UsageError: the model cannot be read, or an argument not be followed.
    """
    (path,) = (Path(given.path),) if not Path(given.path).is_dir() else (None,)
    if path is None or is_encodings(path):
        raise UsageError(f"{plain(given.path)}: give one model; a plan is made for one at a time")
    list(files([given.path]))
    job = job_for(path, given, config_of(given), (), (), False)
    if not job.target.runtimes and job.target.soc is None:
        raise UsageError("give --soc (such as SM8650, see `dlclint soc`) or --runtime: a plan is for a chip")
    if not job.target.considered:
        raise UsageError(f"{job.target.soc} has none of the runtimes that --runtime names")
    if given.estimated_activations and not given.emit_overrides:
        raise UsageError("--estimated-activations goes with --emit-overrides")
    try:
        view = ModelView(read(path, job.dimensions), job.target)
    except Unreadable as problem:
        raise UsageError(f"{plain(given.path)} cannot be read: {plain(problem.message)}") from None
    unknown = refused([list(misfits(view.model, job, plain(given.path)))])
    if unknown:
        raise UsageError(unknown)
    made = make_plan(view, Asked(job.dimensions, given.emit_overrides or ""))
    if given.emit_overrides:
        if not made.choice.quantize:
            raise UsageError(f"{made.choice.runtime.value} wants a float DLC, which takes no encodings")
        text = overrides(view, made, given.encodings_version, given.estimated_activations)
        deliver(f"{text}\n", given.emit_overrides)
    text = render_plan(made, given.format, sys.stdout if given.output is None else None)
    deliver(text, given.output)
    return 0
